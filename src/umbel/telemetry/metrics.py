"""Metrics of an app: the page that its dashboard gives out, and the figure that autoscalers ask for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

from umbel import __version__
from umbel.app.app import Umbel
from umbel.app.seat import inspector, known_queues, waited
from umbel.contracts.capabilities import Power, powers_of
from umbel.contracts.powers import Inspector
from umbel.exceptions import ImproperlyConfigured, UmbelError
from umbel.history.history import History
from umbel.model import presence
from umbel.model.presence import Presence
from umbel.telemetry.availability import installed
from umbel.worker.reading import CURE, QueueReading, read_queues

ANSWER_SECONDS: Final = 5.0
"""How long broker and history may take together."""
DAY_SECONDS: Final = 86_400
_BEGUN: Final = int(time.time()) // DAY_SECONDS * DAY_SECONDS
"""Counters of the history begin at this moment, so that they only grow while this process lives."""


def exposition(app: Umbel, history: History | None) -> tuple[bytes, str]:
    """The page of metrics of *app*, and its content type; blocks. What cannot be reached is left out, and told of.

    Raises `ImproperlyConfigured`, with the cure, where prometheus_client is not installed.
    """
    _demand_client()
    return waited(app, aexposition(app, history))


async def aexposition(app: Umbel, history: History | None) -> tuple[bytes, str]:
    """The async twin of `exposition`."""
    _demand_client()
    from umbel.telemetry.app_families import Present, app_families
    from umbel.telemetry.page import page

    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            present = await _present(app)
    except (UmbelError, OSError, TimeoutError):
        present = Present(version=__version__, reached=False)
    past = None if history is None else await asyncio.to_thread(_past, history)
    return await asyncio.to_thread(lambda: page(app_families(present, past)))


def backlog(app: Umbel, queue: str) -> dict[str, Any]:
    """How much there is to do in *queue*, for autoscalers; blocks.

    ``queued`` are jobs that wait for a worker, also those whose delay is over, ``in_flight`` those that run, and
    ``backlog`` both: while it is not 0, somebody must be there. Jobs that wait in a paused queue do not count.
    Raises `ImproperlyConfigured` for a queue that is unknown, and the errors of the broker.
    """
    return waited(app, abacklog(app, queue))


async def abacklog(app: Umbel, queue: str) -> dict[str, Any]:
    """The async twin of `backlog`."""
    await known_queues(app, (queue,))
    (found,) = await read_queues(app.broker, (queue,))
    queued = 0 if found.paused else found.ready
    return {
        "queue": queue,
        "queued": queued,
        "in_flight": found.running,
        "backlog": queued + found.running,
        "delayed": found.delayed,
        "held": found.held,
        "oldest_age_seconds": found.oldest,
        "paused": found.paused,
    }


def _demand_client() -> None:
    if not installed():
        raise ImproperlyConfigured(CURE)


async def _present(app: Umbel) -> Any:
    from umbel.telemetry.app_families import Present

    broker = inspector(app)
    names = await broker.queues()
    return Present(
        version=__version__,
        queues=await _queues(app, names),
        children=await _children(broker, names),
        overdue=await _overdue(app),
    )


async def _queues(app: Umbel, names: Sequence[str]) -> tuple[QueueReading, ...]:
    return await read_queues(app.broker, sorted(names))


async def _children(broker: Inspector, names: Sequence[str]) -> tuple[Presence, ...]:
    found = [presence.decode(each.info) for each in await broker.sessions(names)] if names else []
    return tuple(each for each in found if each is not None)


async def _overdue(app: Umbel) -> dict[str, float]:
    if Power.SCHEDULES not in powers_of(app.broker):
        return {}
    now = time.time()
    views = await app.schedules.alist()
    return {view.name: max(0.0, now - view.next.timestamp()) for view in views if view.next is not None}


def _past(history: History) -> Any:
    from umbel.telemetry.app_families import Past

    now = time.time()
    try:
        tasks = history.totals(_BEGUN, now, "task")
        return Past(tasks, history.totals(_BEGUN, now, "queue"), history.standing())
    except UmbelError:
        return None
