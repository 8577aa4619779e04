"""A process dies within a write to a SQLite file, in any of them: what was acknowledged holds, the file is sound."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import apsw
import pytest

from tests.conformance.sqlite_nursery import LEASE, QUEUE
from tests.patient import PATIENT
from umbel.brokers.sqlite import SqliteBroker, connect
from umbel.contracts.broker import Beat
from umbel.exceptions import UmbelError
from umbel.model.ids import new_session
from umbel.settings import Settings
from umbel.stores.sqlite import connect as connect_store

pytestmark = pytest.mark.timeout(240)

STRIDE = 5
"""A frame of the log is written in two parts: in strides of five both are met, in a fifth of the time."""
ROOT = Path(__file__).parents[2]


class Told(NamedTuple):
    """The ids of jobs whose sending and whose end was acknowledged."""

    sent: set[str]
    ended: set[str]


def test_a_process_that_dies_within_a_write_breaks_no_promise(tmp_path: Path) -> None:
    files = raised(tmp_path, STRIDE)
    assert len(files) > 20
    assert told(files[0]).sent == set()
    assert told(files[-1]).sent == {"a", "b", "c", "b-next", "d", "e"}
    for folder in files:
        asyncio.run(check(folder))


def test_without_the_log_some_promise_is_broken(tmp_path: Path) -> None:
    def breaks(folder: Path) -> bool:
        try:
            asyncio.run(check(folder))
        except (AssertionError, UmbelError, apsw.Error):
            return True
        return False

    assert any(breaks(folder) for folder in raised(tmp_path, 10 * STRIDE, "careless"))


def raised(folder: Path, stride: int, *words: str) -> list[Path]:
    """Folders with a file each, in the order of the write in which its process died."""
    command = [sys.executable, "-m", "tests.conformance.sqlite_nursery", str(folder), str(stride), *words]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return sorted(folder.iterdir(), key=lambda each: int(each.name))


async def check(folder: Path) -> None:
    """See that the file in *folder* keeps what its process was told, and is of use."""
    promised = told(folder)
    with opened(folder) as broker:
        places = {each: broker.locate(each, QUEUE).place for each in promised.sent}
        assert "unknown" not in places.values(), (folder.name, places)
        assert all(places[each] == "ended" for each in promised.ended), (folder.name, places)
        living = {each for each, place in places.items() if place != "ended"}
        session = new_session()
        assert await broker.heartbeat([Beat(session)], [QUEUE], LEASE, opening=True) == [True]
        while (await broker.reclaim([QUEUE], LEASE)).returned:  # the dead process holds its lock no more
            pass
        received = [each.id for each in await broker.receive(session, [QUEUE], 100, wait=0)]
        assert len(received) == len(set(received)), folder.name
        assert living <= set(received), folder.name
    store = connect_store(f"sqlite:///{folder}/umbel.db", PATIENT)
    assert [store.fetch(each, QUEUE) for each in promised.ended] == [each.encode() for each in promised.ended]
    store.close()
    assert apsw.Connection(f"{folder}/umbel.db").pragma("integrity_check") == "ok", folder.name


def told(folder: Path) -> Told:
    """What the process of *folder* was told, in whole lines."""
    lines = [line.split() for line in (folder / "told").read_text().splitlines()]
    return Told(
        {each for kind, *ids in lines if kind == "sent" for each in ids},
        {each for kind, *ids in lines if kind == "ended" for each in ids},
    )


@contextmanager
def opened(folder: Path) -> Generator[SqliteBroker]:
    """A broker on the file of *folder*."""
    url = f"sqlite:///{folder}/umbel.db"
    broker = connect(url, Settings(broker_url=url))
    try:
        yield broker
    finally:
        broker.close()
