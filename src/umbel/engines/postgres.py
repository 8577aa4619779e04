"""PostgreSQL: transactions in, rows out, from threads and from event loops. Reconnects, makes the tables, rings."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any, Final

import psycopg

from umbel.engines.patience import ONE_TRY, Patience
from umbel.engines.postgres_address import Address
from umbel.engines.postgres_command import Command, Rows
from umbel.engines.postgres_connection import AsyncLine, Line, aconnect, agreet, connect, greet
from umbel.engines.postgres_errors import again, lost, missing, plainly, refusal
from umbel.engines.postgres_idle import Idle

MAX_LINES: Final = 4
"""Connections of one event loop at most; two are in use while a child receives and settles."""
_TRIES_AT_ONCE: Final = 10


class _Lane:
    """What one event loop has: idle connections, and the right to make a few more."""

    __slots__ = ("idle", "room")

    def __init__(self) -> None:
        self.idle: list[AsyncLine] = []
        self.room = asyncio.Semaphore(MAX_LINES)


class Engine:
    """One database. Threads, event loops and forked children share it; each gets connections of its own.

    Commands are repeated until *deadline* seconds have passed, then `BrokerUnavailable` is raised; so each must be safe
    to repeat, or marked `once`.
    """

    def __init__(self, address: Address, deadline: float) -> None:
        self.address = address
        self.pooled = False
        """Whether the last connection that was opened leads to a pooler."""
        self._deadline = deadline
        self._name = str(address)
        self._trusted = False
        self._pid = os.getpid()
        self._idle = Idle[Line]()
        self._lanes: dict[asyncio.AbstractEventLoop, _Lane] = {}
        self._inherited: list[Any] = []

    def call(self, command: Command) -> list[Rows]:
        """Carry out *command* in one transaction. Raises `BrokerUnavailable`, `BrokerFull` or `BrokerError`."""
        patience = Patience(self._name, self._deadline)
        closings = self._idle.closings
        while True:
            line: Line | None = None
            try:
                line = self._taken(patience)
                rows = line.run(command)
            except psycopg.Error as error:
                self._forget(line, error)
                time.sleep(self._pause(patience, command, error, sent=line is not None))
            except BaseException:
                # Cut off in the middle, by Ctrl-C for example: the answer is still to come on that line.
                self._forget(line, None)
                raise
            else:
                self._idle.give(line, closings)
                return rows

    async def acall(self, command: Command) -> list[Rows]:
        """The async twin of `call`. Cancelled, it may have been carried out."""
        patience = Patience(self._name, self._deadline)
        lane = self._lane()
        async with lane.room:
            while True:
                line: AsyncLine | None = None
                try:
                    async with asyncio.timeout(_limit(patience, reused=bool(lane.idle))):
                        line = lane.idle.pop() if lane.idle else await self._opened(patience)
                        rows = await line.run(command)
                except psycopg.Error as error:
                    self._aforget(lane, line, error)
                    await asyncio.sleep(self._pause(patience, command, error, sent=line is not None))
                except TimeoutError:
                    self._aforget(lane, line, None)
                    silent = psycopg.OperationalError("no answer in time")
                    await asyncio.sleep(self._pause(patience, command, silent, sent=line is not None))
                except BaseException:
                    if line is not None:
                        line.pgconn.finish()
                    raise
                else:
                    lane.idle.append(line)
                    return rows

    def close(self) -> None:
        """Close this process's connections: those that a thread is using when they are given back."""
        self._idle.close()
        self._leave_closed_loops()

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        lane = self._lanes.pop(asyncio.get_running_loop(), None)
        while lane is not None and lane.idle:
            await lane.idle.pop().close()

    def _pause(self, patience: Patience, command: Command, error: psycopg.Error, *, sent: bool) -> float:
        """Seconds to wait before the next try; raises if there shall be none."""
        if again(error) and patience.tries < _TRIES_AT_ONCE:
            patience.tries += 1
            return 0.0
        if missing(error) and self._trusted:
            self._trusted = False
            return 0.0
        if not lost(error):
            raise refusal(error, self._name) from error
        reason = ConnectionError(plainly(error))
        if sent and any(query.once for query in command):
            raise patience.over(reason) from error
        return patience.pause(reason)

    def _taken(self, patience: Patience) -> Line:
        if self._pid != os.getpid():
            self._reborn()
        line = self._idle.take()
        if line is not None:
            line.limit = _limit(patience, reused=True)
            return line
        seconds = min(self.address.connect_timeout, patience.left)
        line = connect(self.address.conninfo, seconds, _limit(patience, reused=False))
        try:
            self.pooled = greet(line, trusted=self._trusted).pooled
        except BaseException:
            line.pgconn.finish()
            raise
        self._trusted = True
        return line

    async def _opened(self, patience: Patience) -> AsyncLine:
        line = await aconnect(self.address.conninfo, min(self.address.connect_timeout, patience.left))
        try:
            self.pooled = (await agreet(line, trusted=self._trusted)).pooled
        except BaseException:
            line.pgconn.finish()
            raise
        self._trusted = True
        return line

    def _forget(self, line: Line | None, error: psycopg.Error | None) -> None:
        """Close *line*, and its idle neighbours: what broke one has mostly broken all."""
        if line is not None and error is not None and again(error) and not line.closed:
            self._idle.give(line, self._idle.closings)
            return
        if line is not None:
            line.pgconn.finish()
        self._idle.drop()

    def _aforget(self, lane: _Lane, line: AsyncLine | None, error: psycopg.Error | None) -> None:
        if line is not None and error is not None and again(error) and not line.closed:
            lane.idle.append(line)
            return
        for each in [*([] if line is None else [line]), *lane.idle]:
            each.pgconn.finish()
        lane.idle.clear()

    def _lane(self) -> _Lane:
        loop = asyncio.get_running_loop()
        lane = self._lanes.get(loop)
        if lane is None:
            if self._pid != os.getpid():
                self._reborn()
            self._leave_closed_loops()
            lane = self._lanes[loop] = _Lane()
        return lane

    def _leave_closed_loops(self) -> None:
        for loop in [loop for loop in self._lanes if loop.is_closed()]:
            for line in self._lanes.pop(loop).idle:
                line.pgconn.finish()

    def _reborn(self) -> None:
        """We are a forked child: the connections are the parent's; close our ends of them and say nothing."""
        parent, self._pid = self._pid, os.getpid()
        lines = [*self._idle.leave(parent), *(line for lane in self._lanes.values() for line in lane.idle)]
        self._lanes = {}
        self._inherited += lines  # never collected: their end would be told to the server
        for line in lines:
            os.close(line.pgconn.socket)


def _limit(patience: Patience, *, reused: bool) -> float:
    """How many seconds one try may take. A line that lay idle may be dead: there shall be time for another one then."""
    return max(patience.left * ONE_TRY if reused else patience.left, 1.0)
