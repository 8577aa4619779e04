"""The filter grammar: text to a tree and back. One parser for the command line, the dashboard and its API.

::

    query := and ("OR" and)*       and := unary ("AND"? unary)*       unary := ("-" | "NOT")? atom
    atom  := "(" query ")" | field op value ("," value)* | word | '"' phrase '"'
    op    := ":" | "=" | "!=" | ">" | ">=" | "<" | "<="
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

import msgspec

from umbel.exceptions import ImproperlyConfigured

MAX_CHARACTERS: Final = 1_024
MAX_TERMS: Final = 32
MAX_DEPTH: Final = 8
_FIELD: Final = re.compile(r"([A-Za-z][\w.-]{0,127})(!=|>=|<=|[:=<>])")
_BARE: Final = re.compile(r'[^\s(),"]{1,1024}')
_WORD: Final = re.compile(r'[^\s()"]{1,1024}')
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\["\\]){0,1024})"')
_ESCAPED: Final = re.compile(r"\\([\"\\])")
_KEYWORDS: Final = frozenset({"AND", "OR", "NOT"})


class FilterError(ImproperlyConfigured):
    """A filter that says nothing that can be looked for; *at* is the place in it, counted from 0."""

    def __init__(self, text: str, at: int, reason: str) -> None:
        shown = text if len(text) <= MAX_CHARACTERS else text[:MAX_CHARACTERS] + "…"
        super().__init__(f"{reason}\n  {shown}\n  {' ' * at}^")
        self.at = at
        self.reason = reason


class Value(msgspec.Struct, frozen=True, order=True):
    """One value of a term; *quoted* is text whatever it looks like."""

    text: str
    quoted: bool = False


class Term(msgspec.Struct, frozen=True):
    """``field op value,value``: one of the values. *op* is one of ``: != > >= < <=``."""

    field: str
    op: str
    values: tuple[Value, ...]
    at: int = 0


class Phrase(msgspec.Struct, frozen=True):
    """Words to be found somewhere in a job."""

    text: str
    at: int = 0


class Not(msgspec.Struct, frozen=True):
    """What *item* does not match."""

    item: Node


class And(msgspec.Struct, frozen=True):
    """What all of *items* match; everything if there are none."""

    items: tuple[Node, ...] = ()


class Or(msgspec.Struct, frozen=True):
    """What one of *items* matches."""

    items: tuple[Node, ...]


Node: TypeAlias = Term | Phrase | Not | And | Or


def parse(text: str) -> Node:
    """The tree of the filter *text*. Raises `FilterError`, which says where and what to write instead."""
    if len(text) > MAX_CHARACTERS:
        raise FilterError(text, MAX_CHARACTERS, f"the filter is longer than {MAX_CHARACTERS} characters: shorten it")
    reader = _Reader(text)
    if reader.peek() == "":
        return And()
    found = reader.query(1)
    if reader.peek():
        raise reader.error("there is a ) without its (: remove it, or put it in quotes")
    return found


def shown(node: Node) -> str:
    """*node* as text that parses to the same tree."""
    return _inside(node) if isinstance(node, And | Or) else _shown(node)


def _inside(node: And | Or) -> str:
    return (" OR " if isinstance(node, Or) else " ").join(_shown(item) for item in node.items)


def _shown(node: Node) -> str:
    match node:
        case Term():
            return f"{node.field}{node.op}{','.join(_value(value) for value in node.values)}"
        case Phrase():
            return _quoted(node.text)
        case Not():
            return f"-{_shown(node.item)}"
        case _:
            return f"({_inside(node)})"


def _value(value: Value) -> str:
    return _quoted(value.text) if value.quoted else value.text


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class _Reader:
    """Reads a text from left to right, and never goes back."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._terms = 0

    def error(self, reason: str, at: int | None = None) -> FilterError:
        """What is wrong here, or at *at*."""
        return FilterError(self._text, self._at if at is None else at, reason)

    def peek(self) -> str:
        """The next character that is no space, or nothing."""
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1
        return self._text[self._at : self._at + 1]

    def query(self, depth: int) -> Node:
        """``and ("OR" and)*``."""
        if depth > MAX_DEPTH:
            raise self.error(f"parentheses are nested deeper than {MAX_DEPTH}: write it flatter")
        items = [self._all(depth)]
        while self._keyword("OR"):
            items.append(self._all(depth))
        return items[0] if len(items) == 1 else Or(tuple(items))

    def _all(self, depth: int) -> Node:
        items: list[Node] = []
        while True:
            if self._keyword("AND") and not items:
                raise self.error("there is nothing before AND: remove it, or put it in quotes")
            if self.peek() in ("", ")") or self._sees("OR"):
                break
            items.append(self._unary(depth))
        if not items:
            raise self.error("a term is missing here, such as state:failed")
        return items[0] if len(items) == 1 else And(tuple(items))

    def _unary(self, depth: int) -> Node:
        negated = self._keyword("NOT")
        if not negated and self.peek() == "-":
            self._at += 1
            negated = True
            if self._text[self._at : self._at + 1].strip() == "":
                raise self.error('a term is missing after "-": write -state:failed without a space')
        item = self._atom(depth)
        return Not(item) if negated else item

    def _atom(self, depth: int) -> Node:
        start = self.peek() and self._at
        if self.peek() == "(":
            self._at += 1
            found = self.query(depth + 1)
            if self.peek() != ")":
                raise self.error("a ) is missing for this (", int(start or 0))
            self._at += 1
            return found
        if self.peek() in ("", ")"):
            raise self.error("a term is missing here, such as state:failed")
        self._terms += 1
        if self._terms > MAX_TERMS:
            raise self.error(f"there are more than {MAX_TERMS} terms: write fewer")
        return self._term() or self._phrase()

    def _term(self) -> Term | None:
        at = self._at
        match = _FIELD.match(self._text, at)
        if match is None:
            return None
        self._at = match.end()
        field, op = match[1], ":" if match[2] == "=" else match[2]
        values = [self._one(field)]
        while self._text[self._at : self._at + 1] == ",":
            self._at += 1
            values.append(self._one(field))
        return Term(field, op, tuple(values), at)

    def _one(self, field: str) -> Value:
        if self._text[self._at : self._at + 1] == '"':
            return Value(self._string(), quoted=True)
        match = _BARE.match(self._text, self._at)
        if match is None:
            raise self.error(f"a value is missing for {field}: write it without a space, or in quotes")
        self._at = match.end()
        return Value(match[0])

    def _phrase(self) -> Phrase:
        at = self._at
        if self._text[at] == '"':
            found = self._string()
            if not found.strip():
                raise self.error("there is nothing between these quotes", at)
            return Phrase(found, at)
        match = _WORD.match(self._text, at)
        if match is None or match[0] in _KEYWORDS:
            raise self.error("a term is missing here, such as state:failed", at)
        self._at = match.end()
        return Phrase(match[0], at)

    def _string(self) -> str:
        match = _QUOTED.match(self._text, self._at)
        if match is None:
            raise self.error('these quotes are not closed, or there is a \\ that is neither \\" nor \\\\')
        self._at = match.end()
        return _ESCAPED.sub(r"\1", match[1])

    def _sees(self, word: str) -> bool:
        self.peek()
        end = self._at + len(word)
        after = self._text[end : end + 1]
        return self._text.startswith(word, self._at) and (not after or after.isspace() or after in '()"')

    def _keyword(self, word: str) -> bool:
        if not self._sees(word):
            return False
        self._at += len(word)
        return True
