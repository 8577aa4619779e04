"""`SqliteMailbox`: the verbs of boxes on one file; bells wake whoever listens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from umbel.contracts.mailbox import MAX_HEARD, Letter
from umbel.engines.polling import apolled, polled
from umbel.engines.sqlite import Durability, SqliteEngine
from umbel.engines.sqlite_bells import MAIL, Bells
from umbel.engines.sqlite_file import Connection
from umbel.engines.sqlite_lease import Clock
from umbel.engines.statements import statements

MAILBOX: Final = statements("umbel.brokers.sqlite.queries", "mailbox.sql")
POLLING_SECONDS: Final = 1.0
"""How often a listener looks into the file where sockets do not work."""


class SqliteMailbox:
    """The boxes in the file of *engine*, shared by all processes of one host."""

    def __init__(self, engine: SqliteEngine, clock: Clock, bells: Bells) -> None:
        self._engine = engine
        self._clock = clock
        self._bells = bells

    def tell(self, box: str, messages: Sequence[bytes], ttl: float) -> None:
        """Append *messages* to *box*; see `Mailbox.tell`."""
        self._engine.call(
            lambda connection: self._tell(connection, box, messages, ttl),
            durable=Durability.NONE,
            after=lambda _: self._bells.deliver(box),
        )

    async def atell(self, box: str, messages: Sequence[bytes], ttl: float) -> None:
        """The async twin of `tell`."""
        await self._engine.submit(
            lambda connection: self._tell(connection, box, messages, ttl),
            durable=Durability.NONE,
            after=lambda _: self._bells.deliver(box),
        )

    def position(self, box: str) -> int:  # noqa: ARG002 - one row of numbers for all boxes
        """From where on nothing is missed; see `Mailbox.position`."""
        return self._engine.read(_position)

    async def aposition(self, box: str) -> int:  # noqa: ARG002 - see position
        """The async twin of `position`."""
        return await self._engine.submit_read(_position)

    def hear(self, box: str, after: int, wait: float) -> list[Letter]:
        """The messages of *box* above *after*; see `Mailbox.hear`."""
        found = self._heard(box, after)
        if found or wait <= 0:
            return found
        bell = self._bells.make(MAIL, [box])
        if bell is None:
            return polled(lambda: self._heard(box, after), wait, POLLING_SECONDS)
        with bell:
            # Look once more: what was told before the bell was up rang nobody.
            if found := self._heard(box, after):
                return found
            bell.wait(wait)
        return self._heard(box, after)

    async def ahear(self, box: str, after: int, wait: float) -> list[Letter]:
        """The async twin of `hear`."""
        found = await self._aheard(box, after)
        if found or wait <= 0:
            return found
        bell = self._bells.make(MAIL, [box])
        if bell is None:
            return await apolled(lambda: self._aheard(box, after), wait, POLLING_SECONDS)
        with bell:
            if found := await self._aheard(box, after):
                return found
            await bell.heard(wait)
        return await self._aheard(box, after)

    def _heard(self, box: str, after: int) -> list[Letter]:
        return self._engine.read(lambda connection: _hear(connection, self._clock.wall(), box, after))

    async def _aheard(self, box: str, after: int) -> list[Letter]:
        return await self._engine.submit_read(lambda connection: _hear(connection, self._clock.wall(), box, after))

    def _tell(self, connection: Connection, box: str, messages: Sequence[bytes], ttl: float) -> None:
        now = self._clock.wall()
        connection.execute(MAILBOX["expire"], (now, 2 * len(messages)))
        connection.executemany(MAILBOX["tell"], [(box, now + round(ttl * 1000), each) for each in messages])


def _position(connection: Connection) -> int:
    row = connection.execute(MAILBOX["position"]).fetchone()
    return 0 if row is None else row[0]


def _hear(connection: Connection, now: int, box: str, after: int) -> list[Letter]:
    return [Letter(*row) for row in connection.execute(MAILBOX["hear"], (box, after, now, MAX_HEARD))]
