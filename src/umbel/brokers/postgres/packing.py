"""Jobs and verdicts as arrays for statements, in chunks that a server handles in a few milliseconds. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from umbel.contracts.broker import Ended, Kind, Settlement
from umbel.engines.postgres_values import Blobs, key, name, plain, text, texts
from umbel.model.job import FIRST, Counts, Delivery, Job

KINDS: Final[dict[Kind, int]] = {"end": 0, "dead": 1, "retry": 2, "release": 3, "park": 4}
MAX_SENT: Final = 500
MAX_SENT_BYTES: Final = 4 * 1024 * 1024
MAX_SETTLED: Final = 512
MAX_SETTLED_BYTES: Final = 4 * 1024 * 1024
_KEPT: Final = (-1, -1, -1)


def chunks(jobs: Sequence[Job]) -> Iterator[Sequence[Job]]:
    """*jobs* in their order, in parts that one statement carries."""
    start = size = 0
    for place, job in enumerate(jobs):
        if place - start >= MAX_SENT or size > MAX_SENT_BYTES:
            yield jobs[start:place]
            start, size = place, 0
        size += len(job.envelope)
    if start < len(jobs):
        yield jobs[start:]


def batches(settlements: Sequence[Settlement]) -> Iterator[list[int]]:
    """The places of *settlements* in parts that one statement carries; of a delivery named twice the first alone."""
    seen: set[tuple[str, int]] = set()
    places: list[int] = []
    size = 0
    for place, each in enumerate(settlements):
        fence = each.delivery.id, each.delivery.number
        if fence in seen:
            continue
        seen.add(fence)
        places.append(place)
        size += len(each.record) + len(each.envelope)
        if each.follow_ups:
            size += sum(len(job.envelope) for job in each.follow_ups)
        if len(places) >= MAX_SETTLED or size >= MAX_SETTLED_BYTES:
            yield places
            places, size = [], 0
    if places:
        yield places


def keys(job_ids: Iterable[str]) -> str:
    """An array of the UUIDs under which *job_ids* are kept."""
    return plain(map(key, job_ids))


def job_values(job: Job) -> tuple[object, ...]:
    """What makes *job*: id, name, queue, level, delay, eta, envelope."""
    return (
        key(job.id),
        text(name(job.id)),
        text(job.queue),
        str(job.level),
        str(job.delay),
        str(job.eta or 0),
        job.envelope,
    )


def jobs_values(jobs: Sequence[Job]) -> tuple[object, ...]:
    """The arrays that make *jobs*: id, name, queue, level, delay, eta, envelope."""
    return (
        keys(job.id for job in jobs),
        texts(name(job.id) for job in jobs),
        texts(job.queue for job in jobs),
        plain(job.level for job in jobs),
        plain(job.delay for job in jobs),
        plain(job.eta or 0 for job in jobs),
        Blobs(job.envelope for job in jobs),
    )


def fences(deliveries: Iterable[Delivery]) -> tuple[str, str]:
    """The arrays that name *deliveries*: id, receive number."""
    found = list(deliveries)
    return keys(each.id for each in found), plain(each.number for each in found)


def started(ended: Sequence[Ended]) -> tuple[str, str]:
    """The arrays of what sessions had started and are charged for: session, id."""
    spared = {(each.session, job_id) for each in ended for job_id, _ in each.doomed}
    pairs = [pair for each in ended for job_id in each.started if (pair := (each.session, job_id)) not in spared]
    return plain(session for session, _ in pairs), keys(job_id for _, job_id in pairs)


def dooming(ended: Sequence[Ended]) -> tuple[str, str, str] | None:
    """The arrays of jobs for whose sake sessions were ended: session, id, doom; None if there are none."""
    doomed = {(each.session, key(job_id)): doom for each in ended for job_id, doom in each.doomed if doom}
    if not doomed:
        return None
    return plain(session for session, _ in doomed), plain(job_id for _, job_id in doomed), texts(doomed.values())


def is_plain(settlements: Sequence[Settlement]) -> bool:
    """Whether all of *settlements* just end: by far the most do, and the statement for them is short."""
    return all(each.kind == "end" and not each.follow_ups for each in settlements)


def ending(settlements: Sequence[Settlement]) -> tuple[object, ...]:
    """The arrays of verdicts that just end."""
    return (
        *fences(each.delivery for each in settlements),
        Blobs(each.record for each in settlements),
        plain(each.ttl for each in settlements),
    )


def settling(settlements: Sequence[Settlement]) -> tuple[object, ...]:
    """The arrays of any verdicts, and of their follow-ups."""
    numbers = [_KEPT if each.counts is None else _numbers(each.counts) for each in settlements]
    follow_ups = [(place, job) for place, each in enumerate(settlements, 1) for job in each.follow_ups]
    return (
        *fences(each.delivery for each in settlements),
        plain(KINDS[each.kind] for each in settlements),
        Blobs(each.record for each in settlements),
        plain(each.ttl for each in settlements),
        plain(each.delay for each in settlements),
        *(plain(column) for column in zip(*numbers, strict=True)),
        Blobs(each.envelope for each in settlements),
        texts(each.task for each in settlements),
        plain(place for place, _ in follow_ups),
        *jobs_values([job for _, job in follow_ups]),
    )


def delivery(row: tuple[object, ...], number: int) -> Delivery:
    """The delivery in *row*: name, queue, level, envelope, retries, crashes, losses, marked, back, doom or None."""
    job_id, queue, level, envelope, retries, crashes, losses, marked, back, doom = row
    kept = back or doom
    counts = Counts(retries, crashes, losses, marked, doom or "") if kept else FIRST  # type: ignore[arg-type]
    return Delivery(job_id, queue, level, number, envelope, counts, back)  # type: ignore[arg-type]


def _numbers(counts: Counts) -> tuple[int, int, int]:
    return counts.retries, counts.crashes, counts.losses
