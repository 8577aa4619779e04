"""Boxes of messages on Redis: a stream a box, each in a slot of its own. The server's own clock counts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from secrets import token_hex
from typing import Any, Final, Generic, TypeVar

from umbel.engines.redis_calls import QueueCalls
from umbel.engines.redis_command import Command, Word
from umbel.engines.redis_jobs import milliseconds
from umbel.engines.redis_layout import box_key
from umbel.engines.redis_opening import AnyEngine

L = TypeVar("L")

LOOK_AGAIN_SECONDS: Final = 15.0
"""A silent line may be a dead one: no wait is longer."""

_SHIFT: Final = 20
_MASK: Final = (1 << _SHIFT) - 1


class RedisBoxes(Generic[L]):
    """The boxes of one database, or of a Cluster, whose names begin with *place*: the verbs of `Mailbox`.

    A letter, made by *letter*, numbers its place in the stream, "ms-number", as one. *most* are heard.
    """

    def __init__(
        self, calls: QueueCalls, engine: AnyEngine, letter: Callable[[int, bytes], L], most: int, place: str = ""
    ) -> None:
        self._calls = calls
        self._engine = engine
        self._letter = letter
        self._most = most
        self._place = place

    def tell(self, box: str, messages: Sequence[bytes], ttl: float) -> None:
        """Append *messages*, all in one step; see `Mailbox.tell`."""
        if messages:
            self._engine.call([self._telling(box, messages, ttl)])

    async def atell(self, box: str, messages: Sequence[bytes], ttl: float) -> None:
        """The async twin of `tell`."""
        if messages:
            await self._engine.acall([self._telling(box, messages, ttl)])

    def position(self, box: str) -> int:
        """The number of the last message, 0 if there is none; see `Mailbox.position`."""
        return _position(self._engine.call([self._last(box)]))

    async def aposition(self, box: str) -> int:
        """The async twin of `position`."""
        return _position(await self._engine.acall([self._last(box)]))

    def hear(self, box: str, after: int, wait: float) -> list[L]:
        """Messages after *after*; waits at most 15 s, on a line that is lost meanwhile as well."""
        patience, end = self._engine.patience(), time.monotonic() + min(wait, LOOK_AGAIN_SECONDS)
        while True:
            seconds = max(0.0, end - time.monotonic())
            try:
                reply = self._engine.blocked(self._hearing(box, after, seconds), seconds, patience)
            except OSError as error:
                time.sleep(patience.pause(error))
            else:
                return self._letters(reply)

    async def ahear(self, box: str, after: int, wait: float) -> list[L]:
        """The async twin of `hear`, on a connection of its own while it waits."""
        patience, end = self._engine.patience(), time.monotonic() + min(wait, LOOK_AGAIN_SECONDS)
        while True:
            seconds = max(0.0, end - time.monotonic())
            try:
                reply = await self._engine.ablocked(self._hearing(box, after, seconds), seconds, patience)
            except OSError as error:
                await asyncio.sleep(patience.pause(error))
            else:
                return self._letters(reply)

    def _telling(self, box: str, messages: Sequence[bytes], ttl: float) -> Command:
        words: list[Word] = [max(1, milliseconds(ttl)), token_hex(8), *messages]
        return self._calls.beside("tell", self._key(box), words)

    def _letters(self, reply: Any) -> list[L]:
        found: dict[bytes, list[tuple[bytes, list[bytes]]]] = self._engine.accepted([reply])[0] or {}
        return [self._letter(_number(place), fields[1]) for entries in found.values() for place, fields in entries]

    def _hearing(self, box: str, after: int, seconds: float) -> tuple[Word, ...]:
        block = ("BLOCK", max(1, milliseconds(seconds))) if seconds > 0 else ()
        return ("XREAD", "COUNT", self._most, *block, "STREAMS", self._key(box), f"{after >> _SHIFT}-{after & _MASK}")

    def _last(self, box: str) -> Command:
        return Command((b"XREVRANGE", self._key(box), b"+", b"-", b"COUNT", 1))

    def _key(self, box: str) -> bytes:
        return box_key(self._place + box)


def _position(replies: Sequence[Any]) -> int:
    return _number(replies[0][0][0]) if replies[0] else 0


def _number(place: bytes) -> int:
    at, number = place.split(b"-")
    return (int(at) << _SHIFT) + int(number)
