"""History: everything that can be asked of it, and the few things that others than recorders write into it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Final, Literal, TypeVar

from umbel.contracts.history import Archive, Transaction
from umbel.history import boards, charts, jobs
from umbel.history.bounds import short, text
from umbel.history.ingest import Ingest, Written
from umbel.history.jobs import Asked
from umbel.history.labels import Labels
from umbel.history.notes import Notes
from umbel.history.search import END
from umbel.history.views import (
    Audit,
    Changes,
    ErrorGroup,
    Facets,
    FlowView,
    JobDetail,
    JobPage,
    QueueSample,
    QueueView,
    ScheduleRun,
    Series,
    Standing,
    Totals,
    WorkerView,
)
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

    # --- jobs

    def jobs(self, filter: str = "", *, limit: int = 50, before: int | None = None, upto: int | None = None) -> JobPage:
        """Up to *limit* (at most 1,000) jobs that *filter* matches, newest first; see the page on filters.

        *before* is the cursor of the page above. *upto* leaves out what came after that seq: with the ``top`` of the
        first page, a walk over all that match ends, whatever is sent meanwhile.
        """
        asked = Asked(filter, self._clock())
        return self._read(lambda step: jobs.page(step, self._labels, asked, limit, before, upto))

    def facets(self, filter: str = "") -> Facets:
        """How many jobs match, by state, task and queue, among the newest 10,000."""
        asked = Asked(filter, self._clock())
        return self._read(lambda step: jobs.facets(step, self._labels, asked))

    def job(self, job_id: str) -> JobDetail | None:
        """All that is known of one job; None if it is not in the history."""
        return self._read(lambda step: jobs.detail(step, self._labels, job_id))

    def envelope(self, job_id: str) -> bytes | None:
        """The exact bytes with which the job can be sent again; None if they are not kept."""
        return self._read(lambda step: jobs.envelope(step, job_id))

    def changes(self, since: int, limit: int = 500) -> Changes:
        """The jobs that changed after the change number *since*, in the order of their last change."""
        return self._read(lambda step: jobs.changes(step, self._labels, since, limit))

    # --- figures

    def series(self, start: float, end: float, *, task: str = "", queue: str = "") -> Series:
        """What happened from *start* to *end*, at most 400 points; of all jobs, or of one *task* or one *queue*."""
        return self._read(lambda step: charts.series(step, start, end, task, queue))

    def totals(self, start: float, end: float, by: Literal["task", "queue"] = "task") -> list[Totals]:
        """Counts and percentiles for each task or queue, the busiest first."""
        return self._read(lambda step: charts.totals(step, self._labels, start, end, by))

    def errors(self, start: float, end: float, limit: int = 50) -> list[ErrorGroup]:
        """The groups of errors of a window, those with the most first."""
        return self._read(lambda step: charts.error_groups(step, start, end, limit))

    def error(self, group: int, start: float, end: float) -> ErrorGroup | None:
        """One group of errors with its counts by minute; its jobs: ``jobs("group:<number>")``."""
        return self._read(lambda step: charts.error_group(step, group, start, end))

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

    def flows(self, *, before: float = math.inf, limit: int = 50) -> list[FlowView]:
        """Flows, those that were heard of last first."""
        return self._read(lambda step: boards.flows(step, min(before, float(END)), limit))

    def flow(self, flow_id: str) -> FlowView | None:
        """One flow with its jobs."""
        return self._read(lambda step: boards.flow(step, self._labels, flow_id))

    def standing(self) -> Standing:
        """How the history itself is: its size, what it lacks, and when it was last written."""
        now, size = self._clock(), self._archive.size()
        return self._read(lambda step: Notes(step).standing(now, size))

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

    def close(self) -> None:
        """Give back all connections of this process."""
        self._archive.close()

    def _read(self, step: Callable[[Transaction], T]) -> T:
        return self._archive.read(step, READ_SECONDS)
