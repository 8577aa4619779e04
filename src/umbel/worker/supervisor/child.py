"""One child process, seen from its supervisor."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import Final

from umbel.model import presence
from umbel.model.job import Doom
from umbel.model.presence import Presence, RunningJob
from umbel.worker import kernel
from umbel.worker.board import Board
from umbel.worker.channel import Channel, ChannelClosed
from umbel.worker.messages import (
    LOST_STATUS,
    STOPPED_STATUS,
    Adjusted,
    Command,
    Counted,
    Exited,
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
    Why,
)
from umbel.worker.supervisor.plan import Plan

LOST_GRACE_SECONDS: Final = 5.0
RETIRING_SECONDS: Final = 86_400.0
"""How long a child that is to go, in a worker that stays, may take to finish what it runs."""
PATIENCE_SECONDS: Final = 0.5
"""What a child gets beyond its grace, to hand back what it did not finish."""

logger = logging.getLogger("umbel.worker")


class Child:
    """A process with its session (empty until it is open), its board and its channel. *pid* is 0 until the fork."""

    def __init__(self, plan: Plan, board: Board, channel: Channel) -> None:
        """Not forked yet."""
        self.session = ""
        self.board = board
        self.pid = 0
        self.ready = False
        self.ended = asyncio.Event()
        self.born = time.time()
        self.lost = False
        self.stopped = False
        self.killed = False
        self.slain = False
        self.dooms: dict[str, Doom] = {}
        """The jobs for whose sake it was killed, and what they end with."""
        self._frozen: float | None = None
        self._processed: int | None = None
        self._plan = plan
        self._reporting = plan.events
        self.quiet = plan.quiet
        """Whether it was told to receive nothing more, and goes on living."""
        self.adjusted: tuple[tuple[str, str], ...] = ()
        """The (queue, task) that it knows to have another rate than in the code."""
        self._channel = channel
        self._process = -1
        self._killer: asyncio.TimerHandle | None = None
        self._telling: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        self._answers: dict[int, asyncio.Future[Obeyed]] = {}

    @property
    def age(self) -> float:
        """Seconds since it was made."""
        return time.time() - self.born

    def forked(self, pid: int) -> None:
        """It runs as process *pid*."""
        self.pid = pid
        try:
            self._process = os.pidfd_open(pid)
        except ProcessLookupError:
            return  # dead already; its end will be reported

    def info(self) -> bytes:
        """What `status` shows of it."""
        plan = self._plan
        return presence.encode(
            Presence(
                worker=plan.worker,
                host=plan.host,
                pid=os.getpid(),
                child=self.pid,
                threads=plan.sizing.threads,
                async_slots=plan.sizing.async_slots,
                started=self.born,
                queues=plan.queues,
                running=tuple(self.board.started()),
                lag=round(self.lag, 3),
                quiet=self.quiet,
            )
        )

    def running(self) -> list[RunningJob]:
        """What it has started and not ended."""
        return self.board.started()

    @property
    def processed(self) -> int:
        """How many jobs have ended in it; also known when it is gone."""
        return self.board.ended if self._processed is None else self._processed

    @property
    def lag(self) -> float:
        """By how many seconds its event loop comes late; see `Board.lag`."""
        return 0.0 if self._processed is not None else self.board.lag

    @property
    def heard(self) -> float:
        """When the broker answered it last; see `Board.heard`."""
        return self.board.heard

    def trust(self, until: float) -> None:
        """Let it start jobs until *until*, unless it has lost its session."""
        if self._frozen is not None:
            self._frozen = until
        elif not self.lost:
            self.board.trust = until

    def freeze(self) -> None:
        """Let it start nothing until `thaw`: it is about to be killed, or about to show that it need not be."""
        if self._frozen is None and not self.lost:
            self._frozen, self.board.trust = self.board.trust, 0.0

    def thaw(self) -> None:
        """Let it start jobs again, as long as it was trusted last."""
        if self._frozen is not None:
            until, self._frozen = self._frozen, None
            self.trust(until)

    def interrupt(self, jobs: Sequence[str], why: Why, number: int = 0) -> None:
        """Ask it to interrupt *jobs*; see `Interrupt`. *number* is the signal for those that have a process."""
        self._tell(Interrupt(list(jobs), why, number))

    def limit(self, limit: Limit) -> None:
        """Let other limits count for a task."""
        self._tell(limit)

    def adjust(self, adjusted: tuple[tuple[str, str], ...]) -> None:
        """Have it ask for the jobs of these (queue, task); nothing is said that it knows."""
        if adjusted != self.adjusted:
            self.adjusted = adjusted
            self._tell(Adjusted(list(adjusted)))

    def report(self, *, on: bool) -> None:
        """Have it tell of its jobs in events from now on, or no longer; nothing is said that it knows."""
        if on != self._reporting:
            self._reporting = on
            self._tell(Report(on))

    def quieten(self, *, on: bool) -> None:
        """Have it receive nothing more and finish what runs, or receive again; nothing is said that it knows."""
        if on != self.quiet:
            self.quiet = on
            self._tell(Quiet(on))

    def doom(self, job: str, doom: Doom) -> None:
        """Kill it for the sake of *job*, which ends by *doom*; nobody is charged for that."""
        self.dooms[job] = doom
        self.kill()

    def lose(self) -> None:
        """Its session is dead: nothing it does counts any more, so it starts nothing and ends soon."""
        if self.lost:
            return
        self.lost = True
        logger.warning("Child %d lost its session: its results are refused, its jobs run elsewhere", self.pid)
        self.board.trust = 0.0
        self.stop(LOST_GRACE_SECONDS)

    def stop(self, grace: float) -> None:
        """Tell it to end; kill it when it has not *grace* seconds, and a moment, later."""
        self.stopped = True
        loop = asyncio.get_running_loop()
        if self._killer is not None:
            self._killer.cancel()
        self._killer = loop.call_later(grace + PATIENCE_SECONDS, self.kill)
        self._tell(Stop(grace))

    def retire(self) -> None:
        """Have it end when what it runs has ended, unless it is told to end already."""
        if not self.stopped:
            self.stop(RETIRING_SECONDS)

    def kill(self) -> None:
        """End it now."""
        if self._process >= 0:
            self.killed = True
            kernel.kill(self._process)

    async def obey(self, order: Command) -> Obeyed:
        """What it answers to *order*; waits for ever where it does not. Raises `ChannelClosed` when it ends first."""
        answer: asyncio.Future[Obeyed] = asyncio.get_running_loop().create_future()
        self._answers[order.number] = answer
        try:
            self._tell(order)
            return await answer
        finally:
            self._answers.pop(order.number, None)

    def announce(self, moment: Moment) -> None:
        """Have the signal of *moment* sent there."""
        self._tell(moment)

    def dump(self) -> None:
        """Have it write the stacks of its threads to stderr."""
        if self._process >= 0:
            kernel.ask(self._process, signal.SIGUSR1)

    async def listen(self, on_ready: Callable[[], None], on_counted: Callable[[Counted], None] | None = None) -> None:
        """Hear it until it closes its channel; *on_counted* is told what it has counted."""
        try:
            while (message := await self._channel.receive()) is not None:
                if isinstance(message, Ready):
                    self.ready = True
                    on_ready()
                elif isinstance(message, Counted) and on_counted is not None:
                    on_counted(message)
                else:
                    self._hear(message)
        except ChannelClosed:
            self.kill()

    def _hear(self, message: Message) -> None:
        match message:
            case Lost():
                self.lose()
            case Retiring():
                self.retire()
            case Obeyed() if message.number in self._answers:
                self._answers.pop(message.number).set_result(message)
            case _:
                pass

    async def vanish(self) -> None:
        """Wait until the process is gone, whatever was reported of it; kill it first."""
        self.kill()
        if self._process < 0:
            return
        loop = asyncio.get_running_loop()
        gone = asyncio.Event()
        loop.add_reader(self._process, gone.set)
        try:
            await gone.wait()
        finally:
            loop.remove_reader(self._process)

    def asked(self, exited: Exited) -> bool:
        """Tell whether it ended as it had been told, so that nothing is charged."""
        if self.killed and exited.status == -signal.SIGKILL:
            return True
        return (self.stopped and exited.status == STOPPED_STATUS) or (self.lost and exited.status == LOST_STATUS)

    def close(self) -> None:
        """Give back channel, board and process."""
        if self._killer is not None:
            self._killer.cancel()
        self._channel.close()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ChannelClosed("it has ended"))
        self._processed = self.board.ended
        self.board.close()
        if self._process >= 0:
            os.close(self._process)
            self._process = -1

    def _tell(self, message: Message) -> None:
        telling = asyncio.get_running_loop().create_task(self._send(message))
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    async def _send(self, message: Message) -> None:
        try:
            async with self._turn:
                await self._channel.send(message)
        except ChannelClosed:
            self.kill()
