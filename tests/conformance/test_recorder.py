"""The recorder, from a log of events in memory into a history in a file."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from tests.conformance.history_stage import Clock, batch, event
from tests.servers import Disk
from umbel import Umbel
from umbel.brokers.memory import MemoryBroker
from umbel.brokers.memory.event_log import MemoryEventLog
from umbel.clock import clock
from umbel.contracts.broker import Beat, Settlement
from umbel.contracts.event_log import Kept, number_in
from umbel.contracts.powers import Record
from umbel.engines.memory import Space
from umbel.engines.memory_log import Log
from umbel.engines.sqlite_history import SqliteArchive
from umbel.exceptions import HistoryError, HistoryFull
from umbel.history import History, open_history
from umbel.history.courtesy import Backlog, Courtesy
from umbel.history.reconciling import SILENT_SECONDS, Reconciler
from umbel.history.recorder import Recorder, Source
from umbel.history.recording import recording
from umbel.history.retention import Terms
from umbel.history.sampling import Sampler
from umbel.model.event import Tally
from umbel.model.failure import Failure
from umbel.model.ids import new_session
from umbel.model.job import Job
from umbel.model.outcome import Result
from umbel.settings import Settings
from umbel.stores.memory import MemoryStore
from umbel.testing.conformance.eventually import eventually
from umbel.wire import events, record
from umbel.wire.envelope import Envelope, encode

PAGE = Path(__file__).parents[2] / "docs" / "history.md"
TERMS = Terms(1e9, 1e9, 10**9, 2**50)


class Trying(SqliteArchive):
    """A history that refuses to be written while *refusal* is set."""

    refusal: HistoryError | None = None

    def write(self, step: Callable[[Any], Any]) -> Any:
        """Write, or refuse to."""
        if self.refusal is not None:
            raise self.refusal
        return super().write(step)


class Stage:
    """A broker in memory, a history in a file, and one clock."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.space = Space()
        self.broker = MemoryBroker(self.space, self.clock)
        self.store = MemoryStore(self.space, self.clock)
        self.archive = Trying(f"sqlite:///{folder}/history.db", "history_url", "umbel.history")
        self.history = History(self.archive, self.clock)
        self.source = Source("memory://", self.broker, self.broker.event_log, self.broker, self.store)

    def recorder(self) -> Recorder:
        """One more recorder."""
        return Recorder(self.archive, self.source, TERMS, self.clock)

    def tell(self, *numbers: int, source: str = "s") -> None:
        """Append batches to the log, each of a job of its own."""
        told = [events.encode(batch(n, event("task-sent", f"{source}{n}"), source=source)) for n in numbers]
        self.broker.event_log.append(told, 1_000)

    def ids(self) -> set[str]:
        """The jobs in the history."""
        return {row.id for row in self.history.jobs(limit=1_000).rows}


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A stage."""
    found = Stage(tmp_path)
    yield found
    found.history.close()


async def test_a_recorder_goes_on_where_the_last_one_was(stage: Stage) -> None:
    stage.tell(*range(1, 41))
    assert await stage.recorder().catch_up() == 40
    stage.tell(41)
    assert await stage.recorder().catch_up() == 1
    assert len(stage.ids()) == 41
    assert stage.history.standing().gaps == ()


async def test_several_recorders_write_each_batch_once(stage: Stage) -> None:
    stop = asyncio.Event()
    running = [asyncio.create_task(stage.recorder().run(stop)) for _ in range(3)]
    for n in range(1, 31):
        stage.tell(n)
        await asyncio.sleep(0)
    await eventually(lambda: stage.history.standing().recorded and len(stage.ids()) == 30)
    stop.set()
    await asyncio.gather(*running)
    assert stage.history.standing().seq == 30


async def test_a_recorder_gives_way_after_each_write_but_for_a_stop(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[float, float, Backlog]] = []

    def long(_: Courtesy, took: float, ran: float, backlog: Backlog) -> float:
        asked.append((took, ran, backlog))
        return 3_600.0

    monkeypatch.setattr(Courtesy, "pause", long)
    monkeypatch.setattr(Courtesy, "short", lambda _: True)
    stage.source = msgspec.structs.replace(stage.source, bound=4)
    stage.clock.now += 7.0
    stage.tell(1)
    stop = asyncio.Event()
    running = asyncio.create_task(stage.recorder().run(stop))
    await eventually(lambda: asked)
    stage.tell(2)
    stop.set()
    await running
    assert stage.ids() == {"s1"}
    ((took, ran, backlog),) = asked
    assert backlog == (7.0, 0.0)
    assert took >= ran > 0
    assert await stage.recorder().catch_up() == 1


async def test_where_processors_are_short_little_is_written_at_once_and_all_of_it_in_the_end(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("umbel.history.recorder.LITTLE_EVENTS", 2)
    asked: list[float | None] = []

    def none(_: Courtesy, took: float, ran: float, backlog: Backlog) -> float:
        asked.append(backlog.fill)
        return 0.0

    monkeypatch.setattr(Courtesy, "pause", none)
    monkeypatch.setattr(Courtesy, "short", lambda _: True)
    stage.source = msgspec.structs.replace(stage.source, bound=4)
    stage.tell(*range(1, 6))
    stop = asyncio.Event()
    running = asyncio.create_task(stage.recorder().run(stop))
    await eventually(lambda: len(asked) == 3)
    stop.set()
    await running
    assert asked == [0.75, 0.25, 0.0]
    assert len(stage.ids()) == 5


async def test_a_batch_that_nobody_can_read_keeps_no_other_out(stage: Stage) -> None:
    stage.tell(1)
    stage.broker.event_log.append([b"\xc1 rubbish", b""], 1_000)
    stage.tell(2)
    assert await stage.recorder().catch_up() == 2
    assert stage.ids() == {"s1", "s2"}


async def test_a_batch_that_cannot_be_written_keeps_no_other_out(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.tell(1, 2, 3)
    recorder = stage.recorder()
    write = recorder._ingest.write

    def refusing(batches: Any, *given: Any) -> Any:
        if any(each.number == 2 for each in batches):
            raise HistoryError("this one not")
        return write(batches, *given)

    monkeypatch.setattr(recorder._ingest, "write", refusing)
    assert await recorder.catch_up() == 2
    assert stage.ids() == {"s1", "s3"}


async def test_while_there_is_no_room_nothing_is_lost_and_it_is_told(stage: Stage) -> None:
    recorder, stop = stage.recorder(), asyncio.Event()
    stage.tell(1)
    await recorder.catch_up()
    stage.archive.refusal = HistoryFull("no room")
    running = asyncio.create_task(recorder.run(stop))
    stage.tell(2, 3)
    await eventually(lambda: recorder.trouble == "no room")
    stage.archive.refusal = None
    await eventually(lambda: stage.ids() == {"s1", "s2", "s3"})
    await eventually(lambda: recorder.trouble == "")
    stop.set()
    await running
    assert stage.history.standing().trouble == ""


async def test_a_full_disk_stops_the_history_until_there_is_room(mount: Callable[[int], Disk]) -> None:
    disk = mount(8)
    stage = Stage(disk.path)
    stage.tell(1)
    await stage.recorder().catch_up()
    disk.fill()
    stage.broker.event_log.append(
        [events.encode(batch(n, event("task-sent", f"s{n}", args=f'["{"x" * 60_000}"]'))) for n in range(2, 20)], 1_000
    )
    with pytest.raises(HistoryFull):
        await stage.recorder().catch_up()
    assert stage.ids() == {"s1"}
    stop = asyncio.Event()
    running = asyncio.create_task(stage.recorder().run(stop))
    await eventually(lambda: "no space is left" in _fresh(stage).standing().trouble)
    disk.free()
    await eventually(lambda: len(stage.ids()) == 19)
    await eventually(lambda: _fresh(stage).standing().trouble == "")
    stop.set()
    await running
    stage.history.close()


def _fresh(stage: Stage) -> History:
    """The history as a process sees it that has just begun, long after anybody recorded."""
    return History(stage.archive, lambda: stage.clock() + 60)


class Patient(MemoryEventLog):
    """A log that waits for what comes after a cursor, whoever gave that."""

    async def read(self, after: str, limit: int, wait: float) -> list[Kept]:
        """As Redis and PostgreSQL."""
        return [each for each in await super().read(after, limit, wait) if number_in(each.cursor) > number_in(after)]


@pytest.mark.parametrize("log", [MemoryEventLog, Patient])
async def test_a_log_that_was_wiped_is_read_from_its_start_and_that_is_told(
    stage: Stage, log: type[MemoryEventLog]
) -> None:
    stage.source = msgspec.structs.replace(stage.source, log=log(stage.space))
    stage.tell(*range(1, 6))
    recorders = [stage.recorder(), stage.recorder()]
    for each in recorders:
        await each.catch_up()
    stage.space.log = Log()
    stage.tell(1, 2, source="t")
    stop = asyncio.Event()
    running = [asyncio.create_task(each.run(stop)) for each in recorders]
    await eventually(lambda: {"t1", "t2"} < stage.ids())
    stage.tell(3, source="t")
    await eventually(lambda: "t3" in stage.ids())
    stop.set()
    await asyncio.gather(*running)
    stage.clock.now += 60
    assert [(gap.source, gap.opening) for gap in stage.history.standing().gaps] == [("log memory://", False)]


async def test_a_recorder_that_waits_stops_at_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("umbel.history.recorder.WAIT_SECONDS", 600.0)
    stop = asyncio.Event()
    await stage.recorder().catch_up()
    stage.history.audit("me", "::1", "test", "", 1, "done")
    running = asyncio.create_task(stage.recorder().run(stop))
    await eventually(lambda: stage.history.standing().recorded)
    stop.set()
    async with asyncio.timeout(60):
        await running


async def test_an_app_is_recorded_beside_what_else_its_loop_does(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/history.db"
    app = Umbel("shop", broker=f"memory://{tmp_path.name}", changes={"history_url": url}, set_as_current=False)
    async with recording(app) as recorder:
        await app.asend_task("buy", [1])
        await eventually(lambda: len(open_history(app.conf).jobs().rows) == 1)
        assert (recorder.name, recorder.trouble) == (f"memory://{tmp_path.name}", "")
    await app.asend_task("buy", [1])
    await app.aclose()
    assert len(open_history(app.conf).jobs().rows) == 1


async def test_a_recorder_goes_by_the_clock_of_the_engine_and_signs_by_that_of_its_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("umbel.aligning._HERE", ())
    monkeypatch.setattr(clock, "ahead", 0.0)
    url = f"sqlite:///{tmp_path}/history.db"
    app = Umbel("shop", broker="memory://elsewhere", changes={"history_url": url}, set_as_current=False)
    vars(app)["broker"] = MemoryBroker(Space(), lambda: time.time() + 7_200.0)
    async with recording(app):
        await eventually(lambda: clock.ahead > 7_000.0)
        await app.asend_task("buy", [1])
        await eventually(lambda: [row.sent for row in open_history(app.conf).jobs().rows if row.sent > time.time()])
        signed = open_history(app.conf).standing().recorded
        assert signed is not None
        assert signed <= time.time()
    await app.aclose()


async def test_a_recorder_that_stumbles_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/history.db"
    app = Umbel("shop", broker=f"memory://{tmp_path.name}", changes={"history_url": url}, set_as_current=False)
    write, stumbles = Recorder._write, [True]

    def stumbling(recorder: Recorder, *given: Any) -> int:
        if stumbles:
            raise ZeroDivisionError(stumbles.pop())
        return write(recorder, *given)

    monkeypatch.setattr(Recorder, "_write", stumbling)
    monkeypatch.setattr("umbel.history.recording.PAUSE_SECONDS", 0.01)
    async with recording(app):
        await app.asend_task("buy", [1])
        await eventually(lambda: len(open_history(app.conf).jobs().rows) == 1)
    assert stumbles == []
    await app.aclose()


async def test_queues_are_sampled_once_a_period(stage: Stage) -> None:
    envelope = encode(Envelope("t", created=stage.clock() - 5))
    await stage.broker.asend([Job("a", "q", envelope), Job("b", "q", envelope, delay=60.0)])
    stage.broker.job_store.pause("q", paused=True)
    samplers = [Sampler(stage.archive, stage.broker, stage.broker, stage.clock) for _ in range(2)]
    assert [await each.sample() for each in samplers] == [1, 1]
    (queue,) = stage.history.queues()
    assert (queue.name, queue.last.ready, queue.last.delayed, queue.last.oldest) == ("q", 1, 1, 5.0)
    assert queue.last.paused
    assert len(stage.history.queue("q", 0, stage.clock())) == 1
    await stage.broker.asend([Job("c", "r", envelope)])
    stage.clock.now += 10
    await samplers[0].sample()
    depths = stage.history.depths(stage.clock() - 60, stage.clock())
    assert [(each.ready, each.delayed, each.oldest) for each in depths.points] == [(1, 1, 5.0), (2, 1, 15.0)]


async def test_what_was_not_heard_of_is_looked_for_where_the_jobs_are(stage: Stage) -> None:
    names = ("waits", "runs", "done", "failed", "dead", "gone")
    told = [event("task-sent", name, queue="q", flow="f") for name in names]
    stage.history.ingest([batch(1, *told), batch(3)])
    await _play(stage)
    reconciler = Reconciler(stage.archive, stage.broker, stage.store, stage.clock)
    assert await reconciler.sweep() == 0
    stage.clock.now += SILENT_SECONDS + 20
    assert len(stage.history.standing().gaps) == 1
    assert await reconciler.sweep() == len(names)
    found = {row.id: row.state for row in stage.history.jobs().rows}
    ended = {"done": "succeeded", "failed": "failed", "dead": "dead"}
    assert found == {"waits": "queued", "runs": "running", "gone": "unknown", **ended}
    assert stage.history.standing().gaps == ()
    (flow,) = stage.history.flows()
    assert flow.states == dict(Counter(found.values()))
    detail = stage.history.job("failed")
    assert detail is not None
    assert (detail.job.error, detail.attempts[0].message, detail.job.run) == ("shop.Refused", "no", 2.0)
    assert await reconciler.sweep() == 0


async def test_the_end_of_a_revived_job_is_found_out_with_the_attempt_that_it_was(stage: Stage) -> None:
    told = [event("task-started", "a", 3), event("task-dead", "a", 4), event("task-sent", "a", revived=True)]
    stage.history.ingest([batch(1, *told)])
    result = record.encode(Result("SUCCESS", done=stage.clock() + 9))
    await stage.store.put([Record("a", "orders", result, 10_000.0)])
    stage.clock.now += SILENT_SECONDS + 20
    assert await Reconciler(stage.archive, stage.broker, stage.store, stage.clock).sweep() == 1
    (row,) = stage.history.jobs().rows
    assert (row.state, row.attempt) == ("succeeded", 5)


async def test_the_example_of_the_page_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    ((example,),) = [
        re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL) for page in [PAGE]
    ]
    settings = Settings(history_url=f"sqlite:///{tmp_path}/history.db")
    failed = event("task-failed", "a", 1, time.time(), error="ValueError", message="no", run=0.5)
    with_times = [Tally("tasks.work", "q", time.time(), failed=1)]
    open_history(settings).ingest([batch(1, failed, tallies=with_times)])
    names = {"app": SimpleNamespace(conf=settings, main="tasks"), "start": time.time() - 3_600, "end": time.time()}
    exec(example, names)  # noqa: S102 - our own page
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()][:2] == ["a", "1"]


async def test_an_end_that_is_told_late_counts_although_it_was_given_up(stage: Stage) -> None:
    stage.history.ingest([batch(1, event("task-sent", "gone"))])
    stage.clock.now += SILENT_SECONDS + 1
    await Reconciler(stage.archive, stage.broker, stage.store, stage.clock).sweep()
    assert stage.history.jobs().rows[0].state == "unknown"
    stage.history.ingest([batch(2, event("task-succeeded", "gone", 1, run=1.0))])
    assert stage.history.jobs().rows[0].state == "succeeded"


async def _play(stage: Stage) -> None:
    """Bring the jobs where their names say."""
    envelope = encode(Envelope("shop.buy"))
    session = new_session()
    await stage.broker.heartbeat([Beat(session)], ["q"], 10_000.0, opening=True)
    await stage.broker.asend([Job(name, "q", envelope) for name in ("runs", "dead", "done", "failed", "waits")])
    held = {each.id: each for each in await stage.broker.receive(session, ["q"], 4, wait=0.0)}
    now = stage.clock()
    failure = Failure("Refused", "shop", "no")
    await stage.broker.settle(
        session,
        [
            Settlement(held["dead"], "dead", record=record.encode(Result("FAILURE", failure=failure)), ttl=10_000.0),
            Settlement(held["done"], "end", record=record.encode(Result("SUCCESS", done=now)), ttl=10_000.0),
            Settlement(
                held["failed"], "end", record=record.encode(Result("FAILURE", failure=failure, done=now, run=2.0)),
                ttl=10_000.0,
            ),
        ],
    )  # fmt: skip
