"""Plain jobs, which are most of what happens: written from their rows, without an event or a record of each.

Those are sent jobs of which nothing was known, and successes of jobs of which only the sending was known, so that there
is nothing to decide. The end is the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import TypeAlias

import msgspec

from umbel.contracts.history import Transaction
from umbel.history import bodies
from umbel.history.bounds import FUTURE_SECONDS, MAX_VALUES, milliseconds, short, text
from umbel.history.counters import Counters
from umbel.history.names import Naming
from umbel.history.sent import Ended, Line, SentJobs
from umbel.model.event import Batch, Event, Ran, Runs
from umbel.retelling import NIL, ran, sent, shown

Told: TypeAlias = tuple[Event, str]
"""An event of a job and the name of the worker that tells it."""


class Plain:
    """The plain jobs in *batches*, read at *now*. Those of which *others*, events, speak are left alone."""

    def __init__(self, batches: Sequence[Batch], others: Collection[str], now: float) -> None:
        self._runs = [(runs, short(batch.worker)) for batch in batches for runs in batch.runs]
        self._sends = [(sends, batch.words) for batch in batches for sends in batch.sends]
        self._now = now
        self._ran = _once([row[0] for runs, worker in self._runs if worker for row in runs.rows], others)
        self._sent = _once([row[0] for sends, _ in self._sends for row in sends.rows], others)

    def write(self, transaction: Transaction, naming: Naming, counters: Counters) -> list[Told]:
        """Write what is plain; answers the others as events."""
        naming.prepare("worker", {worker for _, worker in self._runs})
        naming.prepare("task", {short(sends.task) for sends, _ in self._sends})
        naming.prepare("queue", {short(sends.queue) for sends, _ in self._sends})
        known = transaction.among("ingest.known", sorted(self._ran | self._sent))
        alone = {str(job_id): int(seq) for job_id, seq, only_sent in known if only_sent and job_id in self._ran}
        self._sent.difference_update([str(job_id) for job_id, *_ in known])
        jobs = SentJobs(self._sent, self._ended(naming), self._now)
        rest = self._take(jobs, naming)
        top = counters.take("seq", 0).start - 1
        alone.update(jobs.write(transaction, naming, counters))
        return rest + self._write_runs(transaction, naming, counters, alone, top)

    def _take(self, jobs: SentJobs, naming: Naming) -> list[Told]:
        """Let *jobs* have the sent jobs; answers what is left of them."""
        rest: list[Told] = []
        for sends, words in self._sends:
            task, queue = naming("task", short(sends.task)), naming("queue", short(sends.queue))
            if rows := jobs.take(Line(sends, words, task, queue)):
                events = sent(msgspec.structs.replace(sends, rows=rows), words)
                rest += [(event, "") for event in events if event.id]
        return rest

    def _ended(self, naming: Naming) -> dict[str, Ended]:
        """Of those that have succeeded, how."""
        found: dict[str, Ended] = {}
        both = self._ran & self._sent
        for runs, worker in self._runs if both else ():
            number = naming("worker", worker)
            found.update({row[0]: self._end(number, row) for row in runs.rows if row[0] in both})
        return found

    def _end(self, worker: int, row: Ran) -> Ended:
        _, at, run, wait, _ = row
        if not 0.0 <= at <= self._now + FUTURE_SECONDS:
            at = self._now
        started = at - run if run >= 0 else None
        return worker, at, started, milliseconds(wait) if wait >= 0 else None, milliseconds(run)

    def _write_runs(
        self, transaction: Transaction, naming: Naming, counters: Counters, seqs: dict[str, int], top: int
    ) -> list[Told]:
        """Write the successes of jobs with *seqs*; those above *top* are written but for what they answered.

        Answers the others.
        """
        changes = iter(counters.take("change", sum(seq <= top for seq in seqs.values())))
        rows, results, rest = list[Ended](), list[tuple[int, bytes]](), list[Told]()
        for runs, worker in self._runs:
            number = naming("worker", worker)
            others: list[Ran] = []
            for row in runs.rows:
                seq = seqs.get(row[0])
                if seq is None:
                    others.append(row)
                    continue
                if seq <= top:
                    rows.append((seq, next(changes), self._now, *self._end(number, row)))
                if row[4] != NIL:
                    results.append((seq, row[4]))
            rest += _events(runs, others, worker)
        transaction.many("ingest.succeed_jobs", rows)
        bodies.put(transaction, "results", _as_text(results), 0, top)
        return rest


def _once(ids: Sequence[str], others: Collection[str]) -> set[str]:
    """Those of *ids* that come once, and not among *others*."""
    found = set(ids).difference(others)
    if len(found) < len(ids):
        found -= {job_id for job_id, n in Counter(ids).items() if n > 1}
    return found


def _events(runs: Runs, rows: Sequence[Ran], worker: str) -> list[Told]:
    return [(event, worker) for event in ran(runs.task, runs.queue, rows) if event.id] if rows else []


def _as_text(results: Sequence[tuple[int, bytes]]) -> list[tuple[int, str | None]]:
    """*results* as they are kept; most tasks have few different ones."""
    texts = {value: text(shown(value), MAX_VALUES) for value in {value for _, value in results}}
    return [(seq, texts[value]) for seq, value in results]
