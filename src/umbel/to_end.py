"""A coroutine run to its end by code that is not async."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, Final, TypeVar

T = TypeVar("T")


class _Thread(threading.local):
    """What is known of this thread."""

    loop: asyncio.AbstractEventLoop | None = None


_this: Final = _Thread()


def belongs_to(loop: asyncio.AbstractEventLoop) -> None:
    """Let the coroutines of this thread, one that runs tasks, run in *loop*: there are the connections of the child."""
    _this.loop = loop


def to_end(coroutine: Coroutine[Any, Any, T], leave: Callable[[], Awaitable[object]] | None = None) -> T:
    """What *coroutine* returns; it sees the context variables of this thread.

    It runs in the child's loop if this thread runs tasks of a worker; else in a loop of its own, which is in another
    thread if this one has a running loop, and in which *leave* is awaited at the end: to give back its connections.
    """
    home = _this.loop
    if home is not None and not home.is_closed():
        return asyncio.run_coroutine_threadsafe(coroutine, home).result()
    alone = coroutine if leave is None else _leaving(coroutine, leave)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(alone)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(copy_context().run, asyncio.run, alone).result()


async def _leaving(coroutine: Coroutine[Any, Any, T], leave: Callable[[], Awaitable[object]]) -> T:
    try:
        return await coroutine
    finally:
        await leave()
