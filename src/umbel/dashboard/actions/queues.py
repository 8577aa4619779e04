"""What can be done to queues."""

from __future__ import annotations

from typing import Final

import msgspec

from umbel.app.seat import known_queues
from umbel.dashboard.page import Action, Done, Refused
from umbel.dashboard.visit import Visit


class Queue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The *name* of a queue."""

    name: str


class Purge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The *name* of a queue, and once more as somebody *typed* it, for what is purged is gone."""

    name: str
    typed: str


def _name(queue: Queue | Purge) -> str:
    return queue.name


async def pause(visit: Visit, queue: Queue) -> Done:
    """Let nobody receive from it until it is resumed."""
    await visit.app.queues.apause(queue.name)
    return Done(f"Paused {queue.name}: what runs goes on, nothing is started.")


async def resume(visit: Visit, queue: Queue) -> Done:
    """Let workers receive from it again."""
    await visit.app.queues.aresume(queue.name)
    return Done(f"Resumed {queue.name}.")


async def purge(visit: Visit, queue: Purge) -> Done:
    """Revoke all jobs that wait in it."""
    if queue.typed != queue.name:
        raise Refused(f"Type the name of the queue, {queue.name}, to purge it.", "typed")
    await known_queues(visit.app, (queue.name,))
    count = await visit.app.control.apurge(queue.name)
    return Done(f"Revoked {count} jobs that waited in {queue.name}.", count)


ACTIONS: Final = (
    Action(path="/queues/pause", right="queues.pause", do=pause, target=_name, takes=Queue),
    Action(path="/queues/resume", right="queues.pause", do=resume, target=_name, takes=Queue),
    Action(path="/queues/purge", right="queues.purge", do=purge, target=_name, takes=Purge),
)
