"""SQLite between processes: killed at any instant, forked, and in each other's way."""

from __future__ import annotations

import contextlib
import itertools
import random
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from tests.conformance.sqlite_victim import LEASE, QUEUE
from tests.patient import PATIENT
from umbel.brokers import connect
from umbel.brokers.sqlite import SqliteBroker
from umbel.contracts.broker import Beat, Settlement
from umbel.engines.sqlite_file import File
from umbel.model.ids import new_session
from umbel.model.job import Counts, Job
from umbel.stores import connect as connect_store

KILLS = 20
STARVING_BYTES = 100_000
"""What two producers tell of some 1,700 batches; one or two thousand bytes are usual."""
ROOT = Path(__file__).parents[2]


class Victim:
    """A process of `sqlite_victim` whose words are kept in a file."""

    def __init__(self, kind: str, url: str, words: Path) -> None:
        self.words = words
        self._out = words.open("wb")
        command = [sys.executable, "-m", "tests.conformance.sqlite_victim", kind, url, words.stem]
        self.process = subprocess.Popen(command, stdout=self._out, cwd=ROOT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._out.close()

    def is_at_work(self) -> bool:
        return self.words.stat().st_size > 0

    def said(self) -> list[str]:
        return self.words.read_text().split()

    def written(self) -> int:
        """How many bytes it has said."""
        return self.words.stat().st_size


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/umbel.db"


@pytest.fixture
def broker(url: str) -> Iterator[SqliteBroker]:
    broker = SqliteBroker(File(url, "broker_url", 30.0))
    yield broker
    broker.close()


def until(condition: Callable[[], bool], deadline: float = 60.0) -> None:
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_killed_processes_lose_nothing_that_was_acknowledged(url: str, tmp_path: Path) -> None:
    chance = random.Random(7)
    names = itertools.count()
    victims: list[Victim] = []

    def start(kind: str) -> Victim:
        victims.append(Victim(kind, url, tmp_path / f"{kind}{next(names)}"))
        return victims[-1]

    alive = [start("send"), start("work"), start("send"), start("work")]
    for _ in range(KILLS):
        victim = alive.pop(chance.randrange(len(alive)))
        until(victim.is_at_work)
        time.sleep(chance.uniform(0, 0.05))  # any instant will do
        victim.kill()
        alive.append(start(victim.words.name.rstrip("0123456789")))
    for victim in alive:
        victim.kill()

    sent = {each for victim in victims if victim.words.name.startswith("send") for each in victim.said()}
    last = start("work")
    with contextlib.closing(connect_store(url, PATIENT)) as store:
        until(lambda: all(store.fetch(each, None) is not None for each in sent), 120.0)
        last.kill()
        ended = Counter(each for victim in victims if victim.words.name.startswith("work") for each in victim.said())
        assert len(sent) > 100
        assert all(store.fetch(each, None) == each.encode() for each in sent)
        assert set(ended.values()) == {1}
    assert apsw.Connection(str(tmp_path / "umbel.db")).pragma("integrity_check") == "ok"


async def test_what_a_killed_supervisor_held_comes_back_at_once(broker: SqliteBroker, url: str, tmp_path: Path) -> None:
    broker.send([Job("job", QUEUE, b"body")])
    victim = Victim("hold", url, tmp_path / "hold")
    until(lambda: victim.said() == ["job"])
    assert (await broker.reclaim([QUEUE], LEASE)).returned == 0
    victim.kill()
    assert (await broker.reclaim([QUEUE], LEASE)).returned == 1
    session = new_session()
    await broker.heartbeat([Beat(session)], [QUEUE], LEASE, opening=True)
    [delivery] = await broker.receive(session, [QUEUE], 1, wait=0)
    assert delivery.counts == Counts(losses=1)


async def test_a_process_that_dies_while_it_revokes_gives_its_jobs_back_doomed(
    broker: SqliteBroker, url: str, tmp_path: Path
) -> None:
    broker.send([Job("job", QUEUE, b"body")])
    victim = Victim("revoke", url, tmp_path / "job")
    until(lambda: [each.message for each in broker.mailbox.hear("job", 0, 5.0)] == [b"ready"])
    assert (await broker.reclaim([QUEUE], LEASE)).returned == 0
    victim.kill()
    assert (await broker.reclaim([QUEUE], LEASE)).returned == 1
    found = broker.locate("job", QUEUE)
    assert (found.place, found.doom) == ("ready", "revoked")


def test_a_fork_leaves_the_connection_of_its_parent_alone(url: str) -> None:
    program = """
        import os, sys, gc
        from umbel.brokers import connect
        from umbel.model.job import Job
        from umbel.settings import Settings
        broker = connect(sys.argv[1], Settings())
        broker.send([Job("before", "q", b"")])
        if os.fork() == 0:
            broker.send([Job("child", "q", b"")])
            broker.close()
            del broker
            gc.collect()
            sys.exit(0)
        assert os.wait()[1] == 0
        broker.send([Job("after", "q", b"")])
        print([broker.locate(each, None).place for each in ("before", "child", "after")])
        broker.close()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), url], capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("['ready', 'ready', 'ready']", "")


def test_a_forked_child_never_closes_the_connection_of_its_parent(url: str) -> None:
    program = """
        import gc, os, sys
        from umbel.brokers import connect
        from umbel.model.job import Job
        from umbel.settings import Settings
        broker = connect(sys.argv[1], Settings())
        broker.send([Job("job", "q", b"")])
        if os.fork():
            os.wait()
            broker.close()
        else:
            del broker
            gc.collect()
            links = [f"/proc/self/fd/{each}" for each in os.listdir("/proc/self/fd")]
            opened = {os.path.basename(os.readlink(link)) for link in links if os.path.islink(link)}
            print(sorted(opened & {"umbel.db", "umbel.db-shm"}))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), url], capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("['umbel.db', 'umbel.db-shm']", "")


def test_no_producer_starves_beside_two_that_never_pause(broker: SqliteBroker, url: str, tmp_path: Path) -> None:
    busy = [Victim("send", url, tmp_path / f"send{number}") for number in range(2)]
    until(lambda: all(each.written() > 1000 for each in busy))
    told: list[int] = []
    for number in range(100):
        before = sum(each.written() for each in busy)
        broker.send([Job(str(number), "other", b"")])
        told.append(sum(each.written() for each in busy) - before)
    for each in busy:
        each.kill()
    # What the others got done while this one waited, not how long that took: it depends on the machine.
    assert max(told) < STARVING_BYTES


async def test_two_apps_share_a_file(broker: SqliteBroker, url: str) -> None:
    with contextlib.closing(connect(url, PATIENT)) as other:
        for each, queue in ((broker, "one"), (other, "two")):
            await each.asend([Job(f"job of {queue}".replace(" ", "-"), queue, queue.encode())])
        for each, queue in ((broker, "one"), (other, "two")):
            session = new_session()
            await each.heartbeat([Beat(session)], [queue], LEASE, opening=True)
            [delivery] = await each.receive(session, [queue], 10, wait=0)
            assert delivery.envelope == queue.encode()
            assert await each.settle(session, [Settlement(delivery, "end")]) == [True]
        assert await broker.queues() == ["one", "two"]
