"""Mailbox: the power of a broker to carry messages to workers and their answers back. See `MailboxHolder`.

A box is a named list of messages that everybody may read, each at its own pace: reading takes nothing away. Messages
are for what is asked and told now (who is there, look at this job); what must not be lost is state of the engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, runtime_checkable

import msgspec

MAX_HEARD: Final = 1_000
"""The most messages that one call of `Mailbox.hear` answers."""


class Letter(msgspec.Struct, frozen=True, gc=False):
    """A message in a box; numbers grow, also over a box that was forgotten in between."""

    number: int
    message: bytes


class Mailbox(Protocol):
    """The verbs of boxes; safe between threads; errors as `Sender.send`."""

    def tell(self, box: str, messages: Sequence[bytes], ttl: float) -> None:
        """Append *messages* to *box* and wake those who wait there; they are forgotten after *ttl* seconds or later."""
        ...

    async def atell(self, box: str, messages: Sequence[bytes], ttl: float) -> None:
        """The async twin of `tell`."""
        ...

    def position(self, box: str) -> int:
        """The number of the last message of *box*, or another one from which on nothing is missed."""
        ...

    async def aposition(self, box: str) -> int:
        """The async twin of `position`."""
        ...

    def hear(self, box: str, after: int, wait: float) -> list[Letter]:
        """The messages of *box* numbered above *after*, in order; waits up to *wait* seconds for the first.

        Waiting costs nothing while nothing comes; an engine that can wake nobody looks four times a second, and at
        first more often. May answer an empty list early.
        """
        ...

    async def ahear(self, box: str, after: int, wait: float) -> list[Letter]:
        """The async twin of `hear`; cancelling it leaves nothing behind."""
        ...


@runtime_checkable
class MailboxHolder(Protocol):
    """A broker that carries messages between whoever controls and whoever works."""

    @property
    def mailbox(self) -> Mailbox:
        """The verbs of boxes on this engine."""
        ...
