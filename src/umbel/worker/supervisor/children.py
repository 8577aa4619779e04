"""Children: keeps as many alive as the plan says, and settles the account of each that ends."""

from __future__ import annotations

import asyncio
import faulthandler
import itertools
import logging
import signal
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from umbel.exceptions import UmbelError
from umbel.worker.board import Board
from umbel.worker.channel import Channel
from umbel.worker.messages import Counted, Exited, Limit
from umbel.worker.options import ChildOptions
from umbel.worker.supervisor.child import PATIENCE_SECONDS, RETIRING_SECONDS, Child
from umbel.worker.supervisor.forkserver import Birth, Forkserver, ForkserverGone
from umbel.worker.supervisor.plan import Plan
from umbel.worker.supervisor.reclaimer import Reclaimer
from umbel.worker.supervisor.sessions import Sessions
from umbel.worker.supervisor.watchdog import Watchdog

MAX_EARLY_DEATHS: Final = 10
EARLY_DEATHS_SECONDS: Final = 60.0
FIRST_PAUSE_SECONDS: Final = 0.1
MAX_PAUSE_SECONDS: Final = 5.0
KILL_SECONDS: Final = 5.0
"""How long the kernel may take to end what was killed, and to tell: on a busy machine it needs a processor for that."""

logger = logging.getLogger("umbel.worker")


class CrashLoop(UmbelError):
    """Children die again and again before they are ready: the app is to blame."""


class Place:
    """Where one child lives after another; *child* is None in between."""

    def __init__(self) -> None:
        """Empty."""
        self.child: Child | None = None
        self.task: asyncio.Task[None] | None = None
        self.early_deaths = 0
        self.retired = False

    def empty(self) -> None:
        """Start no more children here."""
        if self.task is not None:
            self.task.cancel()

    def stop(self, grace: float) -> None:
        """Stop the child here; if there is none just now, start no more."""
        if self.child is None:
            self.empty()
        else:
            self.child.stop(grace)

    def retire(self) -> None:
        """Start no more children here; the one that lives finishes what it runs."""
        self.retired = True
        self.stop(RETIRING_SECONDS)

    @property
    def busy(self) -> int:
        """How many jobs run here."""
        return 0 if self.child is None else len(self.child.running())


class Children:
    """All children of the worker, each with a session of its own."""

    def __init__(self, plan: Plan, sessions: Sessions, reclaimer: Reclaimer) -> None:
        """None is alive yet, and nobody can fork: see `fork_from`."""
        self.ready = asyncio.Event()
        self._plan = plan
        self._sessions = sessions
        self._reclaimer = reclaimer
        self._forkserver: Forkserver | None = None
        self._can_fork = asyncio.Event()
        self._numbers = itertools.count(1)
        self._places = [Place() for _ in range(plan.sizing.processes)]
        self._group: asyncio.TaskGroup | None = None
        self._limits: dict[str, Limit] = {}
        self._adjusted: tuple[tuple[str, str], ...] = ()
        self._stopping = False
        self._early_deaths: deque[float] = deque(maxlen=MAX_EARLY_DEATHS)
        self.counted: Callable[[Counted], None] | None = None
        """Told what the children have counted; None: they need not count."""
        self.ends: Counter[str] = Counter()
        """How many ended how: "stopped" as they were told, "died" otherwise."""
        self._processed = 0
        self.watchdog = Watchdog(self._living, plan.max_memory)
        """Ends jobs that run here: at their limits by itself, and those that are revoked when it is told."""

    def fork_from(self, forkserver: Forkserver | None) -> None:
        """Fork the next children from *forkserver*; None: wait for one."""
        self._forkserver = forkserver
        if forkserver is None:
            self._can_fork.clear()
        else:
            self._can_fork.set()

    async def run(self) -> None:
        """Keep all places filled until `stop`. Raises `CrashLoop`, and `BrokerError` before the first answer."""
        try:
            async with asyncio.TaskGroup() as self._group:
                for place in self._places:
                    self._fill(place)
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def stop(self, grace: float) -> None:
        """Stop all, give those that run a job *grace* seconds, then kill. Returns when all are gone."""
        self._stopping = True
        for place in self._places:
            place.stop(grace)
        await self._wait(grace + PATIENCE_SECONDS + KILL_SECONDS)

    async def kill(self) -> None:
        """End all now, charging nobody. Returns when all are gone."""
        self._stopping = True
        for place in self._places:
            if place.child is None:
                place.empty()
            else:
                place.child.kill()
        await self._wait(KILL_SECONDS)

    async def replace(self) -> None:
        """Stop the children that live now, one after the other; in each place the next one starts."""
        for child in self.living():
            child.stop(self._plan.grace)
            await child.ended.wait()

    async def replace_at_once(self, grace: float) -> None:
        """Stop the children that live now, all together; each has *grace* seconds for what it runs."""
        children = self.living()
        for child in children:
            child.stop(grace)
        for child in children:
            await child.ended.wait()

    def dump(self) -> None:
        """Have the stacks of all threads written to stderr: those of this process, then those of each child."""
        faulthandler.dump_traceback(all_threads=True)
        for child in self.living():
            child.dump()

    def living(self) -> list[Child]:
        """Those that live now."""
        return [place.child for place in self._places if place.child is not None]

    def serve(self, queues: tuple[str, ...]) -> None:
        """Receive from *queues* from now on: each child is replaced by one that does, when what it runs has ended."""
        self._plan = msgspec.structs.replace(self._plan, queues=queues)
        self._reclaimer.serve(queues)
        self.renew()

    def know(self, tasks: tuple[str, ...], limited: dict[str, str]) -> None:
        """The code was loaded anew, and has *tasks* now, some of them *limited*."""
        self._plan = msgspec.structs.replace(self._plan, tasks=tasks, limited=limited)
        self._reclaimer.know(tasks)

    def renew(self) -> None:
        """Have each child replaced when what it runs has ended."""
        for place in () if self._stopping else self._places:
            if place.child is not None:
                place.child.stop(RETIRING_SECONDS)

    @property
    def plan(self) -> Plan:
        """What the next child will do."""
        return self._plan

    def limit(self, limit: Limit) -> None:
        """Let other limits count for a task, in the children that live and in those that follow."""
        self._limits.pop(limit.task, None)
        if limit.soft is not None or limit.hard is not None:
            self._limits[limit.task] = limit
        for child in self.living():
            child.limit(limit)

    def adjust(self, adjusted: Iterable[tuple[str, str]]) -> None:
        """Have all children, and those to come, ask for the jobs of these (queue, task): they have another rate now."""
        self._adjusted = tuple(sorted(adjusted))
        for child in self.living():
            child.adjust(self._adjusted)

    def report(self, *, on: bool) -> bool:
        """Have jobs told of in events from now on, or no longer; answers whether that is a change."""
        if self._plan.events == on:
            return False
        self._plan = msgspec.structs.replace(self._plan, events=on)
        for child in self.living():
            child.report(on=on)
        return True

    def quieten(self, *, on: bool) -> bool:
        """Have all children, and those to come, receive nothing, or receive again; answers whether that is a change."""
        if self._plan.quiet == on:
            return False
        self._plan = msgspec.structs.replace(self._plan, quiet=on)
        for child in self.living():
            child.quieten(on=on)
        self._sessions.hurry()
        return True

    def grow(self, number: int) -> int:
        """Have *number* children more; answers how many there are then."""
        for _ in range(0 if self._stopping else number):
            place = Place()
            self._places.append(place)
            self._fill(place)
        return self.count

    def shrink(self, number: int) -> int:
        """Have *number* children fewer, those first that run least; what they run, they finish. Answers how many stay.

        Raises `ValueError` when none would be left.
        """
        staying = [place for place in self._places if not place.retired]
        if number >= len(staying):
            raise ValueError(f"a worker needs one child: it has {len(staying)} and cannot lose {number}")
        for place in sorted(staying, key=lambda place: place.busy)[:number]:
            place.retire()
        return self.count

    @property
    def count(self) -> int:
        """How many children there are to be."""
        return sum(not place.retired for place in self._places)

    def _living(self) -> list[Child]:
        return [place.child for place in self._places if place.child is not None]

    @property
    def processed(self) -> int:
        """How many jobs have ended here, also in children that are gone."""
        return self._processed + sum(child.processed for child in self.living())

    def running(self) -> int:
        """How many jobs run now."""
        return sum(place.busy for place in self._places)

    def _fill(self, place: Place) -> None:
        if self._group is not None:
            place.task = self._group.create_task(self._keep(place))
            place.task.add_done_callback(lambda _: self._places.remove(place) if place.retired else None)

    async def _wait(self, seconds: float) -> None:
        tasks = [place.task for place in self._places if place.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)

    async def _keep(self, place: Place) -> None:
        while not (self._stopping or place.retired):
            try:
                child, birth = await self._start()
            except ForkserverGone:
                continue
            place.child = child
            child.report(on=self._plan.events)  # what was ordered while it was born
            child.quieten(on=self._plan.quiet)
            child.adjust(self._adjusted)
            try:
                await self._live(child, birth)
            finally:
                place.child = None
                self._processed += child.processed
            await self._pause(place, child)

    async def _start(self) -> tuple[Child, Birth]:
        await self._can_fork.wait()
        plan = self._plan
        board = Board.create(plan.slots)
        ours, theirs = socket.socketpair()
        child = Child(plan, board, Channel(ours))
        with theirs:
            try:
                child.session, child.board.trust = await self._sessions.open(child.info(), plan.queues)
                birth = await self._fork(child, theirs, plan)
            except BaseException:
                child.board.trust = 0.0  # if it is being born just now, it starts nothing
                child.close()
                if child.session:
                    self._reclaimer.end(child.session)
                raise
        self._sessions.add(child)
        return child, birth

    async def _fork(self, child: Child, end: socket.socket, plan: Plan) -> Birth:
        if self._forkserver is None:
            raise ForkserverGone("the forkserver has ended")
        child.adjusted = self._adjusted
        options = ChildOptions(
            session=child.session,
            worker=plan.worker,
            queues=plan.queues,
            threads=plan.sizing.threads,
            async_slots=plan.sizing.async_slots,
            max_crashes=plan.settings.worker_max_crashes,
            soft_time_limit=plan.limits[0],
            time_limit=plan.limits[1],
            max_tasks=plan.max_tasks,
            counted=self.counted is not None,
            adjusted=child.adjusted,
            events=plan.events,
            quiet=plan.quiet,
            limits=tuple((limit.task, limit.soft, limit.hard) for limit in self._limits.values()),
        )
        birth = await self._forkserver.fork(next(self._numbers), options, end, child.board.fd)
        child.forked(await birth.pid)
        return birth

    async def _live(self, child: Child, birth: Birth) -> None:
        listening = asyncio.create_task(child.listen(self._ready, self.counted))
        exited: Exited | None = None
        try:
            exited = await birth.exited
        finally:
            if exited is None:
                # Nobody told how it ended, or we are in a hurry: its session may be closed once it is gone for sure.
                await child.vanish()
            listening.cancel()
            self._sessions.remove(child)
            self._settle_account(child, exited)
            child.close()
            child.ended.set()

    def _ready(self) -> None:
        self._early_deaths.clear()
        self.ready.set()

    def _settle_account(self, child: Child, exited: Exited | None) -> None:
        running = [job for job in child.running() if job.id not in child.dooms]
        doomed = tuple(child.dooms.items())
        child.slain = exited is not None and exited.status == -signal.SIGKILL
        if exited is not None and not child.asked(exited):
            names = ", ".join(f"{job.task}[{job.id}]" for job in running) or "nothing"
            peak = f", peak memory {exited.peak / 2**20:.0f} MB" if exited.peak else ""
            text = "Child %d died of %s after %.1f s%s. It was running: %s"
            logger.error(text, child.pid, cause(exited.status), child.age, peak, names)
            self._reclaimer.end(child.session, tuple(job.id for job in running), doomed)
            self.ends["died"] += 1
            return
        self.ends["stopped"] += 1
        if running:
            logger.warning("Child %d had to end: %d jobs go back to their queue, uncharged", child.pid, len(running))
        self._reclaimer.end(child.session, doomed=doomed)

    async def _pause(self, place: Place, child: Child) -> None:
        if child.ready or child.stopped or self._stopping:
            place.early_deaths = 0
            return
        # Who is killed from outside, by an operator or a kernel short of memory, says nothing about the app.
        if not child.slain:
            self._count_early_death(time.monotonic())
        await asyncio.sleep(min(MAX_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**place.early_deaths))
        place.early_deaths += 1

    def _count_early_death(self, now: float) -> None:
        self._early_deaths.append(now)
        if len(self._early_deaths) == MAX_EARLY_DEATHS and now - self._early_deaths[0] < EARLY_DEATHS_SECONDS:
            raise CrashLoop(f"{MAX_EARLY_DEATHS} children died within a minute before they were ready")


def cause(status: int) -> str:
    """What ended a process, in words: the name of a signal, or its exit status."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
