"""What `umbel beat` starts: a scheduler that runs no jobs. The app is loaded in a process of its own, as workers do."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys

from umbel import log
from umbel.brokers import connect
from umbel.contracts.broker import Broker
from umbel.contracts.capabilities import Power, demand
from umbel.exceptions import BrokerError, ImproperlyConfigured, UmbelError
from umbel.scheduler.scheduler import Scheduler
from umbel.worker import kernel
from umbel.worker.messages import Load, Loaded
from umbel.worker.options import WorkerOptions
from umbel.worker.supervisor.forkserver import AppFailed, Forkserver, ForkserverGone
from umbel.worker.supervisor.notify import Notify
from umbel.worker.supervisor.outage import Outage
from umbel.worker.supervisor.plan import make_plan
from umbel.worker.supervisor.scheduling import make_scheduler
from umbel.worker.supervisor.shutdown import Signals
from umbel.worker.supervisor.supervisor import FAILED, MISCONFIGURED, STOPPED
from umbel.worker.worker import ENTRY

logger = logging.getLogger("umbel.scheduler")


def run_beat(options: WorkerOptions) -> int:
    """Schedule until it is stopped; answers the exit code. Call it in the main thread.

    0 stopped as asked; 1 failed; 2 app, setting or broker URL is wrong.
    """
    try:
        log.setup(options.loglevel, options.logformat, options.logfile, options.color)
    except ImproperlyConfigured as error:
        sys.stderr.write(f"Error: {error}\n")
        return MISCONFIGURED
    kernel.set_title(f"umbel beat -A {options.app}")  # the command line may hold a password
    return asyncio.run(_run(options))


async def _run(options: WorkerOptions) -> int:
    notify = Notify(os.environ)
    with Signals() as signals:
        working = asyncio.create_task(_work(options, signals.reload, notify))
        asked = asyncio.create_task(signals.warm.wait())
        await asyncio.wait((working, asked), return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if working.done():
            return _told(working.exception())
        notify.stopping("stopping")
        working.cancel()
        await asyncio.wait((working,))
        return STOPPED


async def _work(options: WorkerOptions, reload: asyncio.Event, notify: Notify) -> None:
    loaded = await _loaded(options)
    plan = make_plan(options, loaded)
    broker = connect(plan.settings.broker_url, plan.settings)
    for power in (Power.PROCESSES, Power.SCHEDULES):
        demand(broker, power, "umbel beat", plan.broker)
    scheduler = make_scheduler(broker, plan.main, plan.settings, plan.schedules)
    if scheduler is None:
        raise ImproperlyConfigured(f"{plan.broker} holds no schedules")
    logger.info("Scheduling; %d schedules are in the code.", len(plan.schedules))
    notify.ready("scheduling")
    await _schedule(scheduler, broker, Outage(plan.broker), _reloads(options, reload, scheduler))


async def _schedule(scheduler: Scheduler, broker: Broker, outage: Outage, reloads: asyncio.Task[None]) -> None:
    try:
        await scheduler.run(outage)
    finally:
        reloads.cancel()
        with contextlib.suppress(UmbelError, OSError):
            await broker.aclose()


def _reloads(options: WorkerOptions, reload: asyncio.Event, scheduler: Scheduler) -> asyncio.Task[None]:
    """Take the schedules from the code as it is then, whenever *reload* is set."""

    async def listen() -> None:
        while True:
            await reload.wait()
            reload.clear()
            try:
                scheduler.replace((await _loaded(options)).schedules)
            except (AppFailed, ForkserverGone) as error:
                logger.error("Not reloaded, the old schedules go on: %s", error)  # noqa: TRY400 - the text says where

    return asyncio.create_task(listen())


async def _loaded(options: WorkerOptions) -> Loaded:
    """What the app's code says; the process that imported it is gone then."""
    forkserver = Forkserver.spawn()
    try:
        return await forkserver.load(Load(options, ENTRY))
    finally:
        forkserver.kill()
        await forkserver.gone.wait()


def _told(error: BaseException | None) -> int:
    """The exit code for an end by *error*; says why on stderr."""
    match error:
        case AppFailed():
            code, text = MISCONFIGURED, f"{error.traceback}\nError: {error}"
        case ImproperlyConfigured() | BrokerError():
            code, text = MISCONFIGURED, f"Error: {error}"
        case UmbelError():
            code, text = FAILED, f"Error: {error}"
        case _:
            logger.critical("The scheduler stumbled over a mistake of its own", exc_info=error)
            return FAILED
    sys.stderr.write(text.lstrip() + "\n")
    return code
