"""Events: each change of a job is seen once, its end at once; waiting asks rarely."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from umbel import AsyncResult, Task, Umbel, events
from umbel.contracts.powers import Location
from umbel.exceptions import TimeoutError, UnknownResult
from umbel.looking import Sight, seen
from umbel.testing import worker
from umbel.wire import note

SECONDS = 60.0


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "FIRST_PAUSE_SECONDS", 0.005)


@pytest.fixture
def app(request: pytest.FixtureRequest) -> Umbel:
    return Umbel("events", broker=f"memory://{request.function.__name__}{id(request.node)}", set_as_current=False)


class Steps:
    """Lets a task go on step by step."""

    def __init__(self) -> None:
        self.doors = [threading.Event() for _ in range(3)]

    def wait(self, number: int) -> None:
        """Wait at door *number*."""
        assert self.doors[number].wait(SECONDS)


@pytest.fixture
def steps() -> Iterator[Steps]:
    steps = Steps()
    yield steps
    for door in steps.doors:
        door.set()


@pytest.fixture
def work(app: Umbel, steps: Steps) -> Task[..., Any]:
    @app.task(bind=True, name="work")
    def work(self: Any, fail: bool = False) -> str:
        self.update_state(state="HALF", meta=1)
        steps.wait(0)
        if fail:
            raise ValueError("no")
        return "done"

    return work


HALF = Sight("HALF", 1, "running")


def test_each_change_is_seen_once_and_the_end_ends_it(app: Umbel, work: Task[..., Any], steps: Steps) -> None:
    found: list[Sight] = []
    with worker(app):
        for event in work.delay().events(SECONDS):
            found.append(event)
            if event == HALF:
                steps.doors[0].set()
    assert found[-2:] == [HALF, Sight("SUCCESS", "done", "ended")]
    assert {event.state for event in found[:-2]} <= {"PENDING"}
    assert len(found) == len({(event.state, event.place) for event in found})


async def test_async_readers_in_another_process_see_the_same(app: Umbel, work: Task[..., Any], steps: Steps) -> None:
    found: list[Sight] = []
    with worker(app):
        handle = app.AsyncResult(work.delay(fail=True).id)
        async for event in handle.events(SECONDS):
            found.append(event)
            if event == HALF:
                steps.doors[0].set()
    assert (found[-2], found[-1].state, found[-1].place) == (HALF, "FAILURE", "ended")
    assert isinstance(found[-1].info, ValueError)


def test_a_job_that_has_ended_has_one_event(app: Umbel, work: Task[..., Any], steps: Steps) -> None:
    steps.doors[0].set()
    with worker(app):
        handle = work.delay()
        handle.get(timeout=SECONDS)
        assert list(app.AsyncResult(handle.id).events()) == [Sight("SUCCESS", "done", "ended")]


def test_the_end_of_a_job_whose_result_is_ignored_is_seen(app: Umbel) -> None:
    @app.task(ignore_result=True)
    def quiet() -> None: ...

    with worker(app):
        assert list(quiet.delay().events(SECONDS))[-1] == Sight("IGNORED", None, "ended")


def test_an_unknown_job_has_no_events(app: Umbel) -> None:
    with pytest.raises(UnknownResult, match="nobody"):
        list(app.AsyncResult("nobody").events(SECONDS))


def test_who_waits_too_long_is_told(app: Umbel, work: Task[..., Any]) -> None:
    with pytest.raises(TimeoutError, match=r"did not end within 0\.02 s"):
        list(work.delay().events(0.02))


def test_waiting_asks_more_and_more_rarely(app: Umbel, work: Task[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    patience: list[float] = []

    def watch(self: Any, job_id: str, queue: str | None, seconds: float) -> None:
        del self, job_id, queue
        patience.append(seconds)
        if len(patience) == 12:
            raise KeyboardInterrupt

    handle = work.delay()
    monkeypatch.setattr(type(app.store), "watch", watch)
    with pytest.raises(KeyboardInterrupt):
        list(handle.events())
    assert patience[:3] == pytest.approx([0.005, 0.0075, 0.01125])
    assert patience == sorted(patience)
    monkeypatch.setattr(events, "FIRST_PAUSE_SECONDS", 0.9)
    patience.clear()
    with pytest.raises(KeyboardInterrupt):
        list(handle.events())
    assert patience[-1] == events.LAST_PAUSE_SECONDS


def test_get_tells_of_changes_of_looks_and_of_the_value(app: Umbel, work: Task[..., Any], steps: Steps) -> None:
    messages: list[dict[str, Any]] = []
    looks: list[int] = []
    values: list[tuple[str, Any]] = []

    def on_message(message: dict[str, Any]) -> None:
        messages.append(message)
        steps.doors[0].set()

    with worker(app):
        handle = work.delay()
        value = handle.get(
            SECONDS,
            callback=lambda *what: values.append(what),
            on_message=on_message,
            on_interval=lambda: looks.append(1),
            interval=0.01,
        )
    assert (value, values) == ("done", [(handle.id, "done")])
    assert [(message["status"], message["result"]) for message in messages] == [("HALF", 1), ("SUCCESS", "done")]
    assert messages[0].keys() == {"task_id", "status", "result", "traceback", "children"}
    assert looks


async def test_aget_does_so_too(app: Umbel, work: Task[..., Any], steps: Steps) -> None:
    steps.doors[0].set()
    values: list[tuple[str, Any]] = []
    states: list[str] = []

    def on_message(message: dict[str, Any]) -> None:
        states.append(message["status"])

    with worker(app):
        handle: AsyncResult[Any] = work.delay()
        await handle.aget(SECONDS, callback=lambda *what: values.append(what), on_message=on_message)
    assert values == [(handle.id, "done")]
    assert states[-1] == "SUCCESS"


def location(retries: int = 0, noted: int = 0, **more: Any) -> Location:
    return Location("running", "default", retries, note=note.encode("HALF", note.encode_meta([1]), noted), **more)


@pytest.mark.parametrize(
    ("found", "tracked", "sight"),
    [
        (Location("ready", "q"), True, Sight("PENDING", None, "ready")),
        (Location("ready", "q", 1), True, Sight("RETRY", None, "ready")),
        (Location("delayed", "q", 1), False, Sight("RETRY", None, "delayed")),
        (Location("unknown"), True, Sight("PENDING", None, "unknown")),
        (Location("running", "q"), False, Sight("PENDING", None, "running")),
        (Location("running", "q"), True, Sight("STARTED", None, "running")),
        (location(), True, Sight("HALF", [1], "running")),
        (location(retries=1, noted=1), False, Sight("HALF", [1], "running")),
        (location(retries=1), True, Sight("STARTED", None, "running")),
    ],
)
def test_what_a_place_says(found: Location, tracked: bool, sight: Sight) -> None:
    assert seen(found, tracked) == sight


def test_a_damaged_note_hides_no_job() -> None:
    sight = seen(Location("running", "q", note=b"nonsense"), tracked=False)
    assert (sight.state, type(sight.info).__name__) == ("STARTED", "DecodeError")


def wait_for(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_children_are_those_that_the_task_has_sent(app: Umbel) -> None:
    @app.task
    def leaf(x: int) -> int:
        return x

    @app.task(bind=True)
    def fan(self: Any) -> list[str]:
        leaf.delay_many([(1,), (2,)])
        (leaf.si(3) | leaf.s()).delay()
        return [child.id for child in self.request.children]

    @app.task
    def fails() -> None:
        leaf.delay(4)
        raise ValueError

    with worker(app):
        handle, failed = fan.delay(), fails.delay()
        known = handle.get(timeout=SECONDS)
        elsewhere = app.AsyncResult(handle.id)
        assert [child.id for child in elsewhere.children] == known
        wait_for(lambda: all(child.ready() for child in elsewhere.children))
        assert [value for _, value in elsewhere.collect()][1:] == [1, 2, 3]
        assert len(elsewhere.graph) == len(elsewhere.build_graph()) == 4
        assert elsewhere.graph[handle.id] == known
        drawn = io.StringIO()
        elsewhere.graph.to_dot(drawn)
        assert drawn.getvalue().count("->") == 3
        failed.get(timeout=SECONDS, propagate=False)
        assert [child.get(timeout=SECONDS) for child in failed.children] == [4]


def test_a_record_names_a_limited_number_of_children(app: Umbel) -> None:
    @app.task(ignore_result=True)
    def leaf() -> None: ...

    @app.task
    def fan() -> None:
        leaf.delay_many([()] * 300)

    with worker(app):
        handle = fan.delay()
        handle.get(timeout=SECONDS)
        assert len(handle.children) == 256
