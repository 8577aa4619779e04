"""Wanted: a schedule as code asks for it, checked: an entry of ``beat_schedule``, or a call of `add_periodic_task`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, cast

import msgspec

from umbel.model.schedule import MAX_CATCH_UP, Misfire, Overlap
from umbel.options import check_arguments, check_names, nearest, seconds
from umbel.schedules.interval import schedule
from umbel.schedules.reading import maybe_schedule
from umbel.schedules.rule import Rule, milliseconds
from umbel.schedules.zones import zone_of

POLICIES: Final = ("misfire", "misfire_limit", "grace", "overlap", "jitter", "timezone", "start", "end", "enabled")
"""What an entry may say beside Celery's keys."""
_KEYS: Final = frozenset({"task", "schedule", "args", "kwargs", "options", "relative", *POLICIES})
_MISFIRES: Final = {"run_once": "once", "run_all": "all"}
_MAX_NAME: Final = 200


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """One schedule before its task is known. Durations are seconds, moments unix milliseconds; no zone: the app's."""

    name: str
    rule: Rule
    task: Any
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    options: dict[str, Any] = {}
    misfire: Misfire = "once"
    limit: int = MAX_CATCH_UP
    grace: float | None = None
    overlap: Overlap = "allow"
    jitter: float = 0.0
    zone: str | None = None
    start: int | None = None
    end: int | None = None
    enabled: bool = True


def wanted(name: object, given: object) -> Wanted:
    """The schedule *name* as its entry has it: Celery's keys, and `POLICIES`.

    Raises `TypeError` or `ValueError`, which name schedule and key.
    """
    checked = checked_name(name)
    if not isinstance(given, Mapping):
        raise TypeError(f"schedule {checked!r} is {given!r}: give a dict with the keys task and schedule")
    values = {str(key): value for key, value in cast("Mapping[object, object]", given).items()}
    check_names(values, _KEYS, f"schedule {checked!r}")
    for key in ("task", "schedule"):
        if key not in values:
            raise ValueError(f"schedule {checked!r} has no {key!r}")
    try:
        return _read(checked, values)
    except (TypeError, ValueError) as error:
        raise type(error)(f"schedule {checked!r}: {error}") from error


def checked_name(name: object) -> str:
    """*name* if it may name a schedule. Raises `TypeError` or `ValueError`."""
    if not isinstance(name, str):
        raise TypeError(f"the name of a schedule is {name!r}: give text")
    if not name or len(name) > _MAX_NAME or not name.isprintable():
        raise ValueError(f"{name[:_MAX_NAME]!r} cannot name a schedule: give 1-{_MAX_NAME} printable characters")
    return name


def _read(name: str, values: dict[str, Any]) -> Wanted:
    rule = maybe_schedule(values["schedule"], bool(values.get("relative", False)))
    if values.get("relative") and isinstance(rule, schedule):
        rule = schedule(rule.run_every, relative=True)
    check_arguments(values.get("args") or (), values.get("kwargs"), str(values["task"]))
    return Wanted(
        name=name,
        rule=rule,
        task=values["task"],
        args=tuple(values.get("args") or ()),
        kwargs=dict(values.get("kwargs") or {}),
        options=dict(values.get("options") or {}),
        **_policies(values),
    )


def _policies(values: Mapping[str, Any]) -> dict[str, Any]:
    given = {key: values[key] for key in POLICIES if values.get(key) is not None}
    read = {_FIELDS.get(key, key): _READERS[key](value) for key, value in given.items()}
    if "start" in read and "end" in read and read["end"] < read["start"]:
        raise ValueError(f"end is {given['end']!r}: that is before its start, so it is never due")
    return read


def _misfire(value: Any) -> str:
    return _one_of("misfire", _MISFIRES.get(value, value) if isinstance(value, str) else value, ("once", "skip", "all"))


def _one_of(key: str, value: Any, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ValueError(f"{key} is {value!r}: give {', '.join(known)}{nearest(str(value), known)}")
    return str(value)


def _limit(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_CATCH_UP:
        raise ValueError(f"misfire_limit is {value!r}: give a number from 1 to {MAX_CATCH_UP}")
    return value


def _duration(key: str, value: Any) -> float:
    found = seconds(value, key)
    if found < 0:
        raise ValueError(f"{key} is {value!r}: give seconds, 0 or more")
    return found


def _zone(value: Any) -> str:
    name = str(value)
    zone_of(name)
    return name


def _moment(key: str, value: Any) -> int:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        raise TypeError(f"{key} is {value!r}: give a datetime")
    if not datetime(1970, 1, 2, tzinfo=UTC) <= (value if value.tzinfo else value.replace(tzinfo=UTC)):
        raise ValueError(f"{key} is {value!r}: give a moment since 1970")
    return milliseconds(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"enabled is {value!r}: give True or False")
    return value


_FIELDS: Final = {"misfire_limit": "limit", "timezone": "zone"}
_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "misfire": _misfire,
    "misfire_limit": _limit,
    "grace": partial(_duration, "grace"),
    "overlap": lambda value: _one_of("overlap", value, ("allow", "skip", "queue")),
    "jitter": partial(_duration, "jitter"),
    "timezone": _zone,
    "start": partial(_moment, "start"),
    "end": partial(_moment, "end"),
    "enabled": _flag,
}


def expiry(options: Mapping[str, Any]) -> tuple[float | None, dict[str, Any]]:
    """The seconds after its tick in which a job must start, by *options*; and the options without that."""
    value = options.get("expires")
    if isinstance(value, int | float | timedelta):
        return seconds(value, "expires"), {key: each for key, each in options.items() if key != "expires"}
    return None, dict(options)
