"""What can be done to queues."""

from __future__ import annotations

from typing import Final

import msgspec

from umbel.dashboard.page import Action, Done
from umbel.dashboard.visit import Visit


class Queue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The *name* of a queue."""

    name: str


def _name(queue: Queue) -> str:
    return queue.name


async def pause(visit: Visit, queue: Queue) -> Done:
    """Let nobody receive from it until it is resumed."""
    await visit.app.queues.apause(queue.name)
    return Done(f"Paused {queue.name}: what runs goes on, nothing is started.")


async def resume(visit: Visit, queue: Queue) -> Done:
    """Let workers receive from it again."""
    await visit.app.queues.aresume(queue.name)
    return Done(f"Resumed {queue.name}.")


ACTIONS: Final = (
    Action(path="/queues/pause", right="queues.pause", do=pause, target=_name, takes=Queue),
    Action(path="/queues/resume", right="queues.pause", do=resume, target=_name, takes=Queue),
)
