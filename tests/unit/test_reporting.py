"""Progress: what a task says of itself leaves rarely, but the last word always; and only while the job is its own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest

from umbel import Task, Umbel, progress
from umbel.contracts.capabilities import Power
from umbel.exceptions import BrokerUnavailable, EncodeError, ImproperlyConfigured, LeaseLost
from umbel.model.job import FIRST, Counts, Delivery
from umbel.page import Page
from umbel.request import Request, running
from umbel.testing import worker
from umbel.testing.conformance.eventually import eventually
from umbel.wire import note
from umbel.wire.envelope import Envelope
from umbel.worker.child import notebook as module
from umbel.worker.child.ledger import OwnEngine
from umbel.worker.child.link import Link
from umbel.worker.child.notebook import Notebook

SECONDS = 60.0


class Store:
    """Stands for an engine: keeps notes, may refuse them, may be away."""

    def __init__(self) -> None:
        self.powers = frozenset({Power.NOTES})
        self.note_store = self
        self.kept: list[tuple[str, str, Any]] = []
        self.calls = 0
        self.ours = True
        self.away = 0

    async def note(self, session: str, notes: Sequence[tuple[Delivery, bytes]]) -> list[bool]:
        """Keep *notes*, unless told otherwise."""
        assert session == "session"
        self.calls += 1
        await asyncio.sleep(0)
        if self.away:
            self.away -= 1
            raise BrokerUnavailable("away")
        for delivery, body in notes:
            found = note.decode(body)
            self.kept.append((delivery.id, found.state, note.meta_of(found)))
        return [self.ours] * len(notes)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def app() -> Umbel:
    return Umbel("reporting", broker="memory://reporting", set_as_current=False)


@pytest.fixture
def task(app: Umbel) -> Task[..., Any]:
    @app.task(bind=True, name="talk")
    def talk(self: Any) -> None: ...

    return talk


@pytest.fixture
async def notebook(store: Store, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Notebook]:
    monkeypatch.setattr(module, "PERIOD_SECONDS", 0.05)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    made = Notebook(Link(store, OwnEngine(None), "session", ("default",)), "amqp://here")  # type: ignore[arg-type]
    yield made
    await made.aclose()


@pytest.fixture
def run(task: Task[..., Any], notebook: Notebook) -> Iterator[Request]:
    request = request_of(task, "job")
    request.notebook = notebook
    token = running.set(request)
    yield request
    running.reset(token)


def request_of(task: Task[..., Any], job: str, counts: Counts = FIRST) -> Request:
    return Request(task, Delivery(job, "default", 9, 1, b"", counts), Envelope("talk"), [], {}, "here")


@pytest.mark.usefixtures("run")
async def test_the_first_word_leaves_at_once_and_the_last_one_always(task: Task[..., Any], store: Store) -> None:
    for current in range(1000):
        task.progress(current, 1000, "rows")
    await eventually(lambda: store.kept[-1:] == [shown(999, 1000, "rows")], SECONDS)
    assert store.calls <= 3


def shown(current: int, total: int | None, text: str = "", job: str = "job") -> tuple[str, str, dict[str, Any]]:
    return job, "PROGRESS", {"current": current, "total": total, "text": text}


@pytest.mark.usefixtures("run")
async def test_words_leave_at_most_once_a_period(
    task: Task[..., Any], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PERIOD_SECONDS", 3600.0)
    task.progress(1)
    await eventually(lambda: store.kept == [shown(1, None)], SECONDS)
    task.progress(2)
    task.update_state(state="LATER")
    for _ in range(10):
        await asyncio.sleep(0)
    assert store.kept == [shown(1, None)]


async def test_runs_share_a_round_trip(task: Task[..., Any], store: Store, notebook: Notebook) -> None:
    for number in range(100):
        request = request_of(task, f"job{number}")
        request.notebook = notebook
        token = running.set(request)
        task.update_state(state="HALF", meta=number)
        running.reset(token)
        KEPT.append(request)
    await eventually(lambda: len(store.kept) == 100, SECONDS)
    assert store.calls == 1
    assert store.kept[7] == ("job7", "HALF", 7)


KEPT: list[Request] = []


async def test_what_nobody_runs_any_more_has_nothing_left_to_say(
    task: Task[..., Any], store: Store, notebook: Notebook
) -> None:
    request = request_of(task, "over")
    request.notebook = notebook
    token = running.set(request)
    task.progress(1)
    running.reset(token)
    del request, token
    page = Page(Delivery("other", "default", 9, 1, b""))
    page.say(note.encode("HALF", b"\xc0", 0), notebook)
    await eventually(lambda: store.kept == [("other", "HALF", None)], SECONDS)


@pytest.mark.usefixtures("run")
async def test_who_has_lost_the_job_is_told_at_the_next_word(task: Task[..., Any], store: Store, run: Request) -> None:
    store.ours = False
    task.progress(1)
    await eventually(lambda: run.page is not None and run.page.lost, SECONDS)
    with pytest.raises(LeaseLost):
        task.progress(2)
    with pytest.raises(LeaseLost):
        task.update_state(state="HALF")


@pytest.mark.usefixtures("run")
async def test_who_has_not_lost_it_is_not(task: Task[..., Any], store: Store, run: Request) -> None:
    task.progress(1)
    await eventually(lambda: len(store.kept) == 1, SECONDS)
    task.progress(2)
    assert run.page is not None
    assert not run.page.lost


@pytest.mark.usefixtures("run")
async def test_an_outage_keeps_the_last_word(task: Task[..., Any], store: Store) -> None:
    store.away = 3
    task.progress(1)
    await eventually(lambda: store.calls > 0, SECONDS)
    task.progress(2)
    await eventually(lambda: store.kept[-1:] == [shown(2, None)], SECONDS)


async def test_a_note_of_another_process_is_relayed(store: Store, notebook: Notebook) -> None:
    delivery = Delivery("far", "default", 9, 4, b"")
    notebook.relay(delivery, note.encode("HALF", note.encode_meta([1]), 0))
    await eventually(lambda: store.kept == [("far", "HALF", [1])], SECONDS)
    store.ours = False
    notebook.relay(delivery, note.encode("MORE", note.encode_meta([2]), 0))
    await eventually(lambda: len(store.kept) == 2, SECONDS)
    await asyncio.sleep(0)
    with pytest.raises(LeaseLost):
        notebook.relay(delivery, note.encode("MORE", note.encode_meta([3]), 0))
    notebook.forget(delivery)


@pytest.mark.usefixtures("run")
async def test_a_state_with_which_a_job_ends_is_refused(task: Task[..., Any]) -> None:
    for state in ("SUCCESS", "FAILURE", "REVOKED", "IGNORED"):
        with pytest.raises(ValueError, match=f"{state} is how a job ends"):
            task.update_state(state=state)
    for wrong in ("", "x" * 65, 3):
        with pytest.raises(ValueError, match="is no state"):
            task.update_state(state=wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="another job"):
        task.update_state("another", "HALF")
    with pytest.raises(EncodeError, match="object"):
        task.update_state(meta={"x": object()})
    with pytest.raises(EncodeError, match="store it elsewhere"):
        task.update_state(meta="x" * 70_000)


@pytest.mark.usefixtures("run")
async def test_a_suppressed_word_that_cannot_travel_is_logged_and_harms_no_other(
    task: Task[..., Any], store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    task.progress(1)
    task.progress(object())  # type: ignore[arg-type]
    await eventually(lambda: "the progress of job cannot travel" in caplog.text, SECONDS)
    task.progress(2)
    await eventually(lambda: store.kept[-1:] == [shown(2, None)], SECONDS)


@pytest.mark.usefixtures("run")
async def test_a_broker_that_keeps_no_notes_says_so(task: Task[..., Any], store: Store) -> None:
    store.powers = frozenset()
    with pytest.raises(ImproperlyConfigured, match=r"update_state needs a broker that .*: amqp://here does not"):
        task.update_state(state="HALF")
    with pytest.raises(ImproperlyConfigured):
        task.progress(1)


def test_in_a_plain_call_and_eager_nothing_happens(app: Umbel, task: Task[..., Any]) -> None:
    task.progress(1, 2)
    task.update_state(state="HALF")

    @app.task(bind=True)
    def eager(self: Any) -> list[int]:
        self.update_state(state="HALF")
        return list(progress([1, 2]))

    assert eager.apply().get() == [1, 2]


async def test_items_are_counted(store: Store, run: Request) -> None:
    assert list(progress(["a", "b"], text="rows")) == ["a", "b"]
    await eventually(lambda: store.kept[-1:] == [shown(2, 2, "rows")], SECONDS)

    async def rows() -> AsyncIterator[int]:
        for number in range(3):
            yield number

    assert [row async for row in progress(rows(), total=3)] == [0, 1, 2]
    await eventually(lambda: store.kept[-1:] == [shown(3, 3)], SECONDS)
    assert run.page is not None


@pytest.mark.usefixtures("run")
async def test_a_suppressed_word_takes_next_to_no_time(task: Task[..., Any]) -> None:
    task.progress(0)
    began = time.process_time()
    for current in range(10_000):
        task.progress(current, 10_000)
    assert time.process_time() - began < 10_000 * 20e-6  # it takes half a microsecond on a quiet machine


@pytest.mark.parametrize("asynchronous", [False, True], ids=["def", "async def"])
def test_handles_show_what_a_task_says(request: pytest.FixtureRequest, asynchronous: bool) -> None:
    app = Umbel("shown", broker=f"memory://{id(request.node)}", task_track_started=True, set_as_current=False)
    steps = [threading.Event(), threading.Event()]

    def sync(self: Any) -> str:
        steps[0].wait(SECONDS)
        self.update_state(state="HALF", meta={"rows": 5})
        steps[1].wait(SECONDS)
        return "done"

    async def twin(self: Any) -> str:
        await asyncio.to_thread(steps[0].wait, SECONDS)
        await self.aupdate_state(state="HALF", meta={"rows": 5})
        await asyncio.to_thread(steps[1].wait, SECONDS)
        return "done"

    task: Task[..., Any] = app.task(bind=True, name="work")(twin if asynchronous else sync)
    with worker(app):
        handle = task.delay()
        until(lambda: handle.state == "STARTED" and handle.info is not None)
        assert handle.info["hostname"] == "umbel@testing"
        assert handle.info["pid"] > 0
        steps[0].set()
        until(lambda: handle.state == "HALF")
        assert (handle.info, handle.result, handle.ready()) == ({"rows": 5}, {"rows": 5}, False)
        steps[1].set()
        assert handle.get(timeout=SECONDS) == "done"
        assert (handle.state, handle.info) == ("SUCCESS", "done")


def until(true: Any) -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)
