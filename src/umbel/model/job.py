"""Job: one call of a task, as a broker sees it. Delivery: a job leased to a session."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

DEFAULT_QUEUE: Final = "default"
MAX_PRIORITY: Final = 9


class Job(msgspec.Struct, frozen=True, gc=False):
    """One call of a task on its way into a broker; the envelope is opaque to the broker.

    *priority* is 0-9, higher is more urgent. *eta* is the unix time in seconds before which it must not start, on the
    broker's clock; None means *delay*, seconds after the broker accepted it (0: at once).
    """

    id: str
    queue: str
    envelope: bytes
    priority: int = 0
    delay: float = 0.0
    eta: float | None = None

    @property
    def level(self) -> int:
        """The order in which brokers look: 0 is taken first, 9 is the default."""
        return MAX_PRIORITY - self.priority


Doom = Literal["", "revoked", "timeout", "memory"]
"""Why a job must not run any more, though it has not ended: its next receiver ends it so, without running it."""


class Counts(msgspec.Struct, frozen=True, gc=False):
    """What happened to a job that came back: one set of numbers a job, apart from each other on purpose.

    *retries*: its task failed and is tried again. *crashes*: it had started when its process died. *losses*: its
    session lapsed and nobody knows what had started. *marked*: it was about to start alone, in quarantine. *doom*,
    once given, is kept by the engine until the job has ended, whatever a settle says of the other counts.
    """

    retries: int = 0
    crashes: int = 0
    losses: int = 0
    marked: bool = False
    doom: Doom = ""


FIRST: Final = Counts()


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """A job leased to a session. (session, number) is the fence: only the holder of exactly that pair settles it.

    *number* counts the receives of the session, in the memory of the child. *returned* is true when the job was handed
    out before, even if nothing was charged.
    """

    id: str
    queue: str
    level: int
    number: int
    envelope: bytes
    counts: Counts = FIRST
    returned: bool = False

    @property
    def attempt(self) -> int:
        """Which run of its job it is for, from 1."""
        counts = self.counts
        return 1 + counts.retries + counts.crashes + counts.losses
