"""Connections to PostgreSQL that no thread is using: taken, given back, and closed with whoever keeps them."""

from __future__ import annotations

import os
import weakref
from collections import defaultdict
from contextlib import suppress
from typing import Any, Generic, TypeVar

import psycopg

L = TypeVar("L", bound="psycopg.Connection[Any]")


class Idle(Generic[L]):
    """What threads share, and forked processes do not: a child must not end the connections of its parent.

    Their end would be told to the server.
    """

    def __init__(self) -> None:
        """Have none."""
        self.closings = 0
        """How often all were closed; see `give`."""
        self._lines: defaultdict[int, list[L]] = defaultdict(list)
        # A call that was cancelled may begin in its thread after `close`.
        weakref.finalize(self, _close, self._lines).atexit = False

    @property
    def here(self) -> list[L]:
        """Those of this process."""
        return self._lines[os.getpid()]

    def take(self) -> L | None:
        """One of them, if there is any."""
        with suppress(IndexError):
            return self.here.pop()
        return None

    def give(self, line: L, closings: int) -> None:
        """Give *line* back; it is closed if all were since there had been so many *closings*."""
        self.here.append(line)
        if closings != self.closings:
            self.drop()

    def close(self) -> None:
        """Close all: those that a thread is using when they are given back."""
        self.closings += 1
        self.drop()

    def drop(self) -> None:
        """Close those that nobody is using now."""
        _close(self._lines)

    def leave(self, parent: int) -> list[L]:
        """What a process *parent* had when it was forked: it is that one's."""
        return self._lines.pop(parent, [])


def _close(lines: defaultdict[int, list[L]]) -> None:
    """Close what this process has of *lines*, while other threads may take and give."""
    with suppress(IndexError):
        while True:
            lines[os.getpid()].pop().close()
