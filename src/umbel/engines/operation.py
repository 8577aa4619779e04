"""An operation is written once, as a generator of commands, and driven by a sync or an async call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeAlias, TypeVar, cast

C = TypeVar("C")
T = TypeVar("T")

Operation: TypeAlias = Generator[C, Any, T]
"""Yields commands (one atomic round trip each), is sent the replies, returns a value. Knows no socket and no loop."""


def drive(operation: Operation[C, T], call: Callable[[C], Any]) -> T:
    """Run *operation* over the sync *call*; an error of a call is raised inside the operation first."""
    try:
        command = next(operation)
        while True:
            try:
                reply = call(command)
            except Exception as error:  # noqa: BLE001 - handed to the operation, which raises what it does not handle
                command = operation.throw(error)
            else:
                command = operation.send(reply)
    except StopIteration as done:
        return cast("T", done.value)


async def adrive(operation: Operation[C, T], call: Callable[[C], Awaitable[Any]]) -> T:
    """The async twin of `drive`."""
    try:
        command = next(operation)
        while True:
            try:
                reply = await call(command)
            except Exception as error:  # noqa: BLE001 - see drive
                command = operation.throw(error)
            else:
                command = operation.send(reply)
    except StopIteration as done:
        return cast("T", done.value)
