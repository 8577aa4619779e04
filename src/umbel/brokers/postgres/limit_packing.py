"""Limits, keys and turns as arrays for statements; pages of how limits stand. Pure."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from umbel.brokers.postgres import packing
from umbel.contracts.limits import Admission, Entry, Standing
from umbel.engines.postgres_values import plain, texts
from umbel.model.limit import Limit, Pace, Unique

NONE: Final = "00000000-0000-0000-0000-000000000000"
"""No limit, no turn, no key; in front of all others."""
_NAMES: Final = uuid.UUID("0d8f6f5e-93c1-5d0a-8a3e-5b64f0c1de27")


def counter(queue: str, limit: Limit | None) -> str:
    """The UUID of a limit."""
    return NONE if limit is None else _made("limit", queue, limit.task, limit.key)


def turn(queue: str, limit: Limit | None) -> str:
    """The UUID of whose turn it is."""
    if limit is None:
        return NONE
    return _made("turn", queue, limit.task, limit.key, *([] if limit.turn is None else [limit.turn]))


def has_turn(limit: Limit | None) -> bool:
    """Whether a job has a turn of its own."""
    return limit is not None and limit.turn is not None


def unique_key(queue: str, unique: Unique | None) -> str:
    """The UUID of a unique key."""
    return NONE if unique is None else _made("key", queue, unique.key)


def counters(limits: Iterable[tuple[str, Limit | None]]) -> tuple[str, ...] | None:
    """The arrays of pairs of queue and limit, each once: id, queue, task, key, at once, seconds, burst."""
    found = {counter(queue, limit): (queue, limit) for queue, limit in limits if limit is not None}
    if not found:
        return None
    every = list(found.values())
    return (
        plain(found),
        texts(queue for queue, _ in every),
        texts(limit.task for _, limit in every),
        texts(limit.key for _, limit in every),
        plain(limit.pace.concurrency for _, limit in every),
        plain(limit.pace.interval for _, limit in every),
        plain(limit.pace.burst for _, limit in every),
    )


def keys_held(keyed: Iterable[tuple[str, Unique | None, str]]) -> tuple[str, ...] | None:
    """The arrays of queue, key and job id, each key once: key, id, name; None: no key."""
    found: dict[str, str] = {}
    for queue, unique, job_id in keyed:
        if unique is not None:
            found.setdefault(unique_key(queue, unique), job_id)
    return (plain(found), packing.keys(found.values()), texts(found.values())) if found else None


def parts(admissions: Sequence[Admission]) -> Iterator[list[int]]:
    """The places of *admissions* in parts that are one step: of one queue each, and all of it if it has a bound."""
    queues: dict[str, list[int]] = {}
    for place, each in enumerate(admissions):
        queues.setdefault(each.job.queue, []).append(place)
    for places in queues.values():
        if any(admissions[place].max_length for place in places):
            yield places
            continue
        start = 0
        for chunk in packing.chunks([admissions[place].job for place in places]):
            yield places[start : start + len(chunk)]
            start += len(chunk)


def admitting(part: Sequence[Admission]) -> tuple[object, ...]:
    """The arrays of admissions of one queue: of the jobs, limit, turn, key, seconds; and the least bound."""
    bounds = [each.max_length for each in part if each.max_length]
    return (
        *packing.jobs_values([each.job for each in part]),
        plain(counter(each.job.queue, each.limit) for each in part),
        plain(turn(each.job.queue, each.limit) for each in part),
        plain(unique_key(each.job.queue, each.unique) for each in part),
        plain(0.0 if each.unique is None else each.unique.seconds for each in part),
        str(min(bounds, default=0)),
    )


def apart(entries: Sequence[Entry]) -> Iterator[slice]:
    """Parts of *entries*, in which none is refused, or let run, for what another one of its part does to their key."""
    start, kept = 0, dict[str, bool]()
    for place, each in enumerate(entries):
        if each.unique is None:
            continue
        key, alone = unique_key(each.delivery.queue, each.unique), _keeps_others_from_running(each.unique)
        if key in kept and (alone or kept[key]):
            yield slice(start, place)
            start, kept = place, {}
        kept[key] = alone or kept.get(key, False)
    yield slice(start, len(entries))


def entering(entries: Sequence[Entry]) -> tuple[object, ...]:
    """The arrays of entries: id, number, limit, turn, key, whether it keeps others from running, seconds, doomed."""
    keyed = [each.unique for each in entries]
    return (
        *packing.fences(each.delivery for each in entries),
        plain(counter(each.delivery.queue, each.limit) for each in entries),
        plain(turn(each.delivery.queue, each.limit) for each in entries),
        plain(unique_key(each.delivery.queue, each.unique) for each in entries),
        plain(unique is not None and _keeps_others_from_running(unique) for unique in keyed),
        plain(0.0 if unique is None else unique.seconds for unique in keyed),
        plain(bool(each.delivery.counts.doom) for each in entries),
    )


def position(cursor: str) -> tuple[str, str, str]:
    """Where a page of limits begins: behind task, start of the key, id. Raises `ValueError` for no cursor of ours."""
    if not cursor:
        return "", "", NONE
    task, start, identity = json.loads(cursor)
    return str(task), str(start), str(uuid.UUID(identity))


def standing(row: tuple[Any, ...]) -> tuple[str, Standing]:
    """The cursor and the standing of a limit in *row*, see limits.sql."""
    task, start, identity, text, concurrency, every, burst, *now, adjusted, held, out, entered, turns = row
    limit = Limit(task, text, pace=Pace(concurrency, every, burst))
    pace = Pace(now[0], now[1], now[2])
    return json.dumps([task, start, identity]), Standing(limit, pace, adjusted, held, out, entered, turns)


def _keeps_others_from_running(unique: Unique) -> bool:
    return unique.seconds > 0 or unique.scope == "done"


def _made(*names: str) -> str:
    return str(uuid.uuid5(_NAMES, json.dumps(names)))
