"""Groups of errors as they are shown: counts, where they come from, and one of them in full."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec

from umbel.contracts.history import Transaction
from umbel.history.bounds import short
from umbel.history.jobs import attempts
from umbel.history.labels import Labels
from umbel.history.views import ErrorGroup, ErrorSample, ErrorSpread

Status: TypeAlias = Literal["open", "muted", "resolved", "regressed"]

MINUTE: Final = 60
HOUR: Final = 3_600
BY_HOUR_SECONDS: Final = 30 * 3_600
"""Windows longer than this are read by the hour."""
SPARKS: Final = 60
"""About how many counts over time a group in a list has."""
POINTS: Final = 400
MAX_GROUPS: Final = 1_000
MAX_ROWS: Final = 200_000
"""How many minutes of groups are read at most; if there may be more, a window is read by the hour."""
MAX_COUNTED: Final = 5_000


class Stretch(msgspec.Struct, frozen=True):
    """From *start* to *end*, read by units: minutes or hours. *groups* is how many groups came since *start*."""

    start: float
    end: float
    groups: int = 0

    @property
    def unit(self) -> int:
        """Seconds."""
        length = self.end - self.start
        return MINUTE if length <= BY_HOUR_SECONDS and self.groups * length / MINUTE <= MAX_ROWS else HOUR

    @property
    def bounds(self) -> tuple[int, int]:
        """The first and the last unit."""
        return int(self.start) // self.unit * self.unit, int(self.end)

    def named(self, statement: str) -> str:
        """The statement for the table of these units."""
        return f"reading.{statement}" if self.unit == MINUTE else f"reading.{statement}_by_hour"

    def width(self, points: int) -> int:
        """How many seconds, whole units, each of about *points* is."""
        return max(1, round((self.end - self.start) / points / self.unit)) * self.unit


def listed(
    transaction: Transaction, labels: Labels, stretch: Stretch, limit: int, statuses: Sequence[Status]
) -> list[ErrorGroup]:
    """The groups with the most errors in *stretch*; of these *statuses*, if any are given."""
    stretch = _measured(transaction, stretch)
    counts = {int(group): int(n) for group, n in transaction.rows(stretch.named("error_counts"), *stretch.bounds)}
    if statuses:
        meant = {int(group) for (group,) in transaction.among("reading.groups_with", list(statuses))}
        counts = {group: n for group, n in counts.items() if group in meant}
    most = sorted(counts, key=lambda group: (-counts[group], group))[: min(limit, MAX_GROUPS)]
    if not most:
        return []
    width = stretch.width(SPARKS)
    sparks: dict[int, list[tuple[int, int]]] = {}
    for group, at, n in transaction.among(stretch.named("error_sparks"), most, width, *stretch.bounds):
        sparks.setdefault(int(group), []).append((int(at), int(n)))
    rows = transaction.among("reading.error_groups", most)
    found = [
        _group(transaction, labels, row, (counts[int(row[0])], width, sparks.get(int(row[0]), []))) for row in rows
    ]
    return sorted(found, key=lambda group: (-group.count, group.id))


def one(transaction: Transaction, labels: Labels, group: int, stretch: Stretch) -> ErrorGroup | None:
    """One group, with its counts over time."""
    stretch = _measured(transaction, stretch)
    rows = transaction.among("reading.error_groups", [group])
    if not rows:
        return None
    width = stretch.width(POINTS)
    found = transaction.among(stretch.named("error_sparks"), [group], width, *stretch.bounds)
    times = [(int(at), int(n)) for _, at, n in found]
    return _group(transaction, labels, rows[0], (sum(n for _, n in times), width, times))


def spread(transaction: Transaction, labels: Labels, group: int, most: int) -> ErrorSpread:
    """Where the newest jobs of one group are, *most* of them."""
    rows = transaction.rows("reading.error_spread", group, most + 1)
    counted = sum(int(row[-1]) for row in rows)
    names = labels.names(transaction, {int(number) for row in rows for number in row[:3]})
    by: tuple[Counter[str], ...] = (Counter(), Counter(), Counter(), Counter())
    for *numbers, release, n in rows:
        for place, name in enumerate((*(names[int(number)] for number in numbers), str(release))):
            by[place][name] += int(n)
    tasks, queues, workers, releases = (dict(each.most_common()) for each in by)
    return ErrorSpread(min(counted, most), counted > most, tasks, queues, workers, releases)


def sample(transaction: Transaction, labels: Labels, group: int) -> ErrorSample | None:
    """The newest error of one group in full; None if no job that had it is left."""
    rows = transaction.rows("reading.last_of", group) or transaction.rows("reading.newest_of", group)
    if not rows:
        return None
    seq, job_id = rows[0]
    for attempt in reversed(attempts(transaction, labels, int(seq))):
        if attempt.group == group:
            return ErrorSample(str(job_id), attempt)
    return None


def triage(transaction: Transaction, group: int, status: Status, who: str, now: float) -> bool:
    """Give *group* a status; answers whether there is such a group."""
    return bool(transaction.rows("acting.triage", group, status, short(who), now))


def _measured(transaction: Transaction, stretch: Stretch) -> Stretch:
    ((groups,),) = transaction.rows("reading.groups_since", stretch.start)
    return msgspec.structs.replace(stretch, groups=int(groups))


def _group(
    transaction: Transaction, labels: Labels, row: Sequence[Any], counts: tuple[int, int, Sequence[tuple[int, int]]]
) -> ErrorGroup:
    number, fingerprint, kind, template, frame, first, last, total, seq, status, triaged_at, triaged_by = row
    job = transaction.rows("reading.job_of", seq)
    count, span, times = counts
    return ErrorGroup(
        id=number,
        fingerprint=fingerprint,
        type=kind,
        template=template,
        frame=frame,
        first_seen=first,
        last_seen=last,
        count=count,
        total=total,
        status=status,
        sample=job[0][0] if job else None,
        minutes=tuple(sorted(times)),
        span=span,
        task=labels.names(transaction, {int(job[0][1])})[int(job[0][1])] if job else "",
        triaged_at=triaged_at,
        triaged_by=triaged_by,
    )
