"""Outbox: what a claim store has for a broker to send that the store cannot send itself. `FlowKeeper`: one that has it.

A flow or a schedule whose state is in the claim store sends jobs that another server carries. The step that decides on
a job leaves it in the outbox of its *home*, the queue that the state lives with. Somebody takes it, sends it on, and
takes it out only then; what a dead process has not sent on, or not taken out, the next one sends. A job runs once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import msgspec

from umbel.contracts.flows import FlowStore
from umbel.contracts.schedules import ScheduleStore
from umbel.model.job import Job


class Taking(msgspec.Struct, frozen=True, gc=False):
    """A look of *sender*, whose name is its own, into the outbox of *home*: at most *limit* jobs, *sent* ones are out.

    If none is left, about *pump* jobs of nodes that have opened are put there first.
    """

    home: str
    sender: str
    sent: tuple[str, ...] = ()
    limit: int = 0
    pump: int = 0


class Portion(msgspec.Struct, frozen=True, gc=False):
    """Jobs to be sent, in their order; without any the sender has gone. Or for how many *seconds* another one sends."""

    jobs: tuple[Job, ...] = ()
    seconds: float = 0.0


class Outbox(Protocol):
    """The outboxes of all homes. One sender at a time has each of them, for at most five seconds between two looks."""

    def take(self, taking: Taking) -> Portion:
        """The next jobs of an outbox."""
        ...

    async def atake(self, taking: Taking) -> Portion:
        """The async twin of `take`."""
        ...

    def waiting(self, homes: Sequence[str]) -> list[str]:
        """Those of *homes* where a claim or a settle of this process found that jobs wait; they are told once."""
        ...


@runtime_checkable
class FlowKeeper(Protocol):
    """A `ClaimStore` that keeps flows and schedules too, whose jobs lie in its outbox then.

    Joins are carried out by its `settle`, and each verb leaves the jobs that it opens to be sent on.
    """

    @property
    def keeps_flows(self) -> bool:
        """Whether it can, where it is."""
        ...

    @property
    def flow_store(self) -> FlowStore:
        """The verbs of flows."""
        ...

    @property
    def schedule_store(self) -> ScheduleStore:
        """The verbs of schedules."""
        ...

    @property
    def outbox(self) -> Outbox:
        """What waits to be sent."""
        ...

    async def watched(self, job_id: str, queue: str) -> bool:
        """Whether a job of a schedule has not ended, for a month at most."""
        ...
