"""How much there is to do in a queue, for autoscalers."""

from __future__ import annotations

from typing import Final

import msgspec

from umbel.dashboard.page import Missing, Question
from umbel.dashboard.visit import Visit
from umbel.exceptions import ImproperlyConfigured
from umbel.telemetry.metrics import abacklog

FRESH_SECONDS: Final = 1.0


class Queue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The name of a *queue*."""

    queue: str


class Backlog(msgspec.Struct, frozen=True):
    """Scale by *backlog*, the jobs that wait for a worker or run: *queued* (their delay is over) and *in_flight*.

    The others need no worker now: *delayed* ones, and those *held* by a limit. Jobs that wait in a *paused* queue do
    not count. *oldest_age_seconds* is how long the one at the front has been due; null: there is none.
    """

    queue: str
    queued: int
    in_flight: int
    backlog: int
    delayed: int
    held: int
    oldest_age_seconds: float | None
    paused: bool


async def show(visit: Visit, asks: Queue) -> Backlog:
    """The backlog of the queue as it is now."""

    async def ask() -> Backlog:
        return msgspec.convert(await abacklog(visit.app, asks.queue), Backlog)

    try:
        return await visit.shared(("autoscale", asks.queue), FRESH_SECONDS, ask)
    except ImproperlyConfigured as error:
        raise Missing(str(error)) from None


QUESTION: Final = Question(path="/autoscale", title="Backlog of a queue", right="jobs.view", show=show, asks=Queue)
