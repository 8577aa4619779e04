"""Progress: a bar on a terminal for what takes a while."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

import click

from umbel.cli.command import Frame

T = TypeVar("T")
PORTION: Final = 500


@contextmanager
def progress(frame: Frame, label: str, length: int) -> Generator[Callable[[int], None]]:
    """Gives what is to be told how many of *length* are done in addition. Nothing is shown with `-q`, or to a file."""
    hidden = frame.quiet or not sys.stderr.isatty()
    with click.progressbar(length=length, label=label, file=sys.stderr, hidden=hidden) as bar:
        yield bar.update


def in_portions(frame: Frame, label: str, these: Sequence[T], do: Callable[[Sequence[T]], list[str]]) -> list[str]:
    """What *do* answers for all of *these*, a portion at a time, with a bar."""
    done: list[str] = []
    with progress(frame, label, len(these)) as told:
        for start in range(0, len(these), PORTION):
            portion = these[start : start + PORTION]
            done += do(portion)
            told(len(portion))
    return done
