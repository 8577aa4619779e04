"""Archive: a database that keeps the history. Its statements are files; steps are functions of a transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Transaction(Protocol):
    """What a step sees of the database. Statements are named ``file.name``; values are bound in order from ``$1``."""

    @property
    def hints(self) -> bool:
        """Whether statements name the index they are to be read from, because the database would guess."""
        ...

    def rows(self, name: str, *values: object) -> list[tuple[Any, ...]]:
        """What the statement *name* answers."""
        ...

    def among(self, name: str, wanted: Sequence[str] | Sequence[int], *values: object) -> list[tuple[Any, ...]]:
        """The same, with the set *wanted* as its first value."""
        ...

    def many(self, name: str, rows: Sequence[Sequence[object]]) -> None:
        """Carry out the statement *name* for each of *rows*; nothing for none."""
        ...

    def text(self, name: str) -> str:
        """The text of *name*, to be composed with others. Nothing that a user gave is ever part of it."""
        ...

    def bound(self, value: object) -> object:
        """*value* as it is bound in a composed statement: a list of numbers is a set."""
        ...

    def ask(self, text: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        """What a composed statement answers."""
        ...

    def asks(self, asked: Sequence[tuple[str, Sequence[object]]]) -> list[list[tuple[Any, ...]]]:
        """What composed statements, each with its values, answer: all on one way to the database and back."""
        ...


class Archive(Protocol):
    """One history. Safe between threads; opens nothing before its first use.

    Errors: `HistoryUnavailable`, `HistoryFull`, `HistorySlow`, `HistoryError`, `ImproperlyConfigured`.
    """

    def write(self, step: Callable[[Transaction], T]) -> T:
        """Run *step* in a transaction that no other writer overlaps; it may run again, so it changes nothing else."""
        ...

    def read(self, step: Callable[[Transaction], T], seconds: float) -> T:
        """Run *step* in a transaction that cannot write and ends after *seconds* with `HistorySlow`."""
        ...

    def size(self) -> int:
        """How many bytes the history takes, about, without what is free to be used again."""
        ...

    def close(self) -> None:
        """Give back all connections of this process."""
        ...
