"""Statements and commands as values: what may be asked of PostgreSQL, without a connection to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from umbel.engines.operation import Operation
from umbel.engines.statements import statements

Rows: TypeAlias = list[tuple[Any, ...]]


class Query(NamedTuple):
    """One statement with the values of its ``$1``, ``$2`` …; *once*: never sent again unasked.

    *after*: it travels with those before it, and is carried out when they are committed; never first, and at most one.
    """

    statement: bytes
    values: Sequence[object] = ()
    once: bool = False
    after: bool = False


Command: TypeAlias = Sequence[Query]
"""Statements that are one transaction, but for one that comes after; its reply is a list of rows for each."""

Steps: TypeAlias = Operation[Command, Any]


class Statements:
    """The statements of SQL files of one package, by file and name; a test may replace some."""

    def __init__(self, package: str, *files: str) -> None:
        self.texts: Final = {
            f"{file}.{name}": text.encode()
            for file in files
            for name, text in statements(package, f"{file}.sql").items()
        }

    def __call__(self, name: str, *values: object, once: bool = False) -> Query:
        """The statement ``file.name`` with *values*."""
        return Query(self.texts[name], values, once)
