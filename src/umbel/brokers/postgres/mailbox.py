"""`PostgresMailbox`: the verbs of boxes in one database. A notification only wakes; messages are rows of a table."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final
from uuid import uuid4

from umbel.contracts.mailbox import MAX_HEARD, Letter
from umbel.engines.operation import Operation, adrive, drive
from umbel.engines.postgres import Engine
from umbel.engines.postgres_bells import Bells
from umbel.engines.postgres_command import Command, Statements
from umbel.engines.postgres_listener import Listener, Nap
from umbel.engines.postgres_topics import mail, number
from umbel.engines.postgres_values import Blobs

SQL: Final = Statements("umbel.brokers.postgres.queries", "mailbox")
BOXES: Final = 0x756D6262
"""The class of the advisory locks of boxes: "umbb" in ASCII."""
MAX_SWEPT: Final = 1_000
"""How many messages that have expired are removed by whoever tells one, at most, or twice as many as he tells."""


class PostgresMailbox:
    """The boxes of the database of *engine*; *now* answers what statements take for the time."""

    def __init__(self, engine: Engine, bells: Bells, listener: Listener, now: Callable[[], str | None]) -> None:
        self._engine = engine
        self._bells = bells
        self._listener = listener
        self._now = now

    def tell(self, box: str, messages: Sequence[bytes], ttl: float) -> None:
        """Append messages and wake who waits; see `Mailbox.tell`."""
        drive(_tell(box, messages, ttl, self._now()), self._engine.call)
        self._bells.ring_box(box)

    async def atell(self, box: str, messages: Sequence[bytes], ttl: float) -> None:
        """The async twin of `tell`."""
        await adrive(_tell(box, messages, ttl, self._now()), self._engine.acall)
        await self._bells.aring_box(box)

    def position(self, box: str) -> int:
        """The number of the last message; see `Mailbox.position`."""
        return drive(_position(box), self._engine.call)

    async def aposition(self, box: str) -> int:
        """The async twin of `position`."""
        return await adrive(_position(box), self._engine.acall)

    def hear(self, box: str, after: int, wait: float) -> list[Letter]:
        """The messages behind *after*, waiting for the first; see `Mailbox.hear`."""
        end = time.monotonic() + wait
        found = self._heard(box, after)
        if found or wait <= 0:
            return found
        woken = threading.Event()
        with self._listener.expecting([mail(box)], woken.set):
            while not found and (left := end - time.monotonic()) > 0:
                woken.wait(left)
                woken.clear()  # before the look: what is told during it is heard
                found = self._heard(box, after)
        return found

    async def ahear(self, box: str, after: int, wait: float) -> list[Letter]:
        """The async twin of `hear`."""
        end = time.monotonic() + wait
        found = await self._aheard(box, after)
        if found or wait <= 0:
            return found
        nap = Nap()
        with self._listener.expecting([mail(box)], nap.wake):
            while not found and (left := end - time.monotonic()) > 0:
                await nap.sleep(left)
                found = await self._aheard(box, after)
        return found

    def _heard(self, box: str, after: int) -> list[Letter]:
        return drive(_hear(box, after, self._now()), self._engine.call)

    async def _aheard(self, box: str, after: int) -> list[Letter]:
        return await adrive(_hear(box, after, self._now()), self._engine.acall)


def _tell(box: str, messages: Sequence[bytes], ttl: float, now: str | None) -> Operation[Command, None]:
    swept = str(max(MAX_SWEPT, 2 * len(messages)))
    yield [
        SQL("mailbox.lock", str(BOXES), str(number(box))),
        SQL("mailbox.tell", box, Blobs(messages), str(ttl), str(uuid4()), swept, now),
    ]


def _position(box: str) -> Operation[Command, int]:
    (((found,),),) = yield [SQL("mailbox.position", box)]
    return int(found)


def _hear(box: str, after: int, now: str | None) -> Operation[Command, list[Letter]]:
    (rows,) = yield [SQL("mailbox.hear", box, str(after), str(MAX_HEARD), now)]
    return [Letter(*row) for row in rows]
