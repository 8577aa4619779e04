"""A channel listened to, and commands beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from umbel.engines.redis_command import Command
from umbel.engines.redis_connection import Connection, pack
from umbel.engines.redis_stream import Stream

Accepted: TypeAlias = Callable[[list[Any]], list[Any]]
"""Answers replies, or raises for the first that is a refusal."""


class Subscription:
    """A channel listened to, and commands beside it; see `Engine.subscription`."""

    def __init__(self, accepted: Accepted, connection: Connection) -> None:
        self._accepted = accepted
        self._connection = connection

    def ask(self, question: Sequence[Command] | float) -> Any:
        """The replies to plain commands, as of after the subscription; or the first message within so many seconds.

        The message is None when there is none in that time. Raises `OSError`, or `BrokerError` for a refusal.
        """
        if isinstance(question, float | int):
            return self._connection.message(question)
        packed = [pack(command.words) for command in question]
        return self._accepted(self._connection.exchange(packed, len(packed)))


class AsyncSubscription:
    """The async twin of `Subscription`."""

    def __init__(self, accepted: Accepted, stream: Stream, message: asyncio.Future[bytes]) -> None:
        self._accepted = accepted
        self._stream = stream
        self._message = message

    async def ask(self, question: Sequence[Command] | float) -> Any:
        """The async twin of `Subscription.ask`."""
        if isinstance(question, float | int):
            await asyncio.wait([self._message], timeout=question)
            return self._message.result() if self._message.done() else None
        packed = [pack(command.words) for command in question]
        return self._accepted(await self._stream.exchange(packed, len(packed)))
