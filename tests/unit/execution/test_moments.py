"""The signals of jobs: in Celery's order, between the hooks, for each outcome; and of jobs that do not run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from umbel import Task, Umbel, current_task, signals
from umbel.contracts.jobs import JobHolder
from umbel.exceptions import Ignore, Reject, Retry
from umbel.model.job import Job
from umbel.signals import Signal
from umbel.testing import worker
from umbel.testing.conformance.eventually import eventually

SECONDS = 60.0
NAMES = [name for name in vars(signals) if name.startswith("task_") and isinstance(getattr(signals, name), Signal)]


class Odd(Exception):
    pass


class Told(list[tuple[str, dict[str, Any]]]):
    """What receivers and hooks were told, in order."""

    def names(self, *without: str) -> list[str]:
        """What was told, without what it says."""
        return [name for name, _ in self if name not in without]

    def of(self, name: str) -> dict[str, Any]:
        """What was told at the moment *name*, which came once."""
        (found,) = [named for each, named in self if each == name]
        return found


@pytest.fixture
def told() -> Iterator[Told]:
    told = Told()
    connected = []
    for name in NAMES:

        def receiver(_name: str = name, **named: Any) -> None:
            told.append((_name, named))

        getattr(signals, name).connect(receiver)
        connected.append((getattr(signals, name), receiver))
    yield told
    for signal, receiver in connected:
        signal.disconnect(receiver)
    for name, named in told:
        if name in NAMES:  # those that Celery names, no more and no fewer
            assert named.keys() == {"signal", "sender", *getattr(signals, name).providing_args}, name


@pytest.fixture
def app(request: pytest.FixtureRequest) -> Umbel:
    return Umbel("moments", broker=f"memory://{request.function.__name__}{id(request.node)}", set_as_current=False)


def hooked(told: Told) -> type[Task[..., Any]]:
    class Hooked(Task[..., Any]):
        def before_start(self, *_: Any, **__: Any) -> None:
            told.append(("before_start", {}))

        def on_success(self, *_: Any, **__: Any) -> None:
            told.append(("on_success", {}))

        def on_failure(self, *_: Any, **__: Any) -> None:
            told.append(("on_failure", {}))

        def on_retry(self, *_: Any, **__: Any) -> None:
            told.append(("on_retry", {}))

        def after_return(self, *_: Any, **__: Any) -> None:
            told.append(("after_return", {}))

    return Hooked


def do(app: Umbel, told: Told, *, asynchronous: bool) -> Task[..., Any]:
    def body(what: BaseException | None, *_: Any) -> str:
        told.append(("body", {}))
        if what is not None:
            raise what
        return "done"

    def sync(what: str) -> Any:
        return body(_raised(what))

    async def twin(what: str) -> Any:
        await asyncio.sleep(0)
        return body(_raised(what))

    made: Task[..., Any] = app.task(name="do", base=hooked(told), max_retries=1, default_retry_delay=0)(
        twin if asynchronous else sync
    )
    return made


def _raised(what: str) -> BaseException | None:
    again = Retry(exc=Odd("again"), when=3600)
    return {"fail": Odd("no"), "ignore": Ignore(), "reject": Reject("no"), "retry": again}.get(what)


@pytest.fixture(params=[False, True], ids=["def", "async def"])
def task(request: pytest.FixtureRequest, app: Umbel, told: Told) -> Iterator[Task[..., Any]]:
    task = do(app, told, asynchronous=request.param)
    with worker(app):
        yield task


async def ended(told: Told) -> None:
    await eventually(lambda: "task_postrun" in told.names(), SECONDS)


async def test_success_in_celerys_order(task: Task[..., Any], told: Told) -> None:
    handle = task.delay("well")
    await ended(told)
    order = ["before_start", "body", "on_success", "task_success", "after_return", "task_postrun"]
    assert told.names() == ["task_received", "task_prerun", *order]
    who = {"sender": task, "task": task, "task_id": handle.id, "args": ["well"], "kwargs": {}}
    assert told.of("task_prerun") == {**who, "signal": signals.task_prerun}
    assert told.of("task_postrun") == {**who, "signal": signals.task_postrun, "retval": "done", "state": "SUCCESS"}
    assert (told.of("task_success")["result"], told.of("task_success")["sender"]) == ("done", task)
    assert told.of("task_success")["runtime"] >= 0
    request = told.of("task_received")["request"]
    assert (request.id, request.task_name, request.args) == (handle.id, "do", ["well"])


async def test_failure_in_celerys_order(task: Task[..., Any], told: Told) -> None:
    handle = task.delay("fail")
    await ended(told)
    order = ["on_failure", "task_failure", "after_return", "task_postrun"]
    assert told.names("task_received") == ["task_prerun", "before_start", "body", *order]
    failure = told.of("task_failure")
    assert (failure["task_id"], failure["args"], failure["sender"]) == (handle.id, ["fail"], task)
    assert isinstance(failure["exception"], Odd)
    assert "Odd" in failure["einfo"].traceback
    assert (told.of("task_postrun")["state"], type(told.of("task_postrun")["retval"])) == ("FAILURE", Odd)


async def test_a_retry_tells_why(task: Task[..., Any], told: Told) -> None:
    task.delay("retry")
    await ended(told)
    assert told.names("task_received")[3:] == ["on_retry", "task_retry", "task_postrun"]
    retry = told.of("task_retry")
    assert isinstance(retry["reason"], Retry)
    assert isinstance(retry["einfo"].exception, Odd)
    assert retry["request"].id == told.of("task_postrun")["task_id"]
    assert told.of("task_postrun")["state"] == "RETRY"


@pytest.mark.parametrize(("what", "state", "moments"), [("ignore", "IGNORED", []), ("reject", "FAILURE", ["failure"])])
async def test_ignore_and_reject(task: Task[..., Any], told: Told, what: str, state: str, moments: list[str]) -> None:
    task.delay(what)
    await ended(told)
    seen = [name for name in told.names() if name in ("task_failure", "task_success", "task_retry")]
    assert seen == [f"task_{name}" for name in moments]
    assert told.of("task_postrun")["state"] == state


async def test_a_job_that_has_expired_is_told_of_as_revoked(task: Task[..., Any], told: Told) -> None:
    handle = task.apply_async(("well",), expires=-1.0)
    await eventually(lambda: "task_revoked" in told.names(), SECONDS)
    assert told.names() == ["task_revoked"]
    revoked = told.of("task_revoked")
    assert (revoked["sender"], revoked["request"].id, revoked["request"].args) == (task, handle.id, ["well"])
    assert (revoked["expired"], revoked["terminated"], revoked["signum"]) == (True, False, None)


async def test_a_job_of_an_unknown_task_and_one_that_nobody_can_read(app: Umbel, told: Told) -> None:
    app.broker.send([Job("unreadable", "default", b"nonsense")])
    handle = app.send_task("nowhere")
    with worker(app):
        await eventually(lambda: len(told) == 2, SECONDS)
    unknown, rejected = told.of("task_unknown"), told.of("task_rejected")
    assert (unknown["name"], unknown["id"], unknown["sender"]) == ("nowhere", handle.id, "umbel@testing")
    assert "nowhere" in str(unknown["exc"])
    assert rejected["message"].id == "unreadable"
    assert "not an envelope" in str(rejected["exc"])


async def test_a_job_that_was_revoked_while_it_waited_is_told_of_where_it_comes_to(app: Umbel, told: Told) -> None:
    task = do(app, told, asynchronous=False)
    handle = task.apply_async(("well",))
    broker: object = app.broker
    assert isinstance(broker, JobHolder)
    broker.job_store.revoke("somebody", [(handle.id, None)], 60.0)
    broker.job_store.end("somebody", [])  # who dies before it has ended them leaves doomed jobs behind
    with worker(app):
        await eventually(lambda: bool(told), SECONDS)
    assert told.names() == ["task_revoked"]
    assert told.of("task_revoked")["expired"] is False


async def test_a_failing_receiver_changes_nothing(task: Task[..., Any], told: Told) -> None:
    async def wrong(**_: Any) -> None:
        raise Odd

    for name in NAMES:
        getattr(signals, name).connect(wrong)
    try:
        assert await task.delay("well").aget(timeout=SECONDS) == "done"
        await ended(told)
    finally:
        for name in NAMES:
            getattr(signals, name).disconnect(wrong)
    assert told.of("task_postrun")["state"] == "SUCCESS"


async def test_coroutines_run_in_the_childs_loop_and_know_the_job(task: Task[..., Any], told: Told) -> None:
    seen: list[tuple[str, str]] = []

    async def receiver(**_: Any) -> None:
        await asyncio.sleep(0)
        seen.append((threading.current_thread().name, current_task.request.id))

    signals.task_prerun.connect(receiver)
    try:
        handle = task.delay("well")
        await ended(told)
    finally:
        signals.task_prerun.disconnect(receiver)
    assert seen == [("umbel-testing", handle.id)]


@pytest.mark.parametrize("asynchronous", [False, True], ids=["revoke", "arevoke"])
async def test_a_job_that_waits_is_told_of_where_it_is_revoked(app: Umbel, told: Told, asynchronous: bool) -> None:
    heard: list[str] = []

    async def receiver(request: Any, **_: Any) -> None:
        await asyncio.sleep(0)
        heard.append(request.id)

    handle = do(app, told, asynchronous=False).apply_async(("well",))
    signals.task_revoked.connect(receiver)
    try:
        await handle.arevoke() if asynchronous else handle.revoke()
    finally:
        signals.task_revoked.disconnect(receiver)
    assert told.names() == ["task_revoked"]
    assert (told.of("task_revoked")["terminated"], heard) == (False, [handle.id])
