"""Plain successes, which are most of what happens: written from their rows, without an event or a record of each.

That is done where nothing but its sending is known of a job, so that there is nothing to decide. The end is the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, TypeAlias

from umbel.contracts.history import Transaction
from umbel.history.bounds import FUTURE_SECONDS, MAX_VALUES, milliseconds, short, text
from umbel.history.counters import Counters
from umbel.history.names import Naming
from umbel.model.event import Batch, Event, Ran, Runs
from umbel.retelling import NIL, ran, shown

Told: TypeAlias = tuple[Event, str]
"""An event of a job and the name of the worker that tells it."""
_Row: TypeAlias = tuple[Any, ...]


class Plain:
    """The plain successes in *batches*, read at *now*. Those of jobs that *others*, events, speak of are left alone."""

    def __init__(self, batches: Sequence[Batch], others: Collection[str], now: float) -> None:
        self._lines = [(runs, short(batch.worker)) for batch in batches for runs in batch.runs]
        self._now = now
        ids = [row[0] for runs, worker in self._lines if worker for row in runs.rows]
        self._alone = set(ids).difference(others)
        if len(self._alone) < len(ids):
            self._alone -= {job_id for job_id, n in Counter(ids).items() if n > 1}

    def write(self, transaction: Transaction, naming: Naming, counters: Counters) -> list[Told]:
        """Write those of jobs of which only the sending is known; answers the others as events."""
        found = transaction.among("ingest.only_sent", sorted(self._alone)) if self._alone else []
        seqs = {str(job_id): int(seq) for job_id, seq in found}
        naming.prepare("worker", {worker for _, worker in self._lines})
        changes = iter(counters.take("change", len(seqs)))
        rows, results, rest = list[_Row](), list[_Row](), list[Told]()
        for runs, worker in self._lines:
            number = naming("worker", worker)
            unknown: list[Ran] = []
            for row in runs.rows:
                seq = seqs.get(row[0]) if number else None
                if seq is None:
                    unknown.append(row)
                else:
                    rows.append((seq, next(changes), number, *self._times(row)))
                    if row[4] != NIL:
                        results.append((seq, row[4]))
            rest += _events(runs, unknown, worker)
        transaction.many("ingest.succeed_jobs", rows)
        transaction.many("ingest.put_results", _as_text(results))
        return rest

    def _times(self, row: Ran) -> tuple[float, float | None, int | None, int | None, float]:
        """When the job of *row* ended and began, for how long it waited and ran (ms), and now."""
        _, at, run, wait, _ = row
        if not 0.0 <= at <= self._now + FUTURE_SECONDS:
            at = self._now
        started = at - run if run >= 0 else None
        return at, started, milliseconds(wait) if wait >= 0 else None, milliseconds(run), self._now


def _events(runs: Runs, rows: Sequence[Ran], worker: str) -> list[Told]:
    return [(event, worker) for event in ran(runs.task, runs.queue, rows) if event.id] if rows else []


def _as_text(results: Sequence[tuple[int, bytes]]) -> list[tuple[int, str | None]]:
    """*results* as they are kept; most tasks have few different ones."""
    texts = {value: text(shown(value), MAX_VALUES) for value in {value for _, value in results}}
    return [(seq, texts[value]) for seq, value in results]
