"""Filters of pages: what is asked for as one filter, links that change one term of it, and what a user may not ask."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Literal, TypeAlias

from umbel.dashboard.visit import Visit
from umbel.history import FilterError
from umbel.history.grammar import And, Node, Not, Or, Phrase, Term, Value, parse, shown

Span: TypeAlias = Literal["", "15m", "1h", "6h", "24h", "7d", "30d"]
"""How far back to look; empty: as far as the history goes."""
SPANS: Final[tuple[Span, ...]] = ("15m", "1h", "6h", "24h", "7d", "30d", "")
_BARE: Final = re.compile(r'[^\s(),"*]{1,1024}')
_ARGUMENT: Final = re.compile(r"(arg|args|kwargs|header)\.")


def whole(visit: Visit, q: str, span: str = "") -> str:
    """The filter *q*, not further back than *span*, as one filter. Raises `FilterError`, also for what is hidden."""
    tree = parse(q)
    _check(visit, q, tree)
    if not span:
        return q
    return shown(And((*_terms(tree), Term("since", ":", (Value(span),)))))


def narrowed(q: str, field: str, value: str) -> str:
    """*q* with ``field:value`` instead of what it says of *field*; a wrong filter counts as none."""
    return _changed(q, lambda terms: (*_without(terms, field), Term(field, ":", (_value(value),))))


def widened(q: str, field: str) -> str:
    """*q* without what it says of *field*."""
    return _changed(q, lambda terms: _without(terms, field))


def chosen(q: str, field: str) -> tuple[str, ...]:
    """The values of *field* that *q* asks for."""
    terms = [each for each in _terms(_parsed(q)) if _is_about(each, field)]
    return tuple(value.text for each in terms if isinstance(each, Term) for value in each.values)


FILTERS: Final[dict[str, Callable[..., Any]]] = {"narrowed": narrowed, "widened": widened, "chosen": chosen}
"""Filters of templates."""


def _check(visit: Visit, q: str, tree: Node) -> None:
    """Raise `FilterError` for terms whose answer would tell the user what is hidden from him."""
    args, results = visit.sees_args, visit.may("jobs.view_results")
    for node in _leaves(tree):
        if isinstance(node, Term) and _ARGUMENT.match(node.field) and not args:
            raise FilterError(q, node.at, f"arguments are hidden from you, so {node.field} cannot be looked for")
        if isinstance(node, Phrase) and not (args and results):
            why = "arguments or results are hidden from you, so words in them cannot be looked for"
            raise FilterError(q, node.at, why)


def _leaves(node: Node) -> Iterator[Node]:
    match node:
        case Not():
            yield from _leaves(node.item)
        case And() | Or():
            for item in node.items:
                yield from _leaves(item)
        case _:
            yield node


def _parsed(q: str) -> Node:
    try:
        return parse(q)
    except FilterError:
        return And()


def _terms(tree: Node) -> Sequence[Node]:
    return tree.items if isinstance(tree, And) else (tree,)


def _changed(q: str, change: Callable[[Sequence[Node]], Sequence[Node]]) -> str:
    return shown(And(tuple(change(_terms(_parsed(q))))))


def _without(terms: Sequence[Node], field: str) -> Sequence[Node]:
    return [each for each in terms if not _is_about(each, field)]


def _is_about(node: Node, field: str) -> bool:
    return isinstance(node, Term) and node.field == field and node.op == ":"


def _value(text: str) -> Value:
    return Value(text, quoted=_BARE.fullmatch(text) is None)
