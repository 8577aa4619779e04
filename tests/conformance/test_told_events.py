"""What a real worker tells in events, on engines that keep them; and that no job waits for them."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.patient import UNHURRIED
from umbel import AsyncResult, Context, Umbel, chain, chord
from umbel.app.events import Occurrence
from umbel.brokers.memory import MemoryBroker
from umbel.brokers.memory.event_log import MemoryEventLog
from umbel.contracts.event_log import OLDEST
from umbel.engines.memory import Space
from umbel.exceptions import BrokerUnavailable, Reject
from umbel.model.ids import flow_of
from umbel.stores.memory import MemoryStore
from umbel.testing import worker

DEADLINE_SECONDS = 60.0
ROUNDS = 20


@pytest.fixture(params=["memory", "sqlite"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Umbel:
    url = {"memory": f"memory://{tmp_path.name}", "sqlite": f"sqlite:///{tmp_path}/umbel.db"}[request.param]
    return Umbel("shop", url, changes=UNHURRIED, set_as_current=False)


ON_THE_WAY = ("task-sent", "task-received", "task-started")
"""What is told of a job before its end; when, and if at all, depends on how long things take."""


def until(app: Umbel, enough: Callable[[list[Occurrence]], object]) -> list[Occurrence]:
    """Read events from the oldest on until there are *enough*."""
    found: list[Occurrence] = []
    for event in app.events(after=OLDEST, timeout=DEADLINE_SECONDS):
        found.append(event)
        if enough(found):
            return found
    raise AssertionError(f"not within {DEADLINE_SECONDS:g} s; seen were {found}")


def kinds(events: Sequence[Occurrence], job: str) -> list[str]:
    return [event.kind for event in events if event.id == job]


def ended(app: Umbel, *jobs: str) -> list[Occurrence]:
    """All events, once each of *jobs* has an end."""
    left = set(jobs)

    def over(found: list[Occurrence]) -> bool:
        event = found[-1]
        if event.kind not in (*ON_THE_WAY, "task-progress", "task-retried"):
            left.discard(event.id)
        return not left

    return until(app, over)


def only(events: Sequence[Occurrence], kind: str, job: str) -> Occurrence:
    (found,) = [event for event in events if (event.kind, event.id) == (kind, job)]
    return found


def test_a_short_job_is_told_by_its_sending_and_its_end(app: Umbel) -> None:
    @app.task
    def pay(amount: int, token: str) -> dict[str, Any]:
        return {"amount": amount, "token": token}

    def told() -> tuple[AsyncResult[dict[str, Any]], list[Occurrence]]:
        assert app.teller is not None
        handle = pay.delay(5, "t0k")
        app.teller.journal.flush()
        return handle, ended(app, handle.id)

    with worker(app):
        handle, events = told()
        for _ in range(ROUNDS):  # a job that is held up for a moment is told apart: not all are, on no machine
            if kinds(events, handle.id) != ["task-sent", "task-succeeded"]:
                handle, events = told()
    assert kinds(events, handle.id) == ["task-sent", "task-succeeded"]
    end = only(events, "task-succeeded", handle.id)
    assert (end.task, end.queue, end.attempt, end.worker) == (pay.name, "default", 1, "umbel@testing")
    assert json.loads(end.body["result"]) == {"amount": 5, "token": "***"}
    assert end.body["run"] > 0
    assert end.body["wait"] >= 0
    app.close()


def test_a_long_job_is_told_when_it_has_started_and_how_far_it_is(app: Umbel) -> None:
    go_on = threading.Event()

    @app.task(bind=True)
    def build(self: Context) -> None:
        self.progress(1, 2, "half")
        go_on.wait(DEADLINE_SECONDS)

    with worker(app):
        handle = build.delay()
        try:
            events = until(app, lambda found: {"task-started", "task-progress"} <= set(kinds(found, handle.id)))
        finally:
            go_on.set()
        handle.get(timeout=DEADLINE_SECONDS)
        after = ended(app, handle.id)
    assert only(events, "task-started", handle.id).body["wait"] >= 0
    said = only(events, "task-progress", handle.id).body
    assert (said["state"], json.loads(said["meta"])) == ("PROGRESS", {"current": 1, "total": 2, "text": "half"})
    assert kinds(after, handle.id)[-1] == "task-succeeded"
    assert kinds(after, handle.id).count("task-started") == 1
    app.close()


def test_each_end_of_a_job_has_its_event(app: Umbel) -> None:
    @app.task(redact=("secret",))
    def fail(secret: str) -> None:
        raise ValueError("wrong")

    @app.task(autoretry_for=(KeyError,), retry_kwargs={"max_retries": 1, "countdown": 0})
    def insist() -> None:
        raise KeyError("gone")

    @app.task
    def reject() -> None:
        raise Reject("no")

    with worker(app):
        failing, insisting, rejecting = fail.delay("s"), insist.delay(), reject.delay()
        late = fail.apply_async(("s",), expires=-1)
        jobs = [handle.id for handle in (failing, insisting, rejecting, late)]
        events = [event for event in ended(app, *jobs) if event.kind not in ON_THE_WAY]
    assert [kinds(events, job) for job in jobs] == [
        ["task-failed"],
        ["task-retried", "task-dead"],
        ["task-dead"],
        ["task-expired"],
    ]
    wrong = only(events, "task-failed", failing.id).body
    assert (wrong["error"], wrong["message"], json.loads(wrong["args"])) == ("ValueError", "wrong", ["***"])
    assert 'raise ValueError("wrong")' in wrong["traceback"]
    assert [event.attempt for event in events if event.id == insisting.id] == [1, 2]
    assert only(events, "task-retried", insisting.id).body["eta"] > 0
    assert [only(events, "task-dead", job).body["reason"] for job in jobs[1:3]] == ["failed", "rejected"]
    app.close()


def test_a_result_that_is_hidden_does_not_travel(app: Umbel) -> None:
    @app.task(redact=("return",))
    def unlock() -> str:
        return "s3cret"

    with worker(app):
        handle = unlock.delay()
        events = ended(app, handle.id)
    assert json.loads(only(events, "task-succeeded", handle.id).body["result"]) == "***"
    kept = asyncio.run(app.broker.event_log.read(OLDEST, 100, 0.0))  # type: ignore[attr-defined]
    assert kept
    assert not [one for one in kept if b"s3cret" in one.batch]
    app.close()


def test_a_job_that_is_revoked_before_it_runs_is_told_by_whoever_ends_it(app: Umbel) -> None:
    handle = app.send_task("later", (1,), countdown=100)
    handle.revoke()
    events = ended(app, handle.id)
    end = only(events, "task-revoked", handle.id)
    assert (end.task, end.attempt, end.body["reason"], end.body["args"]) == ("later", 1, "revoked", "[1]")
    app.close()


def test_jobs_of_a_flow_tell_what_they_are_as_nobody_has_sent_them(app: Umbel) -> None:
    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    with worker(app):
        handle = chain(add.s(1, 2), add.s(3)).delay()
        assert handle is not None
        assert handle.get(timeout=DEADLINE_SECONDS) == 6
        events = ended(app, handle.id)
    end = only(events, "task-succeeded", handle.id)
    assert (json.loads(end.body["args"]), json.loads(end.body["result"])) == ([3], 6)
    (flow,) = [event for event in events if event.kind == "flow-started"]
    assert end.body["flow"] == flow.id
    app.close()


def test_the_end_of_a_flow_is_told_whoever_brings_it_about(app: Umbel) -> None:
    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    @app.task
    def total(values: list[int]) -> int:
        return sum(values)

    @app.task
    def fail() -> int:
        raise ValueError

    def states(found: Sequence[Occurrence]) -> dict[str, str]:
        return {event.id: event.body["state"] for event in found if event.kind == "flow-ended"}

    later = add.s(3).set(countdown=3600)
    with worker(app):
        made = [chain(add.s(1, 2), add.s(3)), chord([add.s(1, 2), add.s(3, 4)], total.s()), chain(fail.s(), add.s(3))]
        begun = [sig.delay() for sig in made]
        withdrawn, given_up = chain(add.s(1, 2), later).delay(), chain(add.s(1, 2), later).delay()
        assert app.flows.revoke(flow_of(given_up.id))
        assert withdrawn.parent.get(timeout=DEADLINE_SECONDS) == 3
        withdrawn.revoke()
        found = until(app, lambda found: len(states(found)) == 5)
    ids = [flow_of(handle.id) for handle in (*begun, withdrawn, given_up)]
    assert [states(found)[flow] for flow in ids] == ["succeeded", "succeeded", "failed", "failed", "revoked"]
    assert {event.id for event in found if event.kind == "flow-started"} == set(ids)
    app.close()


def test_jobs_that_a_task_sends_are_told_with_their_parent(app: Umbel) -> None:
    @app.task
    def child() -> None: ...

    @app.task
    def parent() -> str:
        return child.delay().id

    with worker(app):
        handle = parent.delay()
        job = handle.get(timeout=DEADLINE_SECONDS)
        events = ended(app, job)
    assert only(events, "task-sent", job).body["parent"] == handle.id
    app.close()


async def test_events_are_followed_as_they_come(tmp_path: Path) -> None:
    app = Umbel("shop", f"memory://{tmp_path.name}", set_as_current=False)
    app.send_task("old")
    assert app.teller is not None
    app.teller.journal.flush()
    stream = app.events("task-*", task="new*", timeout=DEADLINE_SECONDS)
    await stream.start()
    app.send_task("other")
    app.send_task("new.one")
    async for event in stream:
        assert (event.kind, event.task) == ("task-sent", "new.one")
        break
    assert stream.lost == 0


async def test_a_stream_ends_in_time(tmp_path: Path) -> None:
    app = Umbel("shop", f"memory://{tmp_path.name}", set_as_current=False)
    begun = time.monotonic()
    assert [event async for event in app.events(timeout=0.05)] == []
    assert time.monotonic() - begun < DEADLINE_SECONDS


def test_celerys_receiver_hands_events_to_functions(app: Umbel) -> None:
    told: list[str] = []
    heard = threading.Event()

    def hear() -> None:
        heard.set()
        receiver = app.events.Receiver(handlers={"task-sent": lambda event: told.append(event["name"])})
        receiver.capture(limit=1, timeout=DEADLINE_SECONDS)

    hearing = threading.Thread(target=hear)
    hearing.start()
    heard.wait(DEADLINE_SECONDS)
    end = time.monotonic() + DEADLINE_SECONDS
    while hearing.is_alive() and time.monotonic() < end:
        app.send_task("hello")
        hearing.join(0.1)
    assert set(told) == {"hello"}
    app.close()


class Refusing(MemoryEventLog):
    """A log that can be away."""

    away = True

    def append(self, batches: Sequence[bytes], bound: int) -> None:
        if Refusing.away:
            raise BrokerUnavailable("the log is away, on purpose")
        super().append(batches, bound)


class Hanging(MemoryEventLog):
    """A log that never answers."""

    async def aappend(self, batches: Sequence[bytes], bound: int) -> None:
        await asyncio.Event().wait()


class WithLog(MemoryBroker):
    """A broker with a log of another kind."""

    kind: type[MemoryEventLog] = Refusing

    @property
    def event_log(self) -> MemoryEventLog:
        return self.kind(self._space)


class WithHangingLog(WithLog):
    kind = Hanging


@pytest.mark.parametrize("broker", [WithLog, WithHangingLog])
def test_an_engine_that_takes_no_events_loses_no_job_and_delays_none(broker: type[WithLog]) -> None:
    space = Space()
    app = Umbel("shop", broker(space), MemoryStore(space), set_as_current=False)
    Refusing.away = True
    assert app.teller is not None

    @app.task
    def add(x: int) -> int:
        return x

    with worker(app):
        handles = add.delay_many([(number,) for number in range(50)])
        assert [handle.get(timeout=DEADLINE_SECONDS) for handle in handles] == list(range(50))
    if broker is WithLog:
        Refusing.away = False
        sent = {handle.id for handle in handles}
        until(app, lambda found: {event.id for event in found if event.kind == "task-sent"} >= sent)
