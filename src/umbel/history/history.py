"""History: everything that can be asked of it, and the few things that others than recorders write into it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Literal, TypeVar

from umbel.canvas.repeating import MAX_JOBS, KeptFlow, KeptJob
from umbel.contracts.history import Archive, Transaction
from umbel.history import boards, bulk, charts, groups, jobs, kept_flows
from umbel.history.bounds import short, text
from umbel.history.depths import Depths, depths
from umbel.history.gauge import Gauge
from umbel.history.groups import Status, Stretch
from umbel.history.ingest import Ingest, Written
from umbel.history.jobs import Asked
from umbel.history.labels import Labels
from umbel.history.pulse import Pulse, pulse
from umbel.history.retention import STEP_ROWS, delete
from umbel.history.statement import END
from umbel.history.views import (
    Audit,
    Bulk,
    Count,
    ErrorGroup,
    ErrorSample,
    ErrorSpread,
    Facets,
    FlowView,
    JobDetail,
    JobPage,
    Order,
    QueueSample,
    QueueView,
    Release,
    ScheduleRun,
    Series,
    Standing,
    TaskView,
    Totals,
    WorkerView,
)
from umbel.history.window import MAX_POINTS, Window
from umbel.model.event import Batch

T = TypeVar("T")

READ_SECONDS: Final = 2.0
"""How long a read may take before it is given up with `HistorySlow`."""
DAY: Final = 86_400.0


class History:
    """The history in *archive*; *clock* answers unix seconds. Safe between threads; every call may block for a moment.

    A call of one that reads changes nothing, sees one state of the history, and ends within `READ_SECONDS`. Times are
    unix seconds. Errors: `HistoryUnavailable`, `HistorySlow`, `HistoryError`; a wrong filter raises `FilterError`.
    """

    def __init__(self, archive: Archive, clock: Callable[[], float] = time.time) -> None:
        self._archive = archive
        self._clock = clock
        self._labels = Labels()
        self._ingest = Ingest(archive)
        self._gauge = Gauge(archive, READ_SECONDS)

    # --- jobs

    def jobs(
        self,
        filter: str = "",
        *,
        limit: int = 50,
        before: int | None = None,
        upto: int | None = None,
        at: float | None = None,
    ) -> JobPage:
        """Up to *limit* (at most 1,000) jobs that *filter* matches, newest first; see the page on filters.

        *before* is the cursor of the page above. *upto* leaves out what came after that seq: with the ``top`` of the
        first page, a walk over all that match ends, whatever is sent meanwhile. *at* is the moment from which durations
        like ``since:1h`` count back, by default now.
        """
        asked = self._asked(filter, at)
        return self._read(lambda step: jobs.page(step, self._labels, asked, limit, before, upto))

    def facets(self, filter: str = "", *, at: float | None = None) -> Facets:
        """How many jobs match, by state, task and queue, among the newest 10,000."""
        asked = self._asked(filter, at)
        return self._read(lambda step: jobs.facets(step, self._labels, asked))

    def count(
        self, filter: str = "", *, upto: int | None = None, most: int = 100_000, at: float | None = None
    ) -> Count:
        """How many jobs match, exactly up to *most*; gives up after about a second, and says so.

        Its ``top`` and ``at``, handed to `jobs` as *upto* and *at*, name the jobs that were counted.
        """
        asked = self._asked(filter, at)
        return self._read(lambda step: jobs.counted(step, asked, upto, most))

    def job(self, job_id: str) -> JobDetail | None:
        """All that is known of one job; None if it is not in the history."""
        return self._read(lambda step: jobs.detail(step, self._labels, job_id))

    def envelope(self, job_id: str) -> bytes | None:
        """The exact bytes with which the job can be sent again; None if they are not kept."""
        return self._read(lambda step: jobs.envelope(step, job_id))

    def envelopes(self, job_ids: Sequence[str]) -> dict[str, bytes]:
        """The same for many jobs, by id; those of which they are not kept are left out."""
        return self._read(lambda step: jobs.envelopes(step, job_ids))

    # --- figures

    def series(self, start: float, end: float, *, task: str = "", queue: str = "", points: int = MAX_POINTS) -> Series:
        """What happened from *start* to *end*, at most so many *points*; of all jobs, or of one *task* or *queue*."""
        window = Window(start, end, self._clock(), min(points, MAX_POINTS))
        return self._read(lambda step: charts.series(step, window, task, queue))

    def totals(self, start: float, end: float, by: Literal["task", "queue"] = "task") -> list[Totals]:
        """Counts and percentiles for each task or queue, the busiest first."""
        window = Window(start, end, self._clock())
        return self._read(lambda step: charts.totals(step, self._labels, window, by))

    def busiest(self, start: float, end: float, most: int) -> list[Totals]:
        """The same for the *most* busiest tasks alone, in a fraction of the time."""
        window = Window(start, end, self._clock())
        return self._read(lambda step: charts.busiest(step, self._labels, window, most))

    def total(self, start: float, end: float, task: str) -> Totals | None:
        """The same for one *task*, in a fraction of the time; None if it did nothing."""
        window = Window(start, end, self._clock())
        return self._read(lambda step: charts.total(step, window, task))

    def depths(self, start: float, end: float, *, points: int = MAX_POINTS) -> Depths:
        """How many jobs all queues together held, with the steps of `series`."""
        window = Window(start, end, self._clock(), min(points, MAX_POINTS))
        return self._read(lambda step: depths(step, window))

    def pulse(self, start: float, end: float) -> Pulse:
        """How many jobs of each task ended over time."""
        window = Window(start, end, self._clock())
        return self._read(lambda step: pulse(step, self._labels, window))

    def errors(self, start: float, end: float, limit: int = 50, *, statuses: Sequence[Status] = ()) -> list[ErrorGroup]:
        """The groups of errors of a window, those with the most first; all, or those of some *statuses*."""
        stretch = Stretch(start, end)
        return self._read(lambda step: groups.listed(step, self._labels, stretch, limit, statuses))

    def error(self, group: int, start: float, end: float) -> ErrorGroup | None:
        """One group of errors with its counts over time; its jobs: ``jobs("group:<number>")``."""
        return self._read(lambda step: groups.one(step, self._labels, group, Stretch(start, end)))

    def error_spread(self, group: int, most: int = groups.MAX_COUNTED) -> ErrorSpread:
        """By task, queue, worker and release, the newest jobs whose last error was of *group*, so many at *most*."""
        return self._read(lambda step: groups.spread(step, self._labels, group, most))

    def error_sample(self, group: int) -> ErrorSample | None:
        """The newest error of *group* with its traceback; None if none is left."""
        return self._read(lambda step: groups.sample(step, self._labels, group))

    def tasks(self) -> list[TaskView]:
        """All tasks that were ever heard of, by name; what they did: `totals`."""
        return self._read(boards.tasks)

    def releases(self, start: float, end: float) -> list[Release]:
        """The versions that workers began to run within a window, the newest first."""
        return self._read(lambda step: boards.releases(step, start, end))

    # --- what stands around the jobs

    def queues(self) -> list[QueueView]:
        """The queues that were sampled within the last hour."""
        now = self._clock()
        return self._read(lambda step: boards.queues(step, self._labels, now))

    def queue(self, name: str, start: float, end: float) -> list[QueueSample]:
        """The samples of one queue: every 10 s for a day, then every minute."""
        return self._read(lambda step: boards.queue(step, name, start, end))

    def workers(self, since: float | None = None) -> list[WorkerView]:
        """The workers that were heard of since a moment, by default within a day."""
        moment = self._clock() - DAY if since is None else since
        return self._read(lambda step: boards.workers(step, self._labels, moment))

    def schedule_runs(self, schedule: str = "", *, since: float = 0.0, limit: int = 100) -> list[ScheduleRun]:
        """The last runs of one schedule, or of all of them, the newest first."""
        return self._read(lambda step: boards.schedule_runs(step, schedule, since, limit))

    def schedule_strips(self, schedules: Sequence[str], limit: int = 30) -> dict[str, list[ScheduleRun]]:
        """The last runs of each of *schedules*, the newest first."""
        return self._read(lambda step: boards.strips(step, schedules, limit))

    def flows(
        self, *, state: str = "", before: tuple[float, str] = (float(END), ""), limit: int = 50
    ) -> list[FlowView]:
        """Flows of one *state*, or of any, those that were heard of last first.

        *before* is when the last one of the page before was seen, and its id.
        """
        return self._read(lambda step: boards.flows(step, state, before, limit))

    def flow(self, flow_id: str) -> FlowView | None:
        """One flow with its jobs."""
        return self._read(lambda step: boards.flow(step, self._labels, flow_id))

    def kept_flow(self, flow: str) -> KeptFlow | None:
        """What the flow with the id *flow*, or that of a job, consisted of: `app.flows.repeat` runs it again.

        None if it is not known; of one with more than 100,000 jobs not all are read.
        """
        found = self._read(lambda step: kept_flows.head(step, flow))
        if found is None:
            return None
        kept: list[KeptJob] = []
        after: int | None = 0
        while after is not None and len(kept) <= MAX_JOBS:
            place = self._read(partial(kept_flows.page, labels=self._labels, flow=found.id, after=after))
            kept += place.jobs
            after = place.after
        return KeptFlow(found.id, found.state, found.total, kept)

    def standing(self) -> Standing:
        """How the history itself is: its size, what it lacks, and when it was last written; cheap enough for each page.

        The size is that of at most a minute ago.
        """
        return self._gauge.standing(self._clock())

    def audits(self, *, before: int = END, limit: int = 100) -> list[Audit]:
        """What was done through the dashboard, the newest first."""
        return self._read(lambda step: boards.audits(step, before, limit))

    # --- writing

    def ingest(self, batches: Sequence[Batch], notes: Sequence[tuple[str, str]] = ()) -> Written:
        """Write *batches* of events, each once for good; with them, all or none, *notes* of a recorder."""
        return self._ingest.write(batches, self._clock(), notes)

    def audit(self, who: str, origin: str, what: str, target: str, count: int, outcome: str) -> None:
        """Note what somebody does or was refused. Notes are never changed; they end with their retention."""
        row = (self._clock(), short(who), short(origin), short(what), text(target, 4_096) or "", count, short(outcome))
        self._archive.write(lambda step: step.rows("ingest.audit", *row))

    def triage(self, group: int, status: Status, who: str) -> bool:
        """Note what *who* did about a group of errors; answers whether there is such a group.

        A resolved one whose error comes again becomes "regressed" by itself; a muted one stays so.
        """
        now = self._clock()
        return self._archive.write(lambda step: groups.triage(step, group, status, who, now))

    def delete(self, job_ids: Sequence[str]) -> int:
        """Delete the records of jobs with all that belongs to them; answers how many there were.

        The jobs themselves are not touched: one that goes on is recorded anew when it is heard of again.
        """
        parts = [job_ids[start : start + STEP_ROWS] for start in range(0, len(job_ids), STEP_ROWS)]
        return sum(self._archive.write(partial(delete, ids=part)) for part in parts)

    # --- actions on all jobs that match, see `umbel.history.bulk`

    def bulk_begin(self, order: Order) -> Bulk:
        """Note an action that is to be carried out; nobody does yet. One with this id is answered as it is."""
        now = self._clock()
        return self._archive.write(lambda step: bulk.begin(step, order, now))

    def bulk_take(self, holder: str, bulk_id: str | None = None) -> Bulk | None:
        """Let *holder*, the name of one process, carry out *bulk_id*, or any that nobody carries on (None).

        None if there is none, it has ended, or another one has it. The lease is of 30 s; each step renews it.
        """
        now = self._clock()
        # Read first: who looks for something to do every few seconds must not keep a recorder from writing.
        wanted = self._read(lambda step: bulk.loose(step, now)) if bulk_id is None else bulk_id
        return None if wanted is None else self._archive.write(lambda step: bulk.take(step, wanted, holder, now))

    def bulk_step(self, bulk_id: str, holder: str, *, done: int, failed: int, cursor: int | None) -> bool:
        """Note so many more jobs, and the *cursor* of the page; answers whether to go on: not if it was stopped."""
        moved, now = (done, failed, cursor), self._clock()
        return self._archive.write(lambda step: bulk.step(step, bulk_id, holder, moved, now))

    def bulk_end(self, bulk_id: str, holder: str, trouble: str = "") -> None:
        """Note that all of it is done, or that it has failed because of *trouble*."""
        now = self._clock()
        self._archive.write(lambda step: bulk.end(step, bulk_id, holder, trouble, now))

    def bulk_stop(self, bulk_id: str) -> bool:
        """Have nobody carry it on; answers whether it ran. What was done stays done."""
        now = self._clock()
        return bool(self._archive.write(lambda step: step.rows("acting.stop", bulk_id, now)))

    def bulk(self, bulk_id: str) -> Bulk | None:
        """One action."""
        return self._read(lambda step: bulk.one(step, bulk_id))

    def bulks(self, *, before: float = math.inf, limit: int = 50) -> list[Bulk]:
        """Actions, the newest first."""
        return self._read(lambda step: bulk.newest(step, min(before, float(END)), limit))

    def close(self) -> None:
        """Give back all connections of this process."""
        self._archive.close()

    def _asked(self, filter: str, at: float | None) -> Asked:
        return Asked(filter, self._clock() if at is None else at)

    def _read(self, step: Callable[[Transaction], T]) -> T:
        return self._archive.read(step, READ_SECONDS)
