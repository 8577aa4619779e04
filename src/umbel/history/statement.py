"""Statement: one query over jobs, put together out of the parts in ``sql/search.sql``; and which rows it reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from umbel.contracts.history import Transaction
from umbel.history.clauses import All, Clause, Except, Part, Some

END: Final = 2**62
_INDEXED: Final = frozenset(
    {"state", "task", "queue", "worker", "group", "flow", "root", "parent", "retry_of", "schedule"}
)
_VALUE: Final = re.compile(r"([$?])(\d+)")


class Range(msgspec.Struct, frozen=True):
    """A part of an index, in the order of seq: its condition by name, and values."""

    name: str
    values: tuple[Any, ...] = ()

    @property
    def suffix(self) -> str:
        """Which table the rows are read from."""
        return "_by_argument" if self.name == "argument" else ""


class Bounds(msgspec.Struct, frozen=True):
    """Of seq: *below* exclusive, *least* inclusive."""

    below: int = END
    least: int = 0


class Statement:
    """Puts a statement together out of parts, and numbers its values."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._texts: list[str] = []
        self._values: list[object] = []

    def range(self, what: str, each: Range, within: Bounds) -> None:
        """Add *what* is read, from which part of which index."""
        self.part(f"{what}{each.suffix}")
        if self._transaction.hints and each.name in _INDEXED:
            self.part(f"by_{each.name}")
        self.word("where")
        self.condition(f"from_{each.name}", each.values)
        self.word("and")
        self.condition(f"between{each.suffix}", (within.below, within.least))

    def part(self, name: str, values: Sequence[Any] = ()) -> None:
        """Add the text *name*."""
        start = len(self._values)
        text = self._transaction.text(f"search.{name}")
        self._texts.append(_VALUE.sub(lambda match: f"{match[1]}{start + int(match[2])}", text))
        self._values += [self._transaction.bound(value) for value in values]

    def condition(self, name: str, values: Sequence[Any] = ()) -> None:
        """Add the text *name* in parentheses."""
        self.word("(")
        self.part(name, values)
        self.word(")")

    def word(self, word: str) -> None:
        """Add a word of the language."""
        self._texts.append(word)

    def clause(self, clause: Clause) -> None:
        """Add a condition."""
        match clause:
            case Part():
                self.condition(clause.name, clause.values)
            case Except():
                self.word("not (")
                self.clause(clause.item)
                self.word(")")
            case All() | Some():
                self.word("(")
                for place, item in enumerate(clause.items):
                    if place:
                        self.word("and" if isinstance(clause, All) else "or")
                    self.clause(item)
                self.word(")")

    def told(self) -> tuple[str, Sequence[object]]:
        """Its text and its values."""
        return "\n".join(self._texts), self._values
