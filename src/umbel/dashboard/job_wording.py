"""Wording of jobs: calls and progress as people read them; filters of the templates."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, cast
from urllib.parse import quote

import msgspec

from umbel.dashboard.wording import visible
from umbel.history.views import JobRow

MAX_CALL: Final = 160


class Progress(msgspec.Struct, frozen=True):
    """How far a job has come: *current* of *total*, if they are numbers, and a *text*."""

    text: str
    current: float = 0.0
    total: float = 0.0


def path_segment(text: str) -> str:
    """*text* as one part of the path of an address."""
    return quote(text, safe="")


def call(job: JobRow) -> str:
    """What *job* was called with: ``17, currency="EUR"``; shortened."""
    named = _decoded(job.kwargs)
    if isinstance(named, dict):
        words = [f"{name}={_json(value)}" for name, value in cast("dict[str, Any]", named).items()]
    else:
        words = [f"**{job.kwargs}"] if job.kwargs else []
    listed = job.args[1:].removesuffix("]") if job.args.startswith("[") else job.args
    text = ", ".join(filter(None, (listed.replace('","', '", "'), *words)))
    return visible(text if len(text) <= MAX_CALL else f"{text[: MAX_CALL - 1]}…")


def progress(told: tuple[str, str] | None) -> Progress | None:
    """What a job told of its progress: its state and JSON; None if it told nothing."""
    if told is None:
        return None
    state, meta = told
    found = _decoded(meta)
    if not isinstance(found, dict):
        return Progress(visible(state))
    said = cast("dict[str, Any]", found)
    current, total, text = _number(said.get("current")), _number(said.get("total")), said.get("text")
    words = [f"{current:g} of {total:g}"] if total else []
    words += [visible(text)] if isinstance(text, str) and text else []
    return Progress(", ".join(words) or visible(state), current, total)


_NOT_JSON: Final = object()


def _decoded(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _NOT_JSON


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _number(value: object) -> float:
    known = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53
    return float(cast("float", value)) if known else 0.0


FILTERS: Final[dict[str, Callable[..., Any]]] = {"path_segment": path_segment, "call": call, "progress": progress}
