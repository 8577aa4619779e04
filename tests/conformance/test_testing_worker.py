"""A worker in a thread, beside which its app is controlled."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from umbel import Umbel
from umbel.contracts.broker import Beat
from umbel.engines.sqlite import SqliteEngine
from umbel.engines.sqlite_file import File
from umbel.testing import worker
from umbel.worker.child.consumer import Consumer

SOON = {"worker_lease": 1.5}
"""Seconds: whoever loses his connections is found out in a third of it."""


@contextmanager
def app_at(path: Path) -> Generator[Umbel]:
    with Umbel("beside", broker=f"sqlite:///{path}/jobs.db", set_as_current=False, changes=SOON) as app:
        yield app


def test_whoever_controls_beside_a_worker_in_a_thread_ends_no_session_of_it(tmp_path: Path) -> None:
    with app_at(tmp_path) as app:

        @app.task(name="beside.add")
        def add(x: int, y: int) -> int:
            return x + y

        with worker(app):
            for number in range(12):
                result = add.delay(number, 1)
                app.queues.pause("default")
                app.queues.resume("default")
                assert result.get(timeout=60) == number + 1
        assert [queue.running for queue in app.queues.list()] == [0]


def test_a_settler_that_fails_while_the_worker_stops_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def fail(*_: object) -> None:
        raise RuntimeError("broken")

    with app_at(tmp_path) as app:

        @app.task(name="beside.block")
        def block() -> None:
            begun.set()
            may_end.wait(60)

        running = worker(app)
        running.__enter__()
        block.delay()
        assert begun.wait(60)
        monkeypatch.setattr(Consumer, "settled", fail)
        threading.Timer(0.3, may_end.set).start()  # when it has been told to stop
        with pytest.raises(RuntimeError, match="broken"):
            running.__exit__(None, None, None)


def test_sessions_of_a_loop_are_over_when_it_closes_and_not_when_another_one_does(tmp_path: Path) -> None:
    with app_at(tmp_path) as app:

        async def outlives_a_guest() -> bool:
            await app.broker.heartbeat([Beat("session")], ["default"], 60, opening=True)
            app.queues.list()  # in a loop of its own, which closes when it has asked
            returned = await returns()
            await app.broker.aclose()
            return returned

        async def returns() -> bool:
            await app.broker.reclaim(["default"], 60)
            return await app.broker.heartbeat([Beat("session")], ["default"], 60) == [False]

        assert asyncio.run(outlives_a_guest()) is False
        assert asyncio.run(returns()) is True


def test_an_engine_may_be_closed_at_any_moment_from_another_thread(tmp_path: Path) -> None:
    engine = SqliteEngine(File(f"sqlite:///{tmp_path}/jobs.db", "broker_url", 30.0))
    done = threading.Event()
    faults: list[BaseException] = []

    def close() -> None:
        while not done.is_set():
            try:
                engine.close()
            except RuntimeError as error:
                faults.append(error)

    async def use() -> int:
        async with asyncio.timeout(60):
            return sum([await engine.submit_read(lambda _: 1) for _ in range(30)])

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    closer = threading.Thread(target=close)
    closer.start()
    try:
        assert asyncio.run(use()) == 30
    finally:
        done.set()
        closer.join()
        sys.setswitchinterval(interval)
        engine.close()
    assert faults == []
