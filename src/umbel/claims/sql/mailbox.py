"""`SqlMailbox`: the verbs of boxes in a SQL database. It can wake nobody on all of them, so who listens looks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from secrets import token_hex
from typing import Final

from umbel.contracts.mailbox import MAX_HEARD, Letter
from umbel.engines import sql_letters
from umbel.engines.polling import apolled, polled
from umbel.engines.sql import Connection, SqlEngine
from umbel.engines.sql_letters import Letters
from umbel.engines.threads import Threads

LOOK_SECONDS: Final = 0.25
"""How often a listener looks: an order and its answer are heard within the second that inspection waits."""


class SqlMailbox:
    """The boxes in the database of *engine*, asked in *threads*; *now* answers unix ms on a connection."""

    def __init__(self, engine: SqlEngine, threads: Threads, now: Callable[[Connection], int]) -> None:
        self._engine = engine
        self._threads = threads
        self._now = now

    def tell(self, box: str, messages: Sequence[bytes], ttl: float) -> None:
        """Append *messages* to *box*; see `Mailbox.tell`."""
        if messages:
            self._threads.call(self._engine.run, self._telling(box, messages, ttl))

    async def atell(self, box: str, messages: Sequence[bytes], ttl: float) -> None:
        """The async twin of `tell`."""
        if messages:
            await self._threads.acall(self._engine.run, self._telling(box, messages, ttl))

    def position(self, box: str) -> int:  # noqa: ARG002 - one row of numbers for all boxes
        """From where on nothing is missed; see `Mailbox.position`."""
        return self._threads.call(self._engine.run, sql_letters.position)

    async def aposition(self, box: str) -> int:  # noqa: ARG002 - see position
        """The async twin of `position`."""
        return await self._threads.acall(self._engine.run, sql_letters.position)

    def hear(self, box: str, after: int, wait: float) -> list[Letter]:
        """The messages of *box* above *after*; see `Mailbox.hear`."""
        step = partial(self._heard, box=box, after=after)
        return polled(lambda: self._threads.call(self._engine.run, step), wait, LOOK_SECONDS)

    async def ahear(self, box: str, after: int, wait: float) -> list[Letter]:
        """The async twin of `hear`."""
        step = partial(self._heard, box=box, after=after)
        return await apolled(lambda: self._threads.acall(self._engine.run, step), wait, LOOK_SECONDS)

    def _telling(self, box: str, messages: Sequence[bytes], ttl: float) -> Callable[[Connection], None]:
        mark = token_hex(8)  # of all tries of this call

        def step(connection: Connection) -> None:
            now = self._now(connection)
            sql_letters.tell(connection, Letters(box, messages, mark, now + max(1, round(ttl * 1000))), now)

        return step

    def _heard(self, connection: Connection, box: str, after: int) -> list[Letter]:
        if not sql_letters.has_more(connection, box, after):
            return []
        return [Letter(*row) for row in sql_letters.hear(connection, box, after, self._now(connection), MAX_HEARD)]
