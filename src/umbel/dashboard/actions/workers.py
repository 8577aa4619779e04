"""What can be done to workers."""

from __future__ import annotations

from typing import Final

import msgspec

from umbel.dashboard.page import Action, Done, Refused
from umbel.dashboard.visit import Visit

SHUTDOWN: Final = "shutdown"


class Worker(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The *name* of a worker."""

    name: str


class WorkerQueue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The *name* of a worker, and a *queue*."""

    name: str
    queue: str


def _name(worker: Worker) -> str:
    return worker.name


def _both(asked: WorkerQueue) -> str:
    return f"{asked.name}: {asked.queue}"


async def drain(visit: Visit, worker: Worker) -> Done:
    """Have it receive nothing more, finish what it runs, and stop."""
    await _there(visit, worker.name)
    await visit.app.control.abroadcast(SHUTDOWN, destination=[worker.name])
    return Done(f"{worker.name} finishes what it runs, and stops.")


async def serve(visit: Visit, asked: WorkerQueue) -> Done:
    """Have it serve a queue, too, until it is restarted."""
    await _told(visit, "add_consumer", asked)
    return Done(f"{asked.name} serves {asked.queue}, too.")


async def leave(visit: Visit, asked: WorkerQueue) -> Done:
    """Have it no longer serve a queue, until it is restarted."""
    await _told(visit, "cancel_consumer", asked)
    return Done(f"{asked.name} no longer serves {asked.queue}.")


async def _there(visit: Visit, name: str) -> None:
    if not await visit.app.control.inspect([name]).aping():
        raise Refused(f"No worker {name!r} answers.", "name")


async def _told(visit: Visit, verb: str, asked: WorkerQueue) -> None:
    replies = await visit.app.control.abroadcast(verb, {"queue": asked.queue}, [asked.name], reply=True)
    if not replies:
        raise Refused(f"No worker {asked.name!r} answers.", "name")
    told = replies[0][asked.name]
    if "error" in told:
        raise Refused(str(told["error"]), "queue")


ACTIONS: Final = (
    Action(path="/workers/drain", right="workers.stop", do=drain, target=_name, takes=Worker),
    Action(path="/workers/serve", right="workers.stop", do=serve, target=_both, takes=WorkerQueue),
    Action(path="/workers/leave", right="workers.stop", do=leave, target=_both, takes=WorkerQueue),
)
