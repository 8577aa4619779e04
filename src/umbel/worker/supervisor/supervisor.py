"""The supervisor: starts the forkserver, keeps leases and children, and ends everything when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
import time
from collections import deque
from collections.abc import Collection
from typing import Final

from umbel import stores
from umbel.brokers import connect
from umbel.contracts.broker import Broker
from umbel.contracts.capabilities import Power, demand, powers_of
from umbel.contracts.examiner import Examiner
from umbel.contracts.limits import LimitHolder
from umbel.contracts.mailbox import MailboxHolder
from umbel.engines.address import masked
from umbel.exceptions import BackendError, BrokerError, ImproperlyConfigured, UmbelError
from umbel.scheduler.scheduler import Scheduler
from umbel.stores.trial import try_out
from umbel.worker.messages import Load
from umbel.worker.options import WorkerOptions
from umbel.worker.reading import Exporter
from umbel.worker.supervisor.banner import banner, concurrency
from umbel.worker.supervisor.bulletin import Bulletin, bulletin_of
from umbel.worker.supervisor.children import Children, CrashLoop
from umbel.worker.supervisor.commands import Commands
from umbel.worker.supervisor.control import Control
from umbel.worker.supervisor.duties import Duties
from umbel.worker.supervisor.forkserver import AppFailed, Forkserver, ForkserverGone
from umbel.worker.supervisor.herald import Herald
from umbel.worker.supervisor.notify import Notify
from umbel.worker.supervisor.operations import Operations
from umbel.worker.supervisor.outage import Outage
from umbel.worker.supervisor.plan import DEFAULT_NAME, Plan, make_plan, node_name
from umbel.worker.supervisor.rates import Rates
from umbel.worker.supervisor.reclaimer import Reclaimer
from umbel.worker.supervisor.scheduling import make_scheduler
from umbel.worker.supervisor.sessions import Sessions
from umbel.worker.supervisor.shutdown import Signals

STOPPED: Final = 0
FAILED: Final = 1
MISCONFIGURED: Final = 2
FORCED: Final = 2
CRASH_LOOP: Final = 3
MAX_FORKSERVER_DEATHS: Final = 3
FORKSERVER_DEATHS_SECONDS: Final = 60.0
TRIAL_SECONDS: Final = 30.0
"""How long one trial of a result store may take."""
RELOAD_SECONDS: Final = 2.0
"""How long running jobs have when code has changed under development."""
SPARE_SECONDS: Final = 1.0
LAST_WORDS_SECONDS: Final = 3.0
"""How long, at the end, the broker may take to hear which sessions have ended."""

logger = logging.getLogger("umbel.worker")


class Supervisor:
    """One worker, from its start to its exit code."""

    def __init__(self, options: WorkerOptions, entry: str, exporter: Exporter | None = None) -> None:
        """Run the app of *options*; its children call *entry* (``module:name``). *exporter* writes its metrics."""
        self._exporter = exporter
        self._order = Load(options, entry, node_name(options.hostname or DEFAULT_NAME, socket.gethostname()))
        self._forkserver: Forkserver | None = None
        self._spare: Forkserver | None = None
        self._plan: Plan | None = None
        self._broker: Broker | None = None
        self._children: Children | None = None
        self._reclaimer: Reclaimer | None = None
        self._scheduler: Scheduler | None = None
        self._operations: Operations | None = None
        self._herald: Herald | None = None
        self._bulletin: Bulletin | None = None
        self._rates: Rates | None = None
        self._notify = Notify(os.environ)

    async def run(self) -> int:
        """Work until a signal says stop, or until it makes no sense to go on. Answers the exit code."""
        with Signals() as signals:
            working = asyncio.create_task(self._work(signals))
            asked = asyncio.create_task(signals.warm.wait())
            try:
                await asyncio.wait((working, asked), return_when=asyncio.FIRST_COMPLETED)
                if working.done():
                    return self._verdict(working)
                return await self._stop(signals)
            finally:
                asked.cancel()
                working.cancel()
                await asyncio.wait((working,), timeout=LAST_WORDS_SECONDS)
                await self._leave()

    async def _work(self, signals: Signals) -> None:
        forkserver = self._forkserver = Forkserver.spawn()
        plan = self._plan = make_plan(self._order.options, await forkserver.load(self._order))
        self._broker = connect(plan.settings.broker_url, plan.settings)
        _check_powers(self._broker, plan.limited, plan.broker)
        outage = Outage(plan.broker)
        self._reclaimer = Reclaimer(self._broker, plan, outage)
        if not self._order.options.quiet:
            sys.stdout.write(banner(plan, verbose=logger.isEnabledFor(logging.INFO)))
            sys.stdout.flush()
        logger.info("Concurrency: %s", concurrency(plan))
        if plan.results:
            await _try_results(plan)
        if self._order.options.beat and not self._order.options.burst:
            self._scheduler = make_scheduler(self._broker, plan.main, plan.settings, plan.schedules)
        sessions = Sessions(self._broker, plan, outage)
        children = self._children = Children(plan, sessions, self._reclaimer)
        self._herald = Herald(plan.listened, children)
        sessions.beaten = self._herald.beaten
        self._operations = Operations(self._order.options, plan, children, self._notify, self._exporter)
        signals.dump = children.dump
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(sessions.run())
                group.create_task(self._reclaimer.run())
                if self._scheduler is not None:
                    group.create_task(self._scheduler.run(outage))
                self._tell(group, self._broker, plan, children)
                group.create_task(self._announce(plan, children))
                group.create_task(self._keep_forkserver(forkserver, children, signals.reload))
                group.create_task(self._operations.run(self._broker, outage, signals))
                await self._hear_orders(group, children, signals, outage)
                group.create_task(children.watchdog.run())
                group.create_task(children.run())
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    def _tell(self, group: asyncio.TaskGroup, broker: Broker, plan: Plan, children: Children) -> None:
        """Have events and metrics tell of this worker and of the ticks of its scheduler, if anybody wants to know."""
        self._bulletin = bulletin_of(broker, plan, children)
        if self._bulletin is not None:
            group.create_task(self._bulletin.run())
            if self._scheduler is not None:
                self._scheduler.told = self._bulletin.ticked
        if self._scheduler is not None and self._operations is not None and self._operations.meter is not None:
            self._operations.meter.follow(self._scheduler)

    async def _know_rates(self, group: asyncio.TaskGroup, children: Children, outage: Outage) -> None:
        """Read which rates were set, before a job starts here that one is for; if the broker keeps limits."""
        broker: object = self._broker
        if isinstance(broker, LimitHolder) and Power.LIMITS in powers_of(broker):
            self._rates = Rates(broker.limit_store, children, outage)
            group.create_task(self._rates.run())
            await self._rates.known.wait()

    async def _hear_orders(
        self, group: asyncio.TaskGroup, children: Children, signals: Signals, outage: Outage
    ) -> None:
        """Hear them from now on, before a job starts here that could be revoked; if the broker carries any."""
        await self._know_rates(group, children, outage)
        broker: object = self._broker
        if isinstance(broker, MailboxHolder) and Power.MAILBOX in powers_of(broker):
            duties = Duties(children, children.plan, self._order.options, signals.warm.set)
            duties.scaler = None if self._operations is None else self._operations.scaler
            duties.bulletin = self._bulletin
            duties.rates = self._rates
            control = Control(broker.mailbox, children.plan, duties, Commands(children))
            group.create_task(control.run())
            await control.begun.wait()

    async def _announce(self, plan: Plan, children: Children) -> None:
        await children.ready.wait()
        logger.info("%s ready.", plan.worker)
        if self._herald is not None:
            self._herald.ready()
        self._notify.ready(f"{plan.worker} receives from {', '.join(plan.queues)}")
        try:
            await _warn(self._broker, plan)
        except Exception:  # whatever a server tells of itself, it is no reason to end a worker
            logger.debug("no advice about %s", plan.broker, exc_info=True)

    async def _keep_forkserver(self, forkserver: Forkserver, children: Children, reload: asyncio.Event) -> None:
        deaths: deque[float] = deque(maxlen=MAX_FORKSERVER_DEATHS)
        children.fork_from(forkserver)
        while True:
            self._prepare()
            await _first(forkserver.gone, reload)
            if not forkserver.gone.is_set():
                reload.clear()
                forkserver = self._forkserver = await self._reload(forkserver, children)
                self._notify.ready("reloaded" if children.ready.is_set() else "starting")
                continue
            children.fork_from(None)
            deaths.append(time.monotonic())
            if len(deaths) == MAX_FORKSERVER_DEATHS and deaths[-1] - deaths[0] < FORKSERVER_DEATHS_SECONDS:
                raise ForkserverGone("the forkserver died three times within a minute")
            logger.error("The forkserver died, and its children with it; starting another one")
            forkserver = self._forkserver = Forkserver.spawn()
            await self._load(forkserver)
            children.fork_from(forkserver)

    def _fresh_forkserver(self) -> Forkserver:
        """One that has loaded no app yet; under development it was started ahead of time, for code changes often."""
        ready, self._spare = self._spare, None
        return Forkserver.spawn() if ready is None or ready.gone.is_set() else ready

    def _prepare(self) -> None:
        """Start a spare forkserver, when the children that were started last have begun."""

        def spawn() -> None:
            self._spare = self._spare or Forkserver.spawn()

        if self._order.options.reload:
            asyncio.get_running_loop().call_later(SPARE_SECONDS, spawn)

    async def _load(self, forkserver: Forkserver) -> None:
        """Load the app as it is now; ask for parked jobs of its tasks, and schedule what its code has now."""
        loaded = await forkserver.load(self._order)
        if self._children is not None:
            _check_powers(self._broker, loaded.limited, self._children.plan.broker)
            self._children.know(tuple(loaded.tasks), loaded.limited)
        if self._scheduler is not None:
            self._scheduler.replace(loaded.schedules)

    async def _reload(self, old: Forkserver, children: Children) -> Forkserver:
        """Replace the children one by one by some that run the app as it is now; answers who forks from now on."""
        self._notify.reloading()
        new = self._fresh_forkserver()
        try:
            await self._load(new)
        except (AppFailed, ForkserverGone, ImproperlyConfigured) as error:
            where = getattr(error, "traceback", "")
            logger.error("Not reloaded, the old code goes on: %s\n%s", error, where)  # noqa: TRY400 - of the app's code
            new.kill()
            return old
        children.fork_from(new)
        if self._order.options.reload:
            await children.replace_at_once(RELOAD_SECONDS)
        else:
            await children.replace()
        old.kill()
        logger.warning("Reloaded: all children run the new code")
        return new

    async def _stop(self, signals: Signals) -> int:
        self._notify.stopping("stopping")
        children, plan = self._children, self._plan
        if children is None or plan is None or signals.cold.is_set():
            return await self._stop_now()
        if self._operations is not None:
            self._operations.stopping()
        if self._herald is not None:
            self._herald.stopping(signals.last)
        grace = plan.grace
        running = children.running()
        level = logging.WARNING if running else logging.INFO
        logger.log(level, "Stopping: %d running jobs have %g s to finish; again to stop now", running, grace)
        stopping = asyncio.create_task(children.stop(grace))
        cold = asyncio.create_task(signals.cold.wait())
        await asyncio.wait((stopping, cold), return_when=asyncio.FIRST_COMPLETED)
        cold.cancel()
        if stopping.done():
            if self._herald is not None:
                await self._herald.stopped(self._forkserver)
            return STOPPED
        stopping.cancel()
        return await self._stop_now()

    async def _stop_now(self) -> int:
        if self._children is None:
            return STOPPED  # nothing had begun
        logger.warning("Stopping now: jobs that run go back to their queue, uncharged")
        await self._children.kill()
        return FORCED

    def _verdict(self, working: asyncio.Task[None]) -> int:
        """The exit code for work that ended by itself, which it does only by an error; says why on stderr."""
        error = working.exception()
        match error:
            case AppFailed():
                code, text = MISCONFIGURED, f"{error.traceback}\nError: {error}"
            case ImproperlyConfigured():
                code, text = MISCONFIGURED, f"Error: {error}"
            case BrokerError() if self._plan is not None:
                code, text = MISCONFIGURED, f"Error: the broker {self._plan.broker} refuses: {error}"
            case BackendError() if self._plan is not None:
                code, text = MISCONFIGURED, f"Error: the result store {masked(self._plan.results)} refuses: {error}"
            case CrashLoop():
                code, text = CRASH_LOOP, f"Error: {error}"
            case UmbelError():
                code, text = FAILED, f"Error: {error}"
            case _:
                logger.critical("The worker stumbled over a mistake of its own", exc_info=error)
                return FAILED
        sys.stderr.write(text.lstrip() + "\n")
        return code

    async def _leave(self) -> None:
        """Leave no process behind, and tell the broker which sessions have ended, if it listens."""
        if self._operations is not None:
            self._operations.close()
        for forkserver in (self._forkserver, self._spare):
            if forkserver is not None:
                forkserver.kill()
        with contextlib.suppress(UmbelError, OSError, TimeoutError):
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                if self._reclaimer is not None:
                    await self._reclaimer.drain()
                if self._bulletin is not None:
                    await self._bulletin.aclose()
                if self._broker is not None:
                    await self._broker.aclose()


def _check_powers(broker: object, limited: Collection[str], place: str) -> None:
    """Raise `ImproperlyConfigured` if the broker at *place* is for no worker, or for none with *limited* tasks."""
    demand(broker, Power.PROCESSES, "a worker", place)
    for task in limited:
        demand(broker, Power.LIMITS, f"limiting {task}", place)


async def _try_results(plan: Plan) -> None:
    """See to it that results can be stored before a job runs whose result could not; wait for a store that is away."""
    store = stores.connect(plan.results, plan.settings)
    outage = Outage(masked(plan.results), "Result store")
    try:
        await outage.insist(lambda: try_out(store, plan.settings), TRIAL_SECONDS)
    finally:
        await store.aclose()


async def _warn(broker: object, plan: Plan) -> None:
    """Say once what on the broker's server endangers jobs, if the engine can tell."""
    if isinstance(broker, Examiner):
        for finding in await broker.examine():
            if finding.advice:
                logger.warning("Broker %s: %s", plan.broker, finding.advice)


async def _first(*events: asyncio.Event) -> None:
    """Return when one of *events* is set."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()
