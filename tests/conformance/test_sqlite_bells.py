"""Waking: exactly who is needed, at once, however long the path, and without polling."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from umbel.brokers.sqlite import SqliteBroker, mailbox
from umbel.brokers.sqlite.operations import Received
from umbel.contracts.broker import Beat, Settlement
from umbel.contracts.mailbox import Letter
from umbel.engines.sqlite_bells import MAIL, NEWS, WORK, Bell, Bells
from umbel.engines.sqlite_file import File
from umbel.model.ids import new_session
from umbel.model.job import Counts, Delivery, Job
from umbel.stores.sqlite import SqliteStore
from umbel.testing.conformance.eventually import eventually

LEASE = 60.0
PROMPT_SECONDS = 20.0


class OneFile:
    """Clients of one file, closed at the end of the test."""

    def __init__(self, path: Path) -> None:
        self.url = f"sqlite:///{path}"
        self._made: list[SqliteBroker | SqliteStore] = []

    def broker(self) -> SqliteBroker:
        broker = SqliteBroker(File(self.url, "broker_url", 30.0))
        self._made.append(broker)
        return broker

    def store(self) -> SqliteStore:
        store = SqliteStore(File(self.url, "result_backend", 30.0))
        self._made.append(store)
        return store

    def close(self) -> None:
        for each in self._made:
            each.close()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[OneFile]:
    file = OneFile(tmp_path / "umbel.db")
    yield file
    file.close()


async def opened(broker: SqliteBroker, *queues: str) -> str:
    session = new_session()
    assert await broker.heartbeat([Beat(session)], queues, LEASE, opening=True) == [True]
    return session


def bells_in(folder: Path, kind: str) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(f"{kind}-")]


async def test_an_idle_child_does_nothing_until_it_is_rung(file: OneFile, tmp_path: Path) -> None:
    broker, sender = file.broker(), file.broker()
    session = await opened(broker, "q")
    looks = 0
    take = broker._take

    async def counted(*args: object) -> object:
        nonlocal looks
        looks += 1
        return await take(*args)  # type: ignore[arg-type]

    broker._take = counted  # type: ignore[method-assign, assignment]
    waiting = asyncio.create_task(broker.receive(session, ["q"], 1, wait=60))
    await eventually(lambda: looks == 2 and bells_in(tmp_path / "umbel.db.d", WORK) != [])
    await asyncio.sleep(0.5)
    assert looks == 2
    started = time.monotonic()
    await asyncio.to_thread(sender.send, [Job("job", "q", b"")])
    assert [each.id for each in await waiting] == ["job"]
    assert (looks, time.monotonic() - started < PROMPT_SECONDS) == (3, True)
    assert bells_in(tmp_path / "umbel.db.d", WORK) == []


def test_one_job_rings_one_bell_and_only_of_its_queue(tmp_path: Path) -> None:
    bells = Bells(tmp_path)
    mine: list[Bell] = [made for _ in range(3) if (made := bells.make(WORK, ["q", "other"])) is not None]
    foreign = bells.make(WORK, ["elsewhere"])
    assert foreign is not None
    bells.ring({"q": 1})
    assert sorted(bell.read() is not None for bell in mine) == [False, False, True]
    bells.ring({"other": 2})
    assert sorted(bell.read() is not None for bell in mine) == [False, True, True]
    bells.ring({"q": 500})
    assert [bell.read() is not None for bell in mine] == [True, True, True]
    assert foreign.read() is None
    for bell in (*mine, foreign):
        bell.close()
    bells.close()


def test_the_bell_of_a_killed_process_is_skipped_and_removed(tmp_path: Path) -> None:
    bells = Bells(tmp_path)
    gone = bells.make(WORK, ["q"])
    assert gone is not None
    gone._socket.close()  # as its kernel does: the file stays
    alive = bells.make(WORK, ["q"])
    assert alive is not None
    for _ in range(20):  # in whatever order they are tried
        bells.ring({"q": 1})
        assert alive.read() is not None
    assert bells_in(tmp_path, WORK) == [alive.name]
    alive.close()
    bells.close()


def test_a_waiter_for_more_queues_than_a_name_holds_hears_of_each(tmp_path: Path) -> None:
    bells = Bells(tmp_path)
    bell = bells.make(WORK, [f"queue-{number}" for number in range(100)])
    assert bell is not None
    bells.ring({"queue-99": 1})
    assert bell.read() is not None
    bell.close()
    bells.close()


async def test_a_path_longer_than_a_socket_address_works(tmp_path: Path) -> None:
    folder = tmp_path / ("deep" * 30) / ("down" * 30)
    folder.mkdir(parents=True)
    file = OneFile(folder / "umbel.db")
    broker, store = file.broker(), file.store()
    session = await opened(broker, "q")
    waiting = asyncio.create_task(broker.receive(session, ["q"], 1, wait=60))
    await eventually(lambda: bells_in(folder / "umbel.db.d", WORK) != [])
    result = asyncio.create_task(store.awatch("job", None, 60))
    await eventually(lambda: bells_in(folder / "umbel.db.d", NEWS) != [])
    async with asyncio.timeout(PROMPT_SECONDS):
        await broker.asend([Job("job", "q", b"")])
        [delivery] = await waiting
        await broker.settle(session, [Settlement(delivery, "end", record=b"record")])
        assert await result == b"record"
    file.close()


async def test_where_sockets_do_not_work_it_polls(file: OneFile) -> None:
    class Deaf(Bells):
        def make(self, kind: str, queues: Sequence[str] = ()) -> None:  # type: ignore[override]
            return None

    broker, store = file.broker(), file.store()
    broker._bells = store._listener._bells = Deaf(broker._engine.file.folder)
    session = await opened(broker, "q")
    waiting = asyncio.create_task(broker.receive(session, ["q"], 1, wait=60))
    result = asyncio.create_task(store.awatch("job", None, 60))
    await asyncio.sleep(0.1)
    await broker.asend([Job("job", "q", b"")])
    async with asyncio.timeout(PROMPT_SECONDS):
        [delivery] = await waiting
        await broker.settle(session, [Settlement(delivery, "end", record=b"record")])
        assert await result == b"record"


async def test_hundreds_wait_for_results_on_one_socket(file: OneFile, tmp_path: Path) -> None:
    broker, store = file.broker(), file.store()
    ids = [f"job-{number}" for number in range(400)]
    await broker.asend([Job(each, "q", each.encode()) for each in ids])
    waiting = [asyncio.create_task(store.awatch(each, None, 60)) for each in ids[:300]]
    found: dict[str, bytes | None] = {}
    threads = [
        threading.Thread(target=lambda each=each: found.update({each: store.watch(each, None, 60)}))
        for each in ids[300:]
    ]
    for thread in threads:
        thread.start()
    await eventually(lambda: len(store._listener._ours()._waiting) == 400)
    assert len(bells_in(tmp_path / "umbel.db.d", NEWS)) == 1
    session = await opened(broker, "q")
    while deliveries := await broker.receive(session, ["q"], 64, wait=0):
        await broker.settle(session, [Settlement(each, "end", record=each.envelope) for each in deliveries])
    async with asyncio.timeout(PROMPT_SECONDS):
        assert await asyncio.gather(*waiting) == [each.encode() for each in ids[:300]]
    for thread in threads:
        await asyncio.to_thread(thread.join, PROMPT_SECONDS)
    assert found == {each: each.encode() for each in ids[300:]}
    assert store._listener._ours()._waiting == {}


async def test_a_cancelled_receive_gives_back_what_it_was_handed(file: OneFile) -> None:
    broker = file.broker()
    session = await opened(broker, "q")
    await broker.asend([Job("job", "q", b"")])
    inside, leave = threading.Event(), threading.Event()

    def dawdle(_: object) -> None:
        inside.set()
        assert leave.wait(60)

    slow = broker._engine.submit(dawdle)
    await asyncio.to_thread(inside.wait, 60)
    receiving = asyncio.create_task(broker.receive(session, ["q"], 1, wait=0))
    await asyncio.sleep(0.01)
    receiving.cancel()  # its step waits for the slow one, and will be taken
    with pytest.raises(asyncio.CancelledError):
        await receiving
    leave.set()
    await slow
    found: list[Delivery] = []

    async def received() -> bool:
        found.extend(await broker.receive(session, ["q"], 1, wait=0))
        return found != []

    await eventually(received)
    assert [(each.id, each.returned, each.counts) for each in found] == [("job", True, Counts())]


async def test_a_child_that_stops_waiting_hands_its_ring_on(file: OneFile, tmp_path: Path) -> None:
    broker, other = file.broker(), file.broker()
    session, second = await opened(broker, "q"), await opened(other, "q")
    waiting = asyncio.create_task(broker.receive(session, ["q"], 1, wait=60))
    await eventually(lambda: len(bells_in(tmp_path / "umbel.db.d", WORK)) == 1)
    patient = asyncio.create_task(other.receive(second, ["q"], 1, wait=60))
    await eventually(lambda: len(bells_in(tmp_path / "umbel.db.d", WORK)) == 2)
    for _ in range(2):  # both are rung, for one job that only the patient one will look for
        other._bells.ring({"q": 2})
    other.send([Job("job", "q", b"")])
    waiting.cancel()
    async with asyncio.timeout(PROMPT_SECONDS):
        assert [each.id for each in await patient] == ["job"]
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_closing_the_store_ends_nobody_elses_wait(file: OneFile) -> None:
    broker, store = file.broker(), file.store()
    session = await opened(broker, "q")
    result = asyncio.create_task(store.awatch("job", None, 60))
    await eventually(lambda: store._listener._ours()._waiting != {})
    await store.aclose()
    await broker.asend([Job("job", "q", b"")])
    [delivery] = await broker.receive(session, ["q"], 1, wait=0)
    await broker.settle(session, [Settlement(delivery, "end", record=b"record")])
    async with asyncio.timeout(PROMPT_SECONDS):
        assert await result == b"record"


async def test_a_child_of_a_paused_queue_does_nothing_until_it_is_resumed(file: OneFile, tmp_path: Path) -> None:
    broker, other = file.broker(), file.broker()
    session = await opened(broker, "q")
    other.job_store.pause("q", paused=True)
    other.send([Job("ready", "q", b""), Job("due", "q", b"", eta=time.time() + 0.001)])
    looks = 0
    take = broker._take

    async def counted(session: str, queues: Sequence[str], limit: int) -> Received:
        nonlocal looks
        looks += 1
        return await take(session, queues, limit)

    broker._take = counted  # type: ignore[method-assign]
    waiting = asyncio.create_task(broker.receive(session, ["q"], 1, wait=60))
    await eventually(lambda: looks == 2 and bells_in(tmp_path / "umbel.db.d", WORK) != [], 20)
    await asyncio.sleep(0.05)
    assert looks == 2
    other.job_store.pause("q", paused=False)
    async with asyncio.timeout(PROMPT_SECONDS):
        assert [each.id for each in await waiting] == ["ready"]
    assert looks == 3


async def test_whoever_listens_looks_into_the_file_only_when_rung_and_leaves_no_bell(
    file: OneFile, tmp_path: Path
) -> None:
    listener, other = file.broker().mailbox, file.broker().mailbox
    looks = 0
    heard = listener._aheard

    async def counted(box: str, after: int) -> list[Letter]:
        nonlocal looks
        looks += 1
        return await heard(box, after)

    listener._aheard = counted  # type: ignore[method-assign]
    waiting = asyncio.create_task(listener.ahear("box", 0, 60))
    await eventually(lambda: looks == 2 and bells_in(tmp_path / "umbel.db.d", MAIL) != [], 20)
    await other.atell("another box", [b"not this"], 60)
    await asyncio.sleep(0.05)
    assert looks == 2
    await other.atell("box", [b"this"], 60)
    async with asyncio.timeout(PROMPT_SECONDS):
        assert [each.message for each in await waiting] == [b"this"]
    assert looks == 3
    assert bells_in(tmp_path / "umbel.db.d", MAIL) == []


@pytest.mark.parametrize("wait", [0.0, 0.05])
async def test_a_listener_without_sockets_looks_now_and_then(
    file: OneFile, monkeypatch: pytest.MonkeyPatch, wait: float
) -> None:
    monkeypatch.setattr(Bells, "make", lambda *_: None)
    monkeypatch.setattr(mailbox, "POLLING_SECONDS", 0.01)
    box, other = file.broker().mailbox, file.broker().mailbox
    assert await box.ahear("box", 0, wait) == box.hear("box", 0, wait) == []
    waiting = [
        asyncio.create_task(box.ahear("box", 0, 60)),
        asyncio.create_task(asyncio.to_thread(box.hear, "box", 0, 60)),
    ]
    await asyncio.sleep(0.02)
    await other.atell("box", [b"this"], 60)
    async with asyncio.timeout(PROMPT_SECONDS):
        assert [[each.message for each in heard] for heard in await asyncio.gather(*waiting)] == [[b"this"]] * 2
