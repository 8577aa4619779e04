"""Jobs with the same key: a link to those that stand under one limit, or for one unique job, with this one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from umbel.history.arguments import Scalar, leaves
from umbel.history.grammar import And, Term, Value, shown
from umbel.telling import sketch_of

_OPTIONS: Final = (
    ("unique_key", "unique"),
    ("concurrency_limit_key", "concurrency limit"),
    ("rate_limit_key", "rate limit"),
    ("fair_key", "fair turns"),
)
_WORDS: Final[dict[Scalar, str]] = {True: "true", False: "false", None: "null"}


class SameKey(msgspec.Struct, frozen=True):
    """What *whats*, such as "unique" or "rate limit", count this job by: *key*; *filter* means all jobs with it."""

    whats: tuple[str, ...]
    key: str
    filter: str


def same_keys(task: Any, args: str | None, kwargs: str | None) -> tuple[SameKey, ...]:
    """The keys of a job of *task*, as registered here, with these redacted arguments, JSON.

    A key that a function makes, and one of arguments that are hidden, defaults or not scalars, is left out: the history
    cannot look for it.
    """
    if task is None:
        return ()
    found = leaves(args, kwargs, None, sketch_of(task).names)
    by: dict[tuple[str, ...], list[str]] = {}
    for option, what in _OPTIONS:
        names = _names(getattr(task, option, None))
        if names and all(f"arg.{name}" in found for name in names):
            by.setdefault(names, []).append(what)
    return tuple(_same(task.name, names, whats, found) for names, whats in by.items())


def _names(key: object) -> tuple[str, ...]:
    """The names of parameters that *key*, an option of a task, names."""
    if isinstance(key, str):
        return (key,)
    if not isinstance(key, list | tuple):
        return ()
    return tuple(map(str, cast("Sequence[object]", key)))


def _same(task: str, names: Sequence[str], whats: Sequence[str], found: Mapping[str, Scalar]) -> SameKey:
    values = [found[f"arg.{name}"] for name in names]
    key = ", ".join(f"{name}={_told(value)}" for name, value in zip(names, values, strict=True))
    terms = [Term(f"arg.{name}", ":", (_value(value),)) for name, value in zip(names, values, strict=True)]
    return SameKey(tuple(whats), key, shown(And((Term("task", ":", (Value(task, quoted=True),)), *terms))))


def _told(value: Scalar) -> str:
    return _WORDS[value] if value is None or isinstance(value, bool) else str(value)


def _value(value: Scalar) -> Value:
    return Value(value, quoted=True) if isinstance(value, str) else Value(_told(value))
