"""Errors of jobs: grouped by fingerprint, counted once an attempt, and by minute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from umbel.contracts.history import Transaction
from umbel.history.bounds import moment, short, text
from umbel.history.counters import Counters
from umbel.history.fingerprint import Fingerprint, fingerprint
from umbel.history.states import FAILING
from umbel.model.event import Event

MAX_MESSAGE = 4_096
MAX_TRACEBACK = 64 * 1024


def fingerprint_of(event: Event) -> Fingerprint | None:
    """The fingerprint of the error that *event* tells; None if it tells none."""
    if event.kind not in FAILING:
        return None
    kind = short(event.body.get("error"))
    if not kind:
        kind = short(event.body.get("reason"))
    if not kind:
        return None
    message = text(event.body.get("message"), MAX_MESSAGE) or ""
    return fingerprint(kind, message, text(event.body.get("traceback"), MAX_TRACEBACK) or "")


def numbered(
    transaction: Transaction, counters: Counters, found: Iterable[tuple[Fingerprint, float]]
) -> dict[str, int]:
    """The number of the group of each fingerprint, by its digest; new groups are made."""
    first: dict[str, tuple[Fingerprint, float]] = {}
    for each, at in found:
        if each.digest not in first or at < first[each.digest][1]:
            first[each.digest] = (each, at)
    if not first:
        return {}
    known = {str(digest): int(group) for digest, group in transaction.among("ingest.errors", sorted(first))}
    new = [each for digest, each in sorted(first.items()) if digest not in known]
    for number, (each, at) in zip(counters.take("error", len(new)), new, strict=True):
        transaction.rows("ingest.error", number, *each, at)
        known[each.digest] = number
    return known


class Count(msgspec.Struct):
    """How often the errors of one group came within a transaction."""

    n: int = 0
    first: float = 0.0
    last: float = 0.0
    seq: int = 0


class ErrorCounts:
    """What a transaction adds to groups."""

    def __init__(self) -> None:
        self._groups: dict[int, Count] = {}
        self._minutes: Counter[tuple[int, int]] = Counter()

    def add(self, group: int, at: float, seq: int, now: float) -> None:
        """Count one failed attempt of the job *seq*."""
        at = moment(at, now)
        count = self._groups.setdefault(group, Count(0, at, at, 0))
        count.n += 1
        count.first, count.last, count.seq = min(count.first, at), max(count.last, at), max(count.seq, seq)
        self._minutes[int(at) // 60 * 60, group] += 1

    def save(self, transaction: Transaction) -> None:
        """Write them."""
        for group, count in sorted(self._groups.items()):
            transaction.rows("ingest.error_again", group, count.n, count.first, count.last, count.seq)
        for (minute, group), n in sorted(self._minutes.items()):
            transaction.rows("ingest.error_minute", minute, group, n)
        hours: Counter[tuple[int, int]] = Counter()
        for (minute, group), n in self._minutes.items():
            hours[minute // 3_600 * 3_600, group] += n
        for (hour, group), n in sorted(hours.items()):
            transaction.rows("ingest.error_hour", hour, group, n)

    def __bool__(self) -> bool:
        return bool(self._groups)


def failed_before(transaction: Transaction, seqs: Iterable[int]) -> set[tuple[int, int]]:
    """Which (seq, attempt) have failed already: an error counts once, whoever tells of it."""
    wanted: Mapping[int, None] = dict.fromkeys(seqs)
    return {(int(seq), int(n)) for seq, n in transaction.among("ingest.attempts", list(wanted))} if wanted else set()
