"""Letters: a filter, as one asks the history with, for dead letters, which the broker has.

What the broker tells of a dead letter and what its envelope says is compared, letter by letter; arguments as redacted,
so what is hidden is not found, either.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, TypeAlias, cast

from umbel.app.dead import DeadLetter
from umbel.exceptions import DecodeError
from umbel.history.arguments import Scalar, hashed, leaves
from umbel.history.clauses import is_pattern, like
from umbel.history.fields import Wrong, count, field_of, having, moment, scalar, state
from umbel.history.grammar import And, FilterError, Node, Not, Or, Phrase, Term, Value, parse
from umbel.history.states import CODES
from umbel.retelling import described
from umbel.security.redaction import Redaction, Sketch
from umbel.wire.envelope import Envelope, decode

Test: TypeAlias = "Callable[[_Facts], bool]"
_DEAD: Final = CODES["dead"]
_COMPARED: Final[dict[str, Callable[[float, float], bool]]] = {
    ":": operator.eq,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_MOMENTS: Final = {"since": ">=", "until": "<="}
_UNKNOWN: Final = {
    "group": "write error:TypeOfTheError",
    "run": "leave it out",
    "wait": "leave it out",
    "started": "write finished:, which is when it was given up",
}
"""Fields that nobody keeps of a dead letter, and what to write instead."""
_IN_BODY: Final = frozenset({"flow", "root", "parent", "retry_of", "schedule"})


class LetterFilter:
    """Which dead letters the filter *text* means at the moment *now*; `since` and `until` are about when they died.

    Raises `FilterError` for what cannot be looked for.
    """

    def __init__(self, text: str, now: float, redaction: Redaction, sketch: Callable[[str], Sketch]) -> None:
        """*redaction* and *sketch*, of the task of a name, say what of arguments may be shown."""
        self._redaction = redaction
        self._sketch = sketch
        self._tree = parse(text)
        self._reader = _Reader(text, now)
        self._test = self._reader.test(self._tree)

    @property
    def asks_why(self) -> bool:
        """Whether the answer depends on the error that a letter died of."""
        return self._reader.asks_why

    def may_be_in(self, queue: str) -> bool:
        """Whether letters of *queue* can be meant; if not, there is no need to look at them."""
        terms = self._tree.items if isinstance(self._tree, And) else (self._tree,)
        named = [term for term in terms if isinstance(term, Term) and term.field == "queue"]
        return all(_is_named(term, queue) for term in named)

    def matches(self, letter: DeadLetter, reason: str = "") -> bool:
        """Whether *letter* is meant; *reason* is what else is known of its error, where the broker has forgotten it."""
        return self._test(_Facts(letter, letter.reason or reason, self._redaction, self._sketch(letter.task)))


class _Facts:
    """What is known of one dead letter, worked out when somebody asks."""

    def __init__(self, letter: DeadLetter, reason: str, redaction: Redaction, sketch: Sketch) -> None:
        self.letter = letter
        self.reason = reason
        self._redaction = redaction
        self._sketch = sketch

    @cached_property
    def envelope(self) -> Envelope:
        """Its envelope; an empty one, if that cannot be read."""
        try:
            return decode(self.letter.envelope, len(self.letter.envelope))
        except DecodeError:
            return Envelope(task=self.letter.task)

    @cached_property
    def body(self) -> Mapping[str, Any]:
        """What events would tell of it."""
        return described(self.envelope, self._redaction, self._sketch)

    @cached_property
    def arguments(self) -> Mapping[str, Scalar]:
        """Its arguments and headers by their paths."""
        told = self.body
        return leaves(told["args"], told["kwargs"], told.get("headers"), self._sketch.names)

    @cached_property
    def words(self) -> str:
        """All in which words are looked for."""
        letter, told = self.letter, self.body
        return "\n".join((letter.id, letter.task, self.reason, told["args"], told["kwargs"])).casefold()

    @property
    def error(self) -> str:
        """The type of its error."""
        return self.reason.partition(": ")[0]


class _Reader:
    """Makes tests of the terms of *text*."""

    def __init__(self, text: str, now: float) -> None:
        self._text = text
        self._now = now
        self.asks_why = False

    def test(self, node: Node) -> Test:
        """Whether a letter fits *node*. Raises `FilterError`."""
        match node:
            case And():
                every = [self.test(item) for item in node.items]
                return lambda facts: all(each(facts) for each in every)
            case Or():
                some = [self.test(item) for item in node.items]
                return lambda facts: any(each(facts) for each in some)
            case Not():
                test = self.test(node.item)
                return lambda facts: not test(facts)
            case Phrase():
                self.asks_why = True
                words = node.text.casefold()
                return lambda facts: words in facts.words
            case Term():
                try:
                    return self._term(node)
                except Wrong as error:
                    raise FilterError(self._text, node.at, str(error)) from None

    def _term(self, term: Term) -> Test:
        sort = field_of(term).sort
        if term.field in _UNKNOWN:
            raise Wrong(f"{term.field} is not known of dead letters: {_UNKNOWN[term.field]}")
        readers: dict[str, Callable[[Term], Test]] = {
            "state": lambda term: _fixed(_DEAD in [state(value) for value in term.values]),
            "name": self._named,
            "id": _identified,
            "count": _counted,
            "moment": self._moment,
            "having": self._having,
            "argument": _argument,
        }
        test = readers[sort](term)
        return (lambda facts: not test(facts)) if term.op == "!=" else test

    def _named(self, term: Term) -> Test:
        if term.field == "error":
            self.asks_why = True
            return lambda facts: any(_is_error(facts.error, value.text) for value in term.values)
        read: Callable[[DeadLetter], str] = operator.attrgetter(term.field)
        return lambda facts: any(_is_name(read(facts.letter), value) for value in term.values)

    def _moment(self, term: Term) -> Test:
        op = _MOMENTS.get(term.field, ">=" if term.op == ":" else term.op)
        wanted, compared = moment(term.values[0], self._now), _COMPARED[op]
        return lambda facts: (at := _at(facts, term.field)) is not None and compared(at, wanted)

    def _having(self, term: Term) -> Test:
        if any(having(value) != "error" for value in term.values):
            raise Wrong("a dead letter has no result and no progress: only has:error says something")
        self.asks_why = True
        return lambda facts: bool(facts.reason)


def _fixed(answer: bool) -> Test:
    return lambda _: answer


def _identified(term: Term) -> Test:
    wanted = {value.text for value in term.values}
    if term.field in _IN_BODY:
        return lambda facts: facts.body.get(term.field) in wanted
    return lambda facts: facts.letter.id in wanted


def _counted(term: Term) -> Test:
    name = {"attempt": "attempts"}.get(term.field, term.field)
    read: Callable[[DeadLetter], int] = operator.attrgetter(name)
    wanted, compared = [count(value) for value in term.values], _COMPARED[":" if term.op == "!=" else term.op]
    return lambda facts: any(compared(read(facts.letter), each) for each in wanted)


def _argument(term: Term) -> Test:
    path = f"arg.{term.field.removeprefix('kwargs.')}" if term.field.startswith("kwargs.") else term.field
    wanted = {hashed(scalar(value)) for value in term.values}
    return lambda facts: path in facts.arguments and hashed(facts.arguments[path]) in wanted


def _at(facts: _Facts, field: str) -> float | None:
    """The moment that *field* names; that of its death, for all that is not about the call."""
    if field == "sent":
        return facts.envelope.created or None
    return facts.envelope.eta if field == "eta" else facts.letter.buried


def _is_named(term: Term, name: str) -> bool:
    found = any(_is_name(name, value) for value in term.values)
    return found != (term.op == "!=")


def _is_name(name: str, value: Value) -> bool:
    return like(name, value.text) if is_pattern(value) else name == value.text


def _is_error(kind: str, wanted: str) -> bool:
    return like(kind, wanted) or like(kind.rpartition(".")[2], wanted)


class Chosen:
    """What a filter leaves of dead letters, for `umbel.app.dead`; *why* tells what is known of errors elsewhere."""

    def __init__(self, filter: LetterFilter, why: Callable[[Sequence[str]], Mapping[str, str]] | None = None) -> None:
        self._filter = filter
        self._why = why

    def may_be_in(self, queue: str) -> bool:
        """Whether letters of *queue* can be meant."""
        return self._filter.may_be_in(queue)

    def letters(self, found: Sequence[DeadLetter]) -> list[DeadLetter]:
        """Those of *found* that are meant."""
        forgotten = [letter.id for letter in found if not letter.reason] if self._filter.asks_why else []
        told = self._why(forgotten) if self._why is not None and forgotten else cast("Mapping[str, str]", {})
        return [letter for letter in found if self._filter.matches(letter, told.get(letter.id, ""))]
