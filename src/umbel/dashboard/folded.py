"""Folded: JSON as a tree that can be folded, with numbers exactly as they were written."""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple, cast

MAX_DEPTH: Final = 12
MAX_PARTS: Final = 200
MAX_TEXT: Final = 64 * 1024
"""Characters of one text that are shown; the copy button of a page has all of it."""


class _Number(str):
    """A number as it was written: no digit is lost."""

    __slots__ = ()


class Node(NamedTuple):
    """One value: its *key* within its parent, and either *text* of a *kind* or *parts*.

    *kind* is ``text``, ``number``, ``word`` (true, false, null, and what is left out), ``list`` or ``object``.
    """

    key: str
    kind: str
    text: str = ""
    parts: tuple[Node, ...] = ()


def folded(text: str | None) -> Node | None:
    """The tree of *text*; None if it is no JSON, as when it was shortened: show it as it is then."""
    if text is None:
        return None
    try:
        value = json.loads(text, parse_int=_Number, parse_float=_Number, parse_constant=_Number)
    except (ValueError, RecursionError):
        return None
    return _node("", value, 0)


def _node(key: str, value: Any, depth: int) -> Node:
    if isinstance(value, _Number):
        return Node(key, "number", str(value))
    if isinstance(value, str):
        rest = len(value) - MAX_TEXT
        return Node(key, "text", value if rest <= 0 else f"{value[:MAX_TEXT]}… {rest} more characters")
    if value and depth < MAX_DEPTH and isinstance(value, dict | list):
        return _folder(key, cast("dict[str, Any] | list[Any]", value), depth)
    return Node(key, "word", _word(value))


def _folder(key: str, value: dict[str, Any] | list[Any], depth: int) -> Node:
    if isinstance(value, dict):
        return Node(key, "object", f"{{{len(value)}}}", _parts(list(value.items()), depth))
    return Node(key, "list", f"[{len(value)}]", _parts([(str(n), each) for n, each in enumerate(value)], depth))


def _parts(items: list[tuple[str, Any]], depth: int) -> tuple[Node, ...]:
    parts = [_node(key, value, depth + 1) for key, value in items[:MAX_PARTS]]
    if len(items) > MAX_PARTS:
        parts.append(Node("…", "word", f"{len(items) - MAX_PARTS} more"))
    return tuple(parts)


def _word(value: Any) -> str:
    if isinstance(value, dict | list):
        return ("{…}" if isinstance(value, dict) else "[…]") if value else json.dumps(value)
    return json.dumps(value)
