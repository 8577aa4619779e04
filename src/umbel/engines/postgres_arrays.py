"""Columns as PostgreSQL reads them: ``{1,2,NULL}``. Written at once, which takes a fraction of what a driver needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

NUMBERS: Final = frozenset({int})


def array(column: Sequence[object]) -> str:
    """*column* of numbers, texts or bytes, each maybe None, as the text of an array, for ``$1::text[]`` and such."""
    items: Iterable[str] = map(str, column) if {type(each) for each in column} <= NUMBERS else map(_item, column)
    return f"{{{','.join(items)}}}"


def _item(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, bytes):
        return f'"\\\\x{value.hex()}"'
    return repr(int(value) if isinstance(value, bool) else value)
