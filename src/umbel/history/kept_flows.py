"""Kept flows: what a flow consisted of, so that it can be run again; which one it repeats, and which ones repeat it."""

from __future__ import annotations

from typing import Final

import msgspec

from umbel.canvas.repeating import KeptFlow, KeptJob
from umbel.contracts.history import Transaction
from umbel.history.envelopes import unpacked
from umbel.history.labels import Labels
from umbel.model.ids import flow_of

PAGE: Final = 200
"""How many jobs are read at once, with envelopes of up to 256 KiB."""
MAX_KIN: Final = 20


class Place(msgspec.Struct, frozen=True):
    """A page of the jobs of *flow*; *after* is where the next one begins, None if this is the last."""

    jobs: list[KeptJob]
    after: int | None


def head(transaction: Transaction, name: str) -> KeptFlow | None:
    """The flow that has the id *name*, or a job that has; without its jobs."""
    jobs = transaction.rows("reading.flow_of_job", name)
    for flow in dict.fromkeys((name, flow_of(name), *(str(row[0]) for row in jobs))):
        for found, _, _, total, state, *_ in transaction.rows("reading.flow", flow):
            return KeptFlow(str(found), str(state), total, ())
    return None


def page(transaction: Transaction, labels: Labels, flow: str, after: int) -> Place:
    """Jobs of *flow*, in the order in which they were first recorded, from behind *after*."""
    rows = transaction.rows("reading.flow_kept", flow, after, PAGE)
    names = labels.names(transaction, {number for row in rows for number in row[2:4]})
    jobs = [
        KeptJob(job, names[task], names[queue], None if kept is None else unpacked(kept))
        for _, job, task, queue, kept in rows
    ]
    return Place(jobs, int(rows[-1][0]) if len(rows) == PAGE else None)


def origin(transaction: Transaction, flow: str) -> str | None:
    """The flow that *flow* repeats, or goes on from."""
    return next((str(row[0]) for row in transaction.rows("reading.flow_origin", flow)), None)


def repeats(transaction: Transaction, flow: str) -> tuple[str, ...]:
    """The flows that repeat *flow*, or go on from its first job, the newest first."""
    return tuple(str(row[0]) for row in transaction.rows("reading.flow_repeats", flow, MAX_KIN))
