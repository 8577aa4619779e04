"""Twin: one round trip in two forms, for operations that are written once and run sync or async."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeAlias, TypeVar

from umbel.engines.operation import Operation, adrive, drive

T = TypeVar("T")


class Twin(NamedTuple):
    """The same call, blocking (*now*) and awaitable (*soon*). Neither is made before it is driven."""

    now: Callable[[], Any]
    soon: Callable[[], Awaitable[Any]]


Steps: TypeAlias = Operation[Twin, T]
"""An operation whose commands are twins."""


def run(steps: Steps[T]) -> T:
    """What *steps* come to, blocking."""
    return drive(steps, lambda twin: twin.now())


async def arun(steps: Steps[T]) -> T:
    """The async twin of `run`."""
    return await adrive(steps, lambda twin: twin.soon())
