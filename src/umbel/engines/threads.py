"""Threads for what blocks, for sync and async callers alike."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

from umbel.exceptions import BrokerUnavailable

P = ParamSpec("P")
T = TypeVar("T")

THREADS: Final = 4
GRACE_SECONDS: Final = 1.0
"""A shelf keeps its deadline itself; this much later a call is given up that a frozen server holds."""


class Threads:
    """A few threads for the calls of *name*; they end when nobody refers to them any more."""

    def __init__(self, name: str, deadline: float) -> None:
        self._pool = ThreadPoolExecutor(THREADS, "umbel-blocking")
        self._pid = os.getpid()
        self._name = name
        self._deadline = deadline

    def start(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run *function* some time soon."""
        if self._pid != os.getpid():  # threads do not survive a fork
            self._pool = ThreadPoolExecutor(THREADS, "umbel-blocking")
            self._pid = os.getpid()
        return self._pool.submit(function, *args, **kwargs)

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The answer of *function*, run in the pool. Raises `BrokerUnavailable` if it takes too long."""
        future = self.start(function, *args, **kwargs)
        try:
            return future.result(self._deadline + GRACE_SECONDS)
        except TimeoutError:
            raise self._silent(future) from None

    async def acall(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The async twin of `call`."""
        future = self.start(function, *args, **kwargs)
        try:
            async with asyncio.timeout(self._deadline + GRACE_SECONDS):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise self._silent(future) from None

    def _silent(self, future: Future[T]) -> BrokerUnavailable:
        future.cancel()
        return BrokerUnavailable(f"{self._name} gave no answer within {self._deadline:g} s")
