"""Result stores on objects when something is wrong: servers away, careless ones, files cut short, forks."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.patient import PATIENT, UNREACHED, at_last
from tests.servers import Objects, Server, Service
from tests.servers.objects import BUCKET
from umbel.contracts.powers import Record
from umbel.exceptions import BackendError, BrokerUnavailable, ImproperlyConfigured
from umbel.settings import Settings
from umbel.stores.objects import connect, key_of
from umbel.stores.threaded import ThreadedStore
from umbel.testing import Clock
from umbel.testing.conformance.eventually import eventually, soon

QUEUE = "default"
DEADLINE = 1.5
LATE = 6.0


def settings() -> Settings:
    """Settings with a short deadline."""
    made = Settings()
    made.broker_send_deadline = DEADLINE
    return made


def record(job_id: str, value: bytes = b"value", ttl: float = 60.0) -> Record:
    """A record of no owner."""
    return Record(job_id, QUEUE, value, ttl)


def names_in(folder: Path) -> list[str]:
    """The names of what is in *folder*, hidden ones excepted."""
    return sorted(each.name for each in folder.glob("[!.]*"))


@pytest.fixture
async def store(objects_url: str) -> AsyncIterator[ThreadedStore]:
    """A store on a server that the test may kill."""
    made = connect(objects_url, settings())
    yield made
    await made.aclose()


async def test_a_server_that_is_away_is_told_within_the_deadline_without_the_secret(
    store: ThreadedStore, objects_server: Server
) -> None:
    await soon(at_last(lambda: store.put([record("1")])))
    objects_server.kill()
    begun = time.monotonic()
    for call in (store.put([record("2")]), store.afetch("1", QUEUE), store.awatch("2", QUEUE, None)):
        with pytest.raises(BrokerUnavailable, match=UNREACHED) as caught:
            await call
        assert "=secret" not in str(caught.value)
    assert time.monotonic() - begun < 3 * (DEADLINE + LATE)
    objects_server.start()
    assert await soon(at_last(lambda: store.put([record("2")]))) == [True]


async def test_a_frozen_server_is_told_within_the_deadline(store: ThreadedStore, objects_server: Server) -> None:
    await soon(at_last(lambda: store.put([record("1")])))
    objects_server.pause()
    begun = time.monotonic()
    with pytest.raises(BrokerUnavailable):
        await store.put([record("2")])
    with pytest.raises(BrokerUnavailable):
        await asyncio.to_thread(store.fetch, "1", QUEUE)
    assert time.monotonic() - begun < 2 * (DEADLINE + LATE)
    objects_server.resume()
    assert await soon(at_last(lambda: store.afetch("1", QUEUE))) == b"value"


async def test_a_bucket_that_is_missing_is_told_by_reads_and_writes(objects_url: str) -> None:
    store = connect(objects_url.replace(f"//{BUCKET}/", "//nowhere/"), PATIENT)
    for call in (store.afetch("1", QUEUE), store.put([record("1")]), store.awatch("1", QUEUE, 5.0)):
        with pytest.raises(ImproperlyConfigured, match="there is no such bucket") as caught:
            await call
        assert isinstance(caught.value, BackendError)  # a worker keeps its outcomes until somebody makes the bucket


async def test_a_store_that_forgets_the_conditions_of_a_write_is_refused(launch: Callable[[Service], Server]) -> None:
    store = connect(launch(Objects(careless=True)).url, PATIENT)
    with pytest.raises(ImproperlyConfigured, match="does not keep the conditions of a write"):
        await store.put([record("1")])
    with pytest.raises(ImproperlyConfigured, match="does not keep the conditions of a write"):
        await store.claim([record("1")])
    assert await store.afetch("1", QUEUE) is None


async def test_two_prefixes_of_one_bucket_are_two_stores(objects_url: str) -> None:
    other = connect(objects_url.replace("/results?", "/other?"), PATIENT)
    store = connect(objects_url, PATIENT)
    assert await store.put([record("1", b"here")]) == [True]
    assert await other.put([record("1", b"there")]) == [True]
    assert await store.afetch("1", QUEUE) == b"here"


# --- files


async def test_expired_files_are_deleted_and_others_stay(tmp_path: Path) -> None:
    clock = Clock()
    url = f"file://{tmp_path}"
    store = connect(url, PATIENT, clock)
    await store.put([record("short", ttl=1.0), record("long", ttl=100.0)])
    await store.claim([Record("claimed", QUEUE, b"", 1.0, "owner")])
    (tmp_path / "another program's").write_text("stays")
    clock.advance(1.0)
    await connect(url, PATIENT, clock).put([record("new")])  # the first put of a process has them deleted
    await eventually(lambda: names_in(tmp_path) == ["another program's", "long", "new"])


async def test_a_file_that_a_power_failure_left_empty_is_no_record(tmp_path: Path) -> None:
    store = connect(f"file://{tmp_path}", PATIENT)
    (tmp_path / key_of("1")).touch()
    assert await store.afetch("1", QUEUE) is None
    assert await store.put([record("1")]) == [True]
    assert await store.afetch("1", QUEUE) == b"value"


async def test_a_file_of_another_program_is_left_alone(tmp_path: Path) -> None:
    store = connect(f"file://{tmp_path}", PATIENT)
    (tmp_path / "1").write_bytes(b"my diary, which is long enough")
    for call in (store.afetch("1", QUEUE), store.put([record("1")])):
        with pytest.raises(BackendError, match="an object that Umbel did not write"):
            await call
    assert (tmp_path / "1").read_bytes() == b"my diary, which is long enough"


async def test_no_id_writes_outside_the_folder(tmp_path: Path) -> None:
    store = connect(f"file://{tmp_path}/results", PATIENT)
    await store.put([record("../out"), record("/out"), record("..")])
    assert names_in(tmp_path) == ["results"]


async def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ImproperlyConfigured, match="result_backend: cannot use the folder"):
        connect(f"file://{tmp_path}/file/folder", PATIENT)


def test_use_after_a_fork_is_refused_and_not_fatal(tmp_path: Path) -> None:
    program = """
import os, sys
from umbel.exceptions import ImproperlyConfigured
from umbel.settings import Settings
from umbel.stores import connect
store = connect(sys.argv[1], Settings())
assert store.fetch("1", None) is None
if os.fork() == 0:
    try:
        store.fetch("1", None)
    except ImproperlyConfigured as error:
        print(error, flush=True)
    os._exit(0)
os.wait()
assert store.fetch("1", None) is None
"""
    done = subprocess.run(
        [sys.executable, "-c", program, f"file://{tmp_path}"], capture_output=True, text=True, timeout=120, check=True
    )
    assert "objects were used before this process was forked" in done.stdout
