"""What can be done to workers."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import msgspec

from umbel.app.seat import inspector, place_of
from umbel.app.survey import survey
from umbel.dashboard.page import Action, Done, Refused
from umbel.dashboard.visit import Visit

SHUTDOWN: Final = "shutdown"
SHOWN_SECONDS: Final = 1.0
"""How long an action waits until a worker tells the broker what it was told."""
LOOK_SECONDS: Final = 0.05


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


async def quiet(visit: Visit, worker: Worker) -> Done:
    """Have it receive nothing more and finish what it runs, until it is told to resume, or is restarted."""
    await _told(visit, "quiet", worker.name, {})
    await _shown(visit, worker.name, on=True)
    return Done(f"{worker.name} is quiet: it receives nothing more.")


async def resume(visit: Visit, worker: Worker) -> Done:
    """Have it receive again."""
    await _told(visit, "resume", worker.name, {})
    await _shown(visit, worker.name, on=False)
    return Done(f"{worker.name} receives again.")


async def drain(visit: Visit, worker: Worker) -> Done:
    """Have it receive nothing more, finish what it runs, and stop."""
    await _there(visit, worker.name)
    await visit.app.control.abroadcast(SHUTDOWN, destination=[worker.name])
    return Done(f"{worker.name} finishes what it runs, and stops.")


async def serve(visit: Visit, asked: WorkerQueue) -> Done:
    """Have it serve a queue, too, until it is restarted."""
    await _told(visit, "add_consumer", asked.name, {"queue": asked.queue})
    return Done(f"{asked.name} serves {asked.queue}, too.")


async def leave(visit: Visit, asked: WorkerQueue) -> Done:
    """Have it no longer serve a queue, until it is restarted."""
    await _told(visit, "cancel_consumer", asked.name, {"queue": asked.queue})
    return Done(f"{asked.name} no longer serves {asked.queue}.")


async def _there(visit: Visit, name: str) -> None:
    if not await visit.app.control.inspect([name]).aping():
        raise Refused(f"No worker {name!r} answers.", "name")


async def _told(visit: Visit, verb: str, name: str, arguments: dict[str, str]) -> None:
    replies = await visit.app.control.abroadcast(verb, arguments, [name], reply=True)
    if not replies:
        raise Refused(f"No worker {name!r} answers.", "name")
    told = replies[0][name]
    if "error" in told:
        raise Refused(str(told["error"]), *arguments)


async def _shown(visit: Visit, name: str, *, on: bool) -> None:
    """Return when the engine tells that the worker is quiet, or is not: who did it wants to see it; soon anyway."""
    with suppress(TimeoutError):
        async with asyncio.timeout(SHOWN_SECONDS):
            while not await _seen(visit, name, on=on):  # noqa: ASYNC110 - heartbeats tell nobody
                await asyncio.sleep(LOOK_SECONDS)


async def _seen(visit: Visit, name: str, *, on: bool) -> bool:
    found = await survey(inspector(visit.app), place_of(visit.app))
    children = [child for worker in found.workers if worker.worker == name for child in worker.children]
    return all(child.quiet == on for child in children)


ACTIONS: Final = (
    Action(path="/workers/quiet", right="workers.quiet", do=quiet, target=_name, takes=Worker),
    Action(path="/workers/resume", right="workers.quiet", do=resume, target=_name, takes=Worker),
    Action(path="/workers/drain", right="workers.stop", do=drain, target=_name, takes=Worker),
    Action(path="/workers/serve", right="workers.stop", do=serve, target=_both, takes=WorkerQueue),
    Action(path="/workers/leave", right="workers.stop", do=leave, target=_both, takes=WorkerQueue),
)
