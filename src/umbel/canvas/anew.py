"""Anew: a job that is to be sent once more, with callbacks and errbacks that do not have the ids of the first time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

import msgspec

from umbel.canvas.links import START
from umbel.wire import values
from umbel.wire.envelope import MAX_LINK_BYTES, Envelope, Errback, Link, decode, pack

_FOLLOWING: Final = ("link", "link_error")
_PARTS: Final = ("tasks", "header", "body")
"""The options, and the keyword arguments of a canvas, that hold signatures."""


def anew(envelope: Envelope) -> Envelope:
    """*envelope* without the ids that its callbacks and errbacks were given; they follow from its new id then.

    With an id that is known, or has ended, they would not run again. Raises `DecodeError` for one that is damaged.
    """
    if not (envelope.links or envelope.errbacks):
        return envelope
    return msgspec.structs.replace(
        envelope, links=tuple(map(_link, envelope.links)), errbacks=tuple(map(_errback, envelope.errbacks))
    )


def _link(link: Link) -> Link:
    call = anew(decode(link.envelope, MAX_LINK_BYTES))
    if call.task == START:  # a canvas: its signature is the last argument
        *before, form = cast("list[Any]", values.decode(call.args)) or [None]
        call = msgspec.structs.replace(call, args=msgspec.Raw(values.encode([*before, _form(form)])))
    return msgspec.structs.replace(link, id="", envelope=pack(call))


def _errback(errback: Errback) -> Errback:
    form = _form(values.decode(errback.signature))
    return msgspec.structs.replace(errback, signature=values.encode(form))


def _form(given: Any) -> Any:
    """The signature *given* in its dict form, and those within it, without ids."""
    if isinstance(given, list):
        return [_form(each) for each in cast("Sequence[Any]", given)]
    if not isinstance(given, dict) or "task" not in given:
        return given  # pyright: ignore[reportUnknownVariableType] - whatever it is
    form: dict[str, Any] = {**given}
    options: dict[str, Any] = dict(form.get("options") or {})
    options.pop("task_id", None)
    form["options"] = {name: _form(value) if name in _FOLLOWING else value for name, value in options.items()}
    if form.get("subtask_type"):
        kwargs: dict[str, Any] = form.get("kwargs") or {}
        form["kwargs"] = {name: _form(value) if name in _PARTS else value for name, value in kwargs.items()}
    return form
