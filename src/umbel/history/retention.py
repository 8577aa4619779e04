"""Retention: what is too old or too much goes, in steps small enough that nobody waits for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from umbel.contracts.history import Archive, Transaction
from umbel.history.rollups import DAY, KEPT
from umbel.history.states import CODES, ENDED
from umbel.settings import Settings

STEP_ROWS: Final = 5_000
PAUSE_SECONDS: Final = 0.05
"""Between two steps, so that ingest comes in between."""
MAX_STEPS: Final = 400
"""Of one call, so that it ends: what is left goes with the next."""
SAMPLES: Final = 14 * DAY
AUDITS: Final = 400 * DAY
SOURCES: Final = 2 * DAY
MONTH: Final = 30 * DAY
SUCCEEDED: Final = CODES["succeeded"]
OTHERS: Final = tuple(sorted(CODES[name] for name in (ENDED - {"succeeded"}) | {"unknown"}))


class Terms(msgspec.Struct, frozen=True):
    """How long and how much is kept; seconds, rows, bytes."""

    succeeded: float
    failed: float
    jobs: int
    bytes: int


def terms_of(settings: Settings) -> Terms:
    """The terms that *settings* say."""
    return Terms(
        settings.history_expires, settings.history_failed_expires, settings.history_max_jobs, settings.history_max_bytes
    )


class Retention:
    """Deletes from *archive* what *terms* do not keep; *pause* is called with seconds between two steps.

    What is left when *pause* answers something true goes with the next call.
    """

    def __init__(self, archive: Archive, terms: Terms, pause: Callable[[float], object] = time.sleep) -> None:
        self._archive = archive
        self._terms = terms
        self._pause = pause

    def prune(self, now: float) -> int:
        """Delete what is due at *now*; answers how many records of jobs went."""
        terms = self._terms
        gone = self._jobs("keeping.old", SUCCEEDED, now - terms.succeeded)
        gone += sum(self._jobs("keeping.old", state, now - terms.failed) for state in OTHERS)
        beyond = self._archive.write(lambda step: step.rows("keeping.beyond", SUCCEEDED, terms.jobs))
        if beyond:
            gone += self._jobs("keeping.upto", SUCCEEDED, beyond[0][0])
        self._archive.write(lambda step: self._rest(step, now))
        return gone + self._too_large()

    def _jobs(self, name: str, state: int, limit: float) -> int:
        """Delete the jobs of *state* that the statement *name* names, from the oldest on."""
        gone, after = 0, 0
        for _ in range(MAX_STEPS):
            seqs = self._deleted(name, state, limit, after)
            gone += len(seqs)
            if len(seqs) < STEP_ROWS:
                break
            after = seqs[-1]
            if self._pause(PAUSE_SECONDS):
                break
        return gone

    def _too_large(self) -> int:
        """Delete the oldest records while the history is too large: of jobs that succeeded first."""
        gone = 0
        for _ in range(MAX_STEPS):
            if self._archive.size() <= self._terms.bytes:
                break
            seqs: list[int] = []
            for state in (SUCCEEDED, *OTHERS):
                seqs = self._deleted("keeping.oldest", state)
                if seqs:
                    break
            if not seqs:
                break
            gone += len(seqs)
            if self._pause(PAUSE_SECONDS):
                break
        return gone

    def _deleted(self, name: str, *values: float) -> list[int]:
        return self._archive.write(lambda transaction: _step(transaction, name, values))

    def _rest(self, transaction: Transaction, now: float) -> None:
        for span, age in KEPT.items():
            transaction.rows("keeping.rollups", span, int(now - age))
        transaction.rows("keeping.samples", int(now - DAY), int(now - SAMPLES))
        long = max(MONTH, self._terms.failed)
        for name, age in {
            "error_minutes": MONTH, "error_hours": AUDITS, "errors": long, "workers": MONTH, "runs": MONTH,
            "flow_counts": long, "flows": long, "audits": AUDITS, "bulks": AUDITS, "releases": AUDITS,
            "worker_releases": long,
            "gaps": SOURCES, "sources": SOURCES,
        }.items():  # fmt: skip
            transaction.rows(f"keeping.{name}", now - age)
        transaction.rows("keeping.minutes")


def _step(transaction: Transaction, name: str, values: Sequence[Any]) -> list[int]:
    """Delete up to 5,000 jobs with all that belongs to them; answers their seqs."""
    seqs = [int(seq) for (seq,) in transaction.rows(name, *values, STEP_ROWS)]
    drop(transaction, seqs)
    return seqs


def delete(transaction: Transaction, ids: Sequence[str]) -> int:
    """Delete the records of the jobs *ids* with all that belongs to them; answers how many there were."""
    seqs = sorted(int(seq) for (seq,) in transaction.among("keeping.seqs", ids)) if ids else []
    drop(transaction, seqs)
    return len(seqs)


def drop(transaction: Transaction, seqs: Sequence[int]) -> None:
    """Delete the jobs *seqs* with all that belongs to them."""
    if not seqs:
        return
    pairs = [
        (path, value, seq)
        for seq, packed in transaction.among("keeping.pairs", seqs)
        for path, value in msgspec.msgpack.decode(packed, type=list[tuple[int, int]])
    ]
    transaction.many("keeping.drop_args", sorted(pairs))
    for table in ("bodies", "results", "attempts", "jobs"):
        transaction.among(f"keeping.drop_{table}", seqs)
