"""The fields of filters: which there are, which operators they take, and what their values mean."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Final, NamedTuple

from umbel.history.arguments import MAX_TEXT, Scalar
from umbel.history.grammar import Term, Value
from umbel.history.states import ALIASES, CODES

ORDER: Final = (":", "!=", ">", ">=", "<", "<=")
EQUAL: Final = (":", "!=")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
_DURATION: Final = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)(ms|s|m|h|d|w)")
_NUMBER: Final = re.compile(r"-?\d{1,18}(?:\.\d{1,12})?")
_ARGUMENT: Final = re.compile(r"(arg|args|kwargs|header)\..+", re.DOTALL)


class Field(NamedTuple):
    """How a field is compared; *sort* tells what its values are."""

    sort: str
    operators: tuple[str, ...] = EQUAL


FIELDS: Final[dict[str, Field]] = {
    **dict.fromkeys(("state",), Field("state")),
    **dict.fromkeys(("task", "queue", "worker", "error"), Field("name")),
    **dict.fromkeys(("id", "flow", "root", "parent", "retry_of", "schedule"), Field("id")),
    "group": Field("group"),
    **dict.fromkeys(("priority", "attempt", "retries", "crashes"), Field("count", ORDER)),
    **dict.fromkeys(("run", "wait"), Field("duration", ORDER[2:])),
    **dict.fromkeys(("since", "until"), Field("moment", (":",))),
    **dict.fromkeys(("sent", "started", "finished", "eta"), Field("moment", (":", *ORDER[2:]))),
    "has": Field("having", (":",)),
}
ARGUMENT: Final = Field("argument")
HAVING: Final = ("result", "error", "progress")


class Wrong(Exception):
    """What is wrong with a term, and what to write instead."""


def field_of(term: Term) -> Field:
    """The field that *term* names. Raises `Wrong`."""
    found = FIELDS.get(term.field) or (ARGUMENT if _ARGUMENT.fullmatch(term.field) else None)
    if found is None:
        near = get_close_matches(term.field, FIELDS, 1)
        cure = f"did you mean {near[0]}?" if near else f"use one of {', '.join(FIELDS)}, arg.<name>, header.<name>."
        raise Wrong(f'there is no field {term.field!r}: {cure} A text to search for is put in "quotes".')
    if term.op not in found.operators:
        raise Wrong(f"{term.field} is compared by {' '.join(found.operators)}, not by {term.op}")
    if len(term.values) > 1 and term.op not in EQUAL:
        raise Wrong(f"{term.field}{term.op} takes one value, not a list")
    return found


def state(value: Value) -> int:
    """The number of a state, which may have Celery's name."""
    name = value.text.lower()
    code = CODES.get(ALIASES.get(name, name))
    if code is None:
        raise Wrong(f"there is no state {value.text!r}: use one of {', '.join(CODES)}")
    return code


def count(value: Value) -> int:
    """A whole number."""
    if not value.text.isascii() or not value.text.isdecimal() or len(value.text) > len("999999999999999"):
        raise Wrong(f"{value.text!r} is no whole number")
    return int(value.text)


def duration(value: Value) -> float:
    """Seconds, of ``5s``, ``1.5m``, ``200ms``."""
    match = _DURATION.fullmatch(value.text)
    if match is None:
        raise Wrong(f"{value.text!r} is no duration: write 200ms, 5s, 10m, 2h or 7d")
    return float(match[1]) * _UNITS[match[2]]


def moment(value: Value, now: float) -> float:
    """Unix seconds: a duration is so long ago, else ISO 8601; without a zone it is UTC."""
    if _DURATION.fullmatch(value.text):
        return now - duration(value)
    try:
        found = datetime.fromisoformat(value.text)
    except ValueError:
        raise Wrong(f"{value.text!r} is no time: write 2h for two hours ago, or 2026-11-27T14:30") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def having(value: Value) -> str:
    """What a job may have."""
    if value.text not in HAVING:
        raise Wrong(f"has: takes {', '.join(HAVING)}, not {value.text!r}")
    return value.text


def scalar(value: Value) -> Scalar:
    """The value of an argument: ``42`` is a number, ``"42"`` text; ``true``, ``false``, ``null`` are what they say."""
    if len(value.text) > MAX_TEXT:
        raise Wrong(f"arguments can be found by values of up to {MAX_TEXT} characters")
    words: dict[str, Scalar] = {"true": True, "false": False, "null": None}
    if not value.quoted and value.text in words:
        return words[value.text]
    if value.quoted or _NUMBER.fullmatch(value.text) is None:
        return value.text
    return float(value.text) if "." in value.text else int(value.text)
