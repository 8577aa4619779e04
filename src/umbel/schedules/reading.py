"""Rules from what users write: numbers, timedeltas, text."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from umbel.schedules.clocked import clocked
from umbel.schedules.cron import cron
from umbel.schedules.crontab import crontab
from umbel.schedules.interval import schedule
from umbel.schedules.rule import Rule
from umbel.schedules.solar import solar


def maybe_schedule(value: Any, relative: bool = False, app: object = None) -> Rule:
    """The rule that *value* stands for: itself, or an interval of so many seconds, or a text that `parse` reads.

    Raises `TypeError` or `ValueError`.
    """
    del app  # Celery's
    if isinstance(value, Rule):
        return value
    if isinstance(value, str):
        return parse(value)
    if isinstance(value, timedelta | int | float) and not isinstance(value, bool):
        return schedule(value, relative)
    hint = ": schedules with an is_due of their own are not supported" if hasattr(value, "is_due") else ""
    raise TypeError(
        f"schedule is {value!r}{hint or ': give seconds, a timedelta, crontab(…), cron(…), solar(…) or clocked(…)'}"
    )


def parse(text: str) -> Rule:
    """The rule whose `Rule.text` is *text*; cron text alone, of five fields or six, is read as `cron`.

    Raises `ValueError`.
    """
    kind, _, rest = text.strip().partition(" ")
    match kind:
        case "every":
            return _every(rest)
        case "crontab":
            return crontab.from_string(rest)
        case "cron":
            return cron(rest)
        case "solar":
            return _solar(rest)
        case "at":
            return clocked(_moment(rest))
        case _:
            return cron(text)


def _every(text: str) -> Rule:
    seconds, _, relative = text.partition(" ")
    if relative not in ("", "relative"):
        raise ValueError(f"'every {text}' cannot be read: give 'every <seconds>' or 'every <seconds> relative'")
    return schedule(_number(seconds, f"every {text}"), relative == "relative")


def _solar(text: str) -> Rule:
    parts = text.split()
    if len(parts) != 3:  # noqa: PLR2004 - event, lat, lon
        raise ValueError(f"'solar {text}' cannot be read: give 'solar <event> <latitude> <longitude>'")
    event, lat, lon = parts
    return solar(event, _number(lat, text), _number(lon, text))


def _number(word: str, text: str) -> float:
    try:
        return float(word)
    except ValueError as error:
        raise ValueError(f"{text!r} cannot be read: {word!r} is no number") from error


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no moment: give one such as 2026-12-24T18:00:00+01:00") from error
