"""Child: one process with an event loop and a thread pool. Builds its parts, starts them, stops them in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Final

from umbel import log
from umbel.aligning import keep
from umbel.app.app import Umbel
from umbel.contracts.broker import SessionDead
from umbel.engines.address import masked
from umbel.execution import builtin
from umbel.execution.executor import Finished
from umbel.execution.limits import Limits
from umbel.execution.moments import Moments
from umbel.execution.runners import Gate
from umbel.model.outcome import Crashed, Parked, Released, Retried
from umbel.signals import worker_process_init, worker_process_shutdown
from umbel.stores.referring import ReferringStore
from umbel.worker.board import Board
from umbel.worker.channel import Channel, ChannelClosed
from umbel.worker.child.announcing import aannounce
from umbel.worker.child.commanding import obey
from umbel.worker.child.consumer import Consumer
from umbel.worker.child.counting import Counting
from umbel.worker.child.desk import Desk
from umbel.worker.child.executors import make_executor
from umbel.worker.child.isolation import Isolator
from umbel.worker.child.lateness import Lateness
from umbel.worker.child.ledger import Ledger, OtherStore, OwnEngine
from umbel.worker.child.link import Link
from umbel.worker.child.notebook import Notebook
from umbel.worker.child.pace import Pace
from umbel.worker.child.pulse import Pulse
from umbel.worker.child.quota import Quota
from umbel.worker.child.settler import Settler
from umbel.worker.child.switch import Switch
from umbel.worker.messages import (
    LOST_STATUS,
    STOPPED_STATUS,
    Adjusted,
    Command,
    Counted,
    Interrupt,
    Limit,
    Lost,
    Message,
    Moment,
    Obeyed,
    Quiet,
    Ready,
    Report,
    Retiring,
    Stop,
)
from umbel.worker.options import ChildOptions

_GOES_ON: Final = frozenset({Retried, Crashed, Released, Parked})
"""Outcomes after which the job is to run again, here or elsewhere."""
SWITCH_SECONDS: Final = 0.002
"""How long one thread may keep the others waiting; the loop must receive and settle while a task computes."""


class Child:
    """The parts that run the jobs of one session: consumer, executor, settler. *gate* says whether a job may start."""

    def __init__(self, app: Umbel, options: ChildOptions, gate: Gate) -> None:
        """Build the parts; must be called in the loop that will run them."""
        conf = app.conf
        executor = make_executor(app, options)
        self._terms = executor.terms
        link = Link(app.broker, _ledger(app, options), options.session, options.queues)
        kinds = {task.on_loop for task in app.tasks.values()}
        builtin.install(app)
        pace = Pace(options.threads, options.async_slots, has_def=False in kinds, has_async=True in kinds)
        self._settler = Settler(link, options.worker, conf.result_expires, self._settled)
        place = masked(conf.broker_url)
        desk = executor.desk = Desk(link, executor, self._settler.settlement, place)
        self._notebook = executor.notebook = Notebook(link, place)
        self._consumer = Consumer(link, executor, self._settler, gate, pace)
        self._consumer.doorkeeper.regulate(app, app.tasks, options.adjusted)
        self._consumer.quieten(on=options.quiet)
        self._consumer.moments = self._settler.moments = Moments(app.tasks, options.worker)
        self._gate = gate
        self._switch = Switch(app, options, executor, self._notebook)
        self._counting = Counting(app.tasks, self._consumer.held, gate) if options.counted else None
        executor.watched = options.counted
        self._isolator: Isolator | None = None
        if options.nursery >= 0:
            nursery = socket.socket(fileno=options.nursery)
            self._isolator = Isolator(nursery, self._notebook, options.max_tasks, desk)
            self._consumer.isolate(self._isolator)
        self._app = app
        self._worker = options.worker
        self._announcing: set[asyncio.Future[None]] = set()
        self._obeying: set[asyncio.Future[None]] = set()

    async def run(
        self, ready: Callable[[], Awaitable[None]], tell: Callable[[Counted], Awaitable[None]] | None = None
    ) -> None:
        """Work until stopped and everything is settled. Raises `SessionDead` when the session was declared dead.

        *ready* is awaited after the broker's first answer, *tell* with what was counted, if that is wanted.
        """
        await worker_process_init.asend(None)
        self._switch.start(self._consumer.held, self._gate)
        if self._counting is not None and tell is not None:
            self._counting.start(tell)
        settling = asyncio.ensure_future(self._settler.run())
        consuming = asyncio.ensure_future(self._consume(ready))
        aligning = asyncio.ensure_future(keep(self._app.broker, self._app.conf.broker_url))
        try:
            # A settler that fails must leave nobody behind who receives, or waits for, what is settled no more.
            await asyncio.wait((settling, consuming), return_when=asyncio.FIRST_COMPLETED)
            if settling.done():
                await settling
            await consuming
        finally:
            consuming.cancel()
            settling.cancel()
            aligning.cancel()
            await self._notebook.aclose()
            # A call that is under way needs its connection until it ends.
            await asyncio.wait((settling, consuming, aligning))
            await self._switch.aclose()
            if self._counting is not None:
                await self._counting.aclose()
            if self._isolator is not None:
                await asyncio.to_thread(self._isolator.close)
            lost = not consuming.cancelled() and isinstance(consuming.exception(), SessionDead)
            await self._say_farewell(LOST_STATUS if lost else STOPPED_STATUS)
            await self._app.aclose()

    async def _consume(self, ready: Callable[[], Awaitable[None]]) -> None:
        await self._consumer.run(ready)
        await self._settler.drained()
        await self._consumer.doorkeeper.aclose()

    def announce(self, moment: Moment) -> None:
        """Send a signal of the worker, beside what runs."""
        announcing = asyncio.ensure_future(aannounce(self._app, moment, self._worker))
        self._announcing.add(announcing)
        announcing.add_done_callback(self._announcing.discard)

    def obey(self, order: Command, answer: Callable[[Obeyed], Awaitable[None]]) -> None:
        """Run a command of the app, or tell what is held, beside what runs."""

        async def obeyed() -> None:
            with contextlib.suppress(ChannelClosed):
                await answer(await obey(self._app, order, self._worker, self._consumer.held))

        self._obeying.add(obeying := asyncio.ensure_future(obeyed()))
        obeying.add_done_callback(self._obeying.discard)

    async def _say_farewell(self, status: int) -> None:
        if self._announcing:
            await asyncio.wait(self._announcing)
        await worker_process_shutdown.asend(None, pid=os.getpid(), exitcode=status)

    def tell(self, pulse: Pulse) -> None:
        """Let *pulse* know of each answer of the broker."""
        self._consumer.pulse = pulse

    def stop(self) -> None:
        """Receive nothing more; `run` returns when what runs has ended and was settled."""
        self._consumer.stop()

    def limit(self, jobs: int, spent: Callable[[], None]) -> None:
        """Begin no more than *jobs* jobs; *spent* is called when the last one has begun."""
        self._consumer.quota = Quota(jobs, spent)

    def interrupt(self, order: Interrupt) -> None:
        """Have jobs end that run here, as far as their code allows, or not begin that wait here."""
        for job in order.jobs:
            self._consumer.interrupt(job, order.why, order.signal)

    def change(self, order: Limit | Adjusted | Report | Quiet) -> None:
        """Let other limits count for runs that begin from now on; ask for other jobs, or none; tell of jobs or not."""
        match order:
            case Limit():
                self._terms.change(order.task, Limits(order.soft, order.hard))
            case Adjusted():
                self._consumer.doorkeeper.adjust(order.tasks)
            case Quiet():
                self._consumer.quieten(on=order.on)
            case Report():
                self._switch.turn(on=order.on)

    def _settled(self, batch: list[Finished], answers: list[bool]) -> None:
        self._consumer.settled(batch)
        self._switch.settled(batch, answers)
        if self._counting is not None:
            self._counting.settled(batch, answers)
        ended = 0
        for finished, ours in zip(batch, answers, strict=True):
            if ours:
                ended += finished.outcome.__class__ not in _GOES_ON
                log.ended(finished.task, finished.delivery.id, finished.outcome)
            else:
                log.refused(finished.task, finished.delivery.id)
        if self._consumer.pulse is not None:
            self._consumer.pulse.end(ended)


def run(app: Umbel, options: ChildOptions, channel: socket.socket, board: Board) -> int:
    """Be a child until told to stop; answers the exit status: 0 stopped, 3 session lost."""
    sys.setswitchinterval(SWITCH_SECONDS)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_main(app, options, channel, board))


async def _main(app: Umbel, options: ChildOptions, connection: socket.socket, board: Board) -> int:
    channel = Channel(connection)
    child = Child(app, options, board)
    child.tell(board)
    telling: list[asyncio.Task[None]] = []
    if options.max_tasks is not None:
        child.limit(options.max_tasks, lambda: telling.append(asyncio.create_task(channel.send(Retiring()))))
    listening = asyncio.ensure_future(_listen(channel, child))
    lateness = Lateness(board)
    lateness.start()
    try:
        await child.run(lambda: channel.send(Ready()), channel.send)
    except SessionDead:
        # Whatever still runs here will be refused: end at once, the broker gives the jobs to others.
        with contextlib.suppress(ChannelClosed):
            await channel.send(Lost())
        return LOST_STATUS
    finally:
        lateness.close()
        listening.cancel()
    return STOPPED_STATUS


async def _listen(channel: Channel, child: Child) -> None:
    while (message := await channel.receive()) is not None:
        if isinstance(message, Stop):
            child.stop()
        elif isinstance(message, Limit | Adjusted | Report | Quiet):
            child.change(message)
        else:
            _hear(message, channel, child)
    # The supervisor is gone, and with it the lease: nothing that this process still does would count.
    os._exit(LOST_STATUS)


def _hear(message: Message, channel: Channel, child: Child) -> None:
    match message:
        case Interrupt():
            child.interrupt(message)
        case Moment():
            child.announce(message)
        case Command():
            child.obey(message, channel.send)
        case _:
            raise ChannelClosed(f"not for a child: {message!r}")


def _ledger(app: Umbel, options: ChildOptions) -> Ledger:
    large = app.store.large if isinstance(app.store, ReferringStore) else None
    if app.same_engine:
        return OwnEngine(large)
    return OtherStore(app.store, options.session, app.conf.result_expires, large)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
