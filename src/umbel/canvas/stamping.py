"""Stamping: marks on all jobs of a canvas and on their callbacks. They are headers, and survive retry and replace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from umbel.canvas.primitives import chain, chord, group
from umbel.canvas.signatures import Signature, listed

STAMPS: Final = "stamps"
STAMPED: Final = "stamped_headers"
Stamps = dict[str, Any]


class StampingVisitor:
    """Says what each part of a canvas is stamped with, by dicts of names and values. Derive from it.

    A dict may name under "stamped_headers" those of its names that are stamps; by default all are. *headers* are the
    stamps that the part has from those around it.
    """

    def on_signature(self, sig: Signature[Any], **headers: Any) -> Mapping[str, Any] | None:
        """The stamps of one signature."""
        raise NotImplementedError(f"{type(self).__name__} must define on_signature(sig, **headers)")

    def on_chain_start(self, sig: chain, **headers: Any) -> Mapping[str, Any] | None:
        """The stamps of all steps of a chain."""

    def on_chain_end(self, sig: chain, **headers: Any) -> None:
        """All steps are stamped."""

    def on_group_start(self, sig: group, **headers: Any) -> Mapping[str, Any] | None:
        """The stamps of all members of a group."""

    def on_group_end(self, sig: group, **headers: Any) -> None:
        """All members are stamped."""

    def on_chord_header_start(self, sig: chord, **headers: Any) -> Mapping[str, Any] | None:
        """The stamps of all members of a chord's header, and of what follows it; by default those of a group."""
        return self.on_group_start(sig.header, **headers)

    def on_chord_header_end(self, sig: chord, **headers: Any) -> None:
        """All members are stamped."""
        self.on_group_end(sig.header, **headers)

    def on_chord_body(self, sig: chord, **headers: Any) -> Mapping[str, Any] | None:
        """The stamps of a chord's body."""

    def on_callback(self, callback: Signature[Any], **headers: Any) -> Mapping[str, Any] | None:
        """The stamps of a callback."""

    def on_errback(self, errback: Signature[Any], **headers: Any) -> Mapping[str, Any] | None:
        """The stamps of an errback."""


class _Nobody(StampingVisitor):
    """Says nothing."""

    def on_signature(self, sig: Signature[Any], **headers: Any) -> None:
        del sig, headers


class Stamper:
    """Stamps signatures; *append* collects values of one name in a list, else the new one replaces the old."""

    def __init__(self, visitor: StampingVisitor | None, *, append: bool) -> None:
        """By *visitor*."""
        self._visitor = visitor or _Nobody()
        self._append = append

    def stamp(self, sig: Signature[Any], stamps: Stamps) -> None:
        """Stamp *sig* and all that is in it."""
        match sig:
            case chain():
                inner = self._more(stamps, self._visitor.on_chain_start(sig, **stamps))
                self.links(sig, inner)
                for step in sig.tasks:
                    self.stamp(step, inner)
                self._visitor.on_chain_end(sig, **inner)
            case group():
                inner = self._more(stamps, self._visitor.on_group_start(sig, **stamps))
                self.links(sig, inner)
                for member in sig.tasks:
                    self.stamp(member, inner)
                self._visitor.on_group_end(sig, **inner)
            case chord():
                self._chord(sig, stamps)
            case _:
                self.links(sig, stamps)
                self._keep(sig, self._more(stamps, self._visitor.on_signature(sig, **stamps)))

    def links(self, sig: Signature[Any], stamps: Stamps) -> None:
        """Stamp the callbacks and errbacks of *sig*."""
        for name, ask in (("link", self._visitor.on_callback), ("link_error", self._visitor.on_errback)):
            if sig.options.get(name):
                sig.options[name] = found = listed(sig.options[name])
                for each in found:
                    self.stamp(each, self._more(stamps, ask(each, **stamps)))

    def _chord(self, sig: chord, stamps: Stamps) -> None:
        inner = self._more(stamps, self._visitor.on_chord_header_start(sig, **stamps))
        self.links(sig, inner)
        for member in sig.header.tasks:
            self.stamp(member, inner)
        self._visitor.on_chord_header_end(sig, **inner)
        if sig.body is not None:
            self.stamp(sig.body, self._more(inner, self._visitor.on_chord_body(sig, **inner)))

    def _more(self, stamps: Stamps, said: Mapping[str, Any] | None) -> Stamps:
        given = dict(said or {})
        names = given.pop(STAMPED, None)
        new = given if names is None else {name: given[name] for name in names if name in given}
        return _joined(stamps, new, append=self._append)

    def _keep(self, sig: Signature[Any], stamps: Stamps) -> None:
        if stamps:
            sig.options["headers"] = stamped(sig.options.get("headers"), stamps, append=self._append)


def under(sig: Signature[Any], stamps: Stamps) -> None:
    """Stamp all jobs of *sig*, as far as they have no stamps of those names."""
    parts = list(sig.parts())
    for part in parts:
        under(part, stamps)
    if not parts:
        sig.options["headers"] = restamped({STAMPS: stamps}, sig.options.get("headers"))


def stamped(headers: Mapping[str, Any] | None, stamps: Mapping[str, Any], *, append: bool = False) -> dict[str, Any]:
    """*headers* with *stamps*, which win over those that are there or, with *append*, are added to them."""
    known = dict(headers or {})
    found = _joined(stamps_of(known), stamps, append=append)
    return {**known, STAMPS: found, STAMPED: sorted(found)}


def restamped(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> dict[str, Any]:
    """The headers *new* with the stamps of *old*, as far as they have none of those names."""
    stamps = {**stamps_of(old), **stamps_of(new)}
    return stamped(new, stamps) if stamps else dict(new or {})


def stamps_of(headers: Mapping[str, Any] | None) -> Stamps:
    """The stamps among *headers*."""
    found: object = (headers or {}).get(STAMPS)
    return dict(cast("Stamps", found)) if isinstance(found, dict) else {}


def _joined(stamps: Stamps, more: Mapping[str, Any], *, append: bool) -> Stamps:
    found = dict(stamps)
    for name, value in more.items():
        if append and name in found and found[name] != value:
            old = _values(found[name])
            found[name] = old + [each for each in _values(value) if each not in old]
        else:
            found[name] = value
    return found


def _values(value: Any) -> list[Any]:
    return list(cast("Sequence[Any]", value)) if isinstance(value, list | tuple | set) else [value]


def matches(headers: Mapping[str, Any] | None, asked: Mapping[str, Any]) -> bool:
    """Tell whether a job with *headers* has one of the stamps in *asked*: names with a value or several."""
    stamps = stamps_of(headers)
    return any(
        any(each in _values(stamps[name]) for each in _values(value)) for name, value in asked.items() if name in stamps
    )
