"""Stampable: what signatures do about stamps; the stamping itself is met when it is used."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Self


class Stampable:
    """A signature or canvas that may be stamped."""

    __slots__ = ()

    def stamp(self, visitor: Any = None, append_stamps: bool = False, **stamps: Any) -> Self:
        """Stamp it, all in it, and the callbacks of these with *stamps* and what *visitor* says; answers itself.

        *visitor* is a `StampingVisitor`. A job finds them as ``request.stamps``. A stamp replaces one of its name; with
        *append_stamps* their values are collected in a list.
        """
        stamping = import_module("umbel.canvas.stamping")
        stamping.Stamper(visitor, append=append_stamps).stamp(self, stamps)
        return self

    def stamp_links(self, visitor: Any = None, append_stamps: bool = False, **stamps: Any) -> None:
        """Stamp its callbacks and errbacks alone."""
        stamping = import_module("umbel.canvas.stamping")
        stamping.Stamper(visitor, append=append_stamps).links(self, stamps)
