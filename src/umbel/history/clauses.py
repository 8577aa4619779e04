"""Clauses: a filter as conditions with bound values, and as the indexes that it can be read from.

Nothing of a filter becomes part of a statement: it chooses among the parts in ``sql/search.sql``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias, TypeVar, cast

import msgspec

from umbel.contracts.history import Transaction
from umbel.history.arguments import hashed
from umbel.history.fields import Wrong, count, duration, field_of, having, moment, scalar, state
from umbel.history.grammar import And, FilterError, Node, Not, Or, Phrase, Term, Value
from umbel.history.names import Sort
from umbel.history.states import NAMES

MAX_NAMES: Final = 5_000
"""Among how many names a wildcard looks."""


class Part(msgspec.Struct, frozen=True):
    """One condition: the name of its text, and its values; a set of numbers is a list."""

    name: str
    values: tuple[Any, ...] = ()


class All(msgspec.Struct, frozen=True):
    """All of them."""

    items: tuple[Clause, ...]


class Some(msgspec.Struct, frozen=True):
    """At least one of them."""

    items: tuple[Clause, ...]


class Except(msgspec.Struct, frozen=True):
    """What it is not."""

    item: Clause


Clause: TypeAlias = Part | All | Some | Except
NOTHING: Final = Part("nothing")
EVERYTHING: Final = Part("everything")
T = TypeVar("T")
MOMENT_SECONDS: Final = 1e-6
"""Times of less distance are the same one."""
_SPECIAL: Final = re.compile(r"[\\%_]")
_ESCAPED: Final = r"\\\g<0>"
_MAY_LACK: Final = frozenset({"run", "wait", "started", "finished", "eta"})


class Conjunct(msgspec.Struct, frozen=True):
    """One thing that must hold: as a *clause*, and by which index it can be read: *keys* are its starting points."""

    clause: Clause
    index: str = ""
    keys: tuple[tuple[Any, ...], ...] = ()


class Meaning(msgspec.Struct, frozen=True):
    """What a filter means at a moment: all of *conjuncts*, sent at *since* or later, and at *until* or before."""

    conjuncts: tuple[Conjunct, ...] = ()
    since: float = -math.inf
    until: float = math.inf


class Reading:
    """Turns the tree of *text* into a meaning, looking names up in *transaction*; *now* is unix time."""

    def __init__(self, transaction: Transaction, text: str, now: float) -> None:
        self._transaction = transaction
        self._text = text
        self._now = now

    def meaning(self, tree: Node) -> Meaning:
        """The meaning of *tree*. Raises `FilterError`."""
        items = tree.items if isinstance(tree, And) else (tree,)
        conjuncts: list[Conjunct] = []
        since, until = -math.inf, math.inf
        for item in items:
            if isinstance(item, Term) and item.field in ("since", "until"):
                at = self._said(item, lambda term: moment(_only(term), self._now))
                since, until = (max(since, at), until) if item.field == "since" else (since, min(until, at))
            else:
                conjuncts.append(self._conjunct(item))
        return Meaning(tuple(conjuncts), since, until)

    def _conjunct(self, node: Node) -> Conjunct:
        if not isinstance(node, Term):
            return Conjunct(self._clause(node))
        return self._said(node, self._term)

    def _clause(self, node: Node) -> Clause:
        match node:
            case And():
                return All(tuple(self._clause(item) for item in node.items)) if node.items else EVERYTHING
            case Or():
                return Some(tuple(self._clause(item) for item in node.items))
            case Not():
                return Except(self._clause(node.item))
            case Phrase():
                return self._words(node)
            case Term():
                return self._said(node, self._term).clause

    def _said(self, term: Term, read: Callable[[Term], T]) -> T:
        try:
            return read(term)
        except Wrong as error:
            raise FilterError(self._text, term.at, str(error)) from None

    def _term(self, term: Term) -> Conjunct:
        readers: dict[str, Callable[[Term], Conjunct]] = {
            "name": self._named,
            "id": _ids,
            "argument": self._argument,
            "moment": self._moment,
            "having": _having,
            "state": lambda term: _numbered("state", [state(value) for value in term.values]),
            "group": lambda term: _numbered("group", [count(value) for value in term.values]),
            "count": lambda term: Conjunct(_compared(term, count, 1)),
            "duration": lambda term: Conjunct(_compared(term, lambda value: 1000 * duration(value), 1)),
        }
        found = readers[field_of(term).sort](term)
        # A comparison has negated itself.
        return Conjunct(Except(found.clause)) if term.op == "!=" and found.index else found

    def _moment(self, term: Term) -> Conjunct:
        later = msgspec.structs.replace(term, op=">=") if term.op == ":" else term
        return Conjunct(_compared(later, lambda value: moment(value, self._now), MOMENT_SECONDS))

    def _named(self, term: Term) -> Conjunct:
        if term.field == "error":
            return _numbered("group", self._groups([value.text for value in term.values]))
        sort = cast("Sort", term.field)
        found: set[int] = set()
        for value in term.values:
            if is_pattern(value):
                names = self._transaction.rows("search.names_of", sort, MAX_NAMES)
                found |= {int(number) for name, number in names if like(str(name), value.text)}
            else:
                found |= {int(number) for (number,) in self._transaction.rows("search.named", sort, value.text)}
        return _numbered(term.field, sorted(found))

    def _groups(self, wanted: Sequence[str]) -> list[int]:
        groups = [(str(kind), int(number)) for kind, number in self._transaction.rows("search.groups_of", MAX_NAMES)]
        return [
            number
            for kind, number in groups
            if any(like(kind, each) or like(kind.rpartition(".")[2], each) for each in wanted)
        ]

    def _argument(self, term: Term) -> Conjunct:
        path = f"arg.{term.field.removeprefix('kwargs.')}" if term.field.startswith("kwargs.") else term.field
        numbers = self._transaction.rows("search.named", "path", path)
        values = [scalar(value) for value in term.values]
        if not numbers:
            return Conjunct(NOTHING, "argument")
        keys = tuple((int(numbers[0][0]), each) for each in sorted({hashed(value) for value in values}))
        return Conjunct(_some(Part("is_argument", key) for key in keys), "argument", keys)

    def _words(self, phrase: Phrase) -> Clause:
        words = phrase.text.lower()
        tasks = self._transaction.rows("search.names_of", "task", MAX_NAMES)
        groups = self._transaction.rows("search.groups_of", MAX_NAMES)
        named = [int(number) for name, number in tasks if words in str(name).lower()]
        failed = [int(number) for name, number in groups if words in str(name).lower()]
        names = (Part("in_task", (named,)), Part("in_group", (failed,)))
        found = [each for each in names if each.values[0]]  # no name has the words, most often: nothing to look at
        return _some([*found, Part("words", (f"%{_SPECIAL.sub(_ESCAPED, phrase.text)}%",))])


def _only(term: Term) -> Value:
    field_of(term)
    return term.values[0]


def _ids(term: Term) -> Conjunct:
    keys = tuple((text,) for text in sorted({value.text for value in term.values}))
    return Conjunct(_some(Part(f"is_{term.field}", key) for key in keys), term.field, keys)


def _having(term: Term) -> Conjunct:
    return Conjunct(_some(Part(f"has_{having(value)}") for value in term.values))


def _compared(term: Term, read: Callable[[Value], float], step: float) -> Clause:
    """A comparison, made of "greater than" alone. What a job has not got matches no comparison."""
    over = f"over_{term.field}"
    there = (Part(f"has_{term.field}"),) if term.field in _MAY_LACK else ()
    values = [read(value) for value in term.values]
    match term.op:
        case ">":
            return All((*there, Part(over, (values[0],))))
        case ">=":
            return All((*there, Part(over, (values[0] - step,))))
        case "<":
            return All((*there, Except(Part(over, (values[0] - step,)))))
        case "<=":
            return All((*there, Except(Part(over, (values[0],)))))
        case _:
            equal = _some(All((Part(over, (each - step,)), Except(Part(over, (each,))))) for each in values)
            return Except(equal) if term.op == "!=" else equal


def _numbered(field: str, numbers: list[int]) -> Conjunct:
    if not numbers:
        return Conjunct(NOTHING, field)
    return Conjunct(Part(f"in_{field}", (numbers,)), field, tuple((number,) for number in sorted(set(numbers))))


def _some(items: Iterable[Clause]) -> Clause:
    found = tuple(items)
    return found[0] if len(found) == 1 else Some(found)


def is_pattern(value: Value) -> bool:
    """Whether *value* has a star that stands for anything."""
    return not value.quoted and "*" in value.text


def like(name: str, pattern: str) -> bool:
    """Whether *name* is *pattern*, where a star at its start or its end stands for anything."""
    open_start, open_end = pattern.startswith("*"), pattern.endswith("*") and len(pattern) > 1
    middle = pattern[1 if open_start else 0 : -1 if open_end else None]
    if open_start and open_end:
        return middle in name
    if open_start:
        return name.endswith(middle)
    return name.startswith(middle) if open_end else name == middle


def states() -> tuple[int, ...]:
    """The numbers of all states, for indexes in which the state comes before the order."""
    return tuple(range(len(NAMES)))
