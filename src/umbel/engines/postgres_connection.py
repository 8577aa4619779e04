"""Connections to PostgreSQL, for threads and for event loops: each call has a time limit, each new one is set up."""

from __future__ import annotations

import asyncio
import math
import select
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from importlib.resources import files
from typing import Any, Final, NamedTuple, TypeVar

import psycopg
from psycopg.waiting import Ready, Wait, wait_async

from umbel.engines.operation import Operation, adrive, drive
from umbel.engines.postgres_command import Command, Query, Rows, Statements
from umbel.engines.postgres_values import Blobs, BlobsDumper
from umbel.engines.postgres_wire import Wire
from umbel.engines.unfit import Denied

T = TypeVar("T")

SQL: Final = Statements("umbel.engines", "postgres_waking", "postgres_migrating")
OLDEST_VERSION: Final = 13
_INTERVAL_SECONDS: Final = 0.1
_LOCK: Final = 0x756D62656C
"""Whoever changes the tables holds the advisory lock of this number: "umbel" in ASCII."""
# A plan that was made while the tables were empty is kept when they are full: it must not read them as a whole.
_SETTINGS: Final = (
    b"select set_config('plan_cache_mode', 'force_generic_plan', false), set_config('enable_seqscan', 'off', false),"
    b" set_config('jit', 'off', false),"
    b" set_config('idle_in_transaction_session_timeout', '60s', false),"
    b" case when current_setting('synchronous_commit') in ('off', 'local')"
    b" then set_config('synchronous_commit', 'on', false) end"
)
_POLL: Final = {Wait.R: select.POLLIN, Wait.W: select.POLLOUT, Wait.RW: select.POLLIN | select.POLLOUT}


class Line(psycopg.Connection[tuple[Any, ...]]):
    """A connection of one thread. A call that takes longer than *limit* seconds raises `OperationalError`."""

    limit: float = math.inf
    _wire: Wire | None = None

    def wait(self, gen: Generator[Any, Any, T], interval: float = _INTERVAL_SECONDS, timeout: float | None = None) -> T:
        """The wait of psycopg, with our time limit; Ctrl-C does not ask the server, which may not answer."""
        del timeout
        end = time.monotonic() + self.limit
        poll, socket = select.poll(), self.pgconn.socket
        try:
            wanted = next(gen)
            while True:
                poll.register(socket, _POLL[wanted])
                found = poll.poll(interval * 1000)
                if not found and time.monotonic() > end:
                    gen.throw(psycopg.OperationalError(f"no answer within {self.limit:g} s"))
                wanted = gen.send(_ready(found[0][1]) if found else Ready.NONE)
        except StopIteration as done:
            value: T = done.value
            return value
        except BaseException:
            _abandon(gen)
            raise

    def run(self, command: Command) -> list[Rows]:
        """Carry out *command*; several statements are one transaction, sent together; none only need the tables."""
        if not command:
            return []
        wire = self._wire = self._wire or Wire(self)
        wire.send(command)
        end = time.monotonic() + self.limit
        poll, socket = select.poll(), self.pgconn.socket
        while True:
            poll.register(socket, _POLL[Wait.RW if wire.unsent else Wait.R])
            left = end - time.monotonic()
            if not poll.poll(None if left == math.inf else max(0.0, left) * 1000) and left <= 0:
                raise psycopg.OperationalError(f"no answer within {self.limit:g} s")
            if wire.done():
                return wire.replies()

    def ask(self, query: Query) -> Rows:
        """One statement that is sent as text and kept by no server."""
        cursor = self.execute(query.statement, query.values or None, prepare=False)
        return cursor.fetchall() if cursor.description else []


class AsyncLine(psycopg.AsyncConnection[tuple[Any, ...]]):
    """A connection of one event loop. A call that was cancelled leaves it closed."""

    _wire: Wire | None = None

    async def wait(
        self, gen: Generator[Any, Any, T], interval: float = _INTERVAL_SECONDS, timeout: float | None = None
    ) -> T:
        """The wait of psycopg; a cancelled one does not ask the server, which may not answer."""
        del timeout
        try:
            return await wait_async(gen, self.pgconn.socket, interval=interval)
        except Exception:
            _abandon(gen)
            raise
        except BaseException:
            _abandon(gen)
            self.pgconn.finish()  # the answer is still to come on that line
            raise

    async def run(self, command: Command) -> list[Rows]:
        """The async twin of `Line.run`."""
        if not command:
            return []
        wire = self._wire = self._wire or Wire(self)
        loop, socket = asyncio.get_running_loop(), self.pgconn.socket
        arrived = loop.create_future()
        try:
            wire.send(command)
            loop.add_reader(socket, _advance, wire, arrived)
            if wire.unsent:
                loop.add_writer(socket, _advance, wire, arrived)
            try:
                await arrived
            finally:
                loop.remove_reader(socket)
                loop.remove_writer(socket)
        except BaseException:
            self.pgconn.finish()  # the answer is still to come on that line
            raise
        return wire.replies()

    async def ask(self, query: Query) -> Rows:
        """The async twin of `Line.ask`."""
        cursor = await self.execute(query.statement, query.values or None, prepare=False)
        return await cursor.fetchall() if cursor.description else []


class Greeting(NamedTuple):
    """What a new connection found: *pooled* when a pooler hands each transaction to another server process."""

    pooled: bool


def connect(conninfo: str, seconds: float, limit: float) -> Line:
    """A new connection of this thread, made within *seconds*; its calls take at most *limit* seconds each."""
    line = Line.connect(
        conninfo,
        autocommit=True,
        cursor_factory=psycopg.RawCursor,
        prepare_threshold=0,
        connect_timeout=_whole(seconds),
    )
    line.limit = limit
    line.adapters.register_dumper(Blobs, BlobsDumper)
    return line


async def aconnect(conninfo: str, seconds: float) -> AsyncLine:
    """The async twin of `connect`."""
    line = await AsyncLine.connect(
        conninfo,
        autocommit=True,
        cursor_factory=psycopg.AsyncRawCursor,
        prepare_threshold=0,
        connect_timeout=_whole(seconds),
    )
    line.adapters.register_dumper(Blobs, BlobsDumper)
    return line


def greet(line: Line, *, trusted: bool) -> Greeting:
    """Set up a new connection; *trusted*: the tables are known to be there."""
    refuse_old(line.info.server_version)
    greeting = drive(_greeting(line.info.backend_pid, trusted=trusted), line.ask)
    if greeting.pooled:
        line.prepare_threshold = None
    return greeting


async def agreet(line: AsyncLine, *, trusted: bool) -> Greeting:
    """The async twin of `greet`."""
    refuse_old(line.info.server_version)
    greeting = await adrive(_greeting(line.info.backend_pid, trusted=trusted), line.ask)
    if greeting.pooled:
        line.prepare_threshold = None
    return greeting


def refuse_old(version: int) -> None:
    """Raise `Denied` if the server's *version*, such as 150018, is too old for our statements."""
    if version < OLDEST_VERSION * 10_000:
        raise Denied(f"PostgreSQL {version // 10_000} is too old: use {OLDEST_VERSION} or later")


def _greeting(told: int, *, trusted: bool) -> Operation[Query, Greeting]:
    ((pid, there),) = yield SQL("postgres_waking.hello")
    pooled = pid != told  # a pooler invents the number it tells its clients
    if not pooled:
        yield Query(_SETTINGS)
    if not trusted:
        done = {number for (number,) in (yield SQL("postgres_migrating.done"))} if there else set[int]()
        if not _changes().keys() <= done:
            yield from _migration()
    return Greeting(pooled)


def _migration() -> Operation[Query, None]:
    yield Query(b"begin")
    try:
        yield SQL("postgres_migrating.lock", str(_LOCK))
        yield SQL("postgres_migrating.prepare")
        yield SQL("postgres_migrating.table")
        done = {number for (number,) in (yield SQL("postgres_migrating.done"))}
        for number, text in sorted(_changes().items()):
            if number not in done:
                yield Query(text.encode())
                yield SQL("postgres_migrating.note", str(number))
    except psycopg.Error:
        yield Query(b"rollback")
        raise
    yield Query(b"commit")


def _changes() -> dict[int, str]:
    folder = files("umbel.engines").joinpath("postgres_schema")
    return {
        int(file.name[:4]): file.read_text(encoding="utf-8") for file in folder.iterdir() if file.name[:4].isdecimal()
    }


@contextmanager
def leaving(failure: Callable[[], BaseException | None]) -> Generator[None]:
    """Raise *failure*, if there was one in the block, and not what its end then stumbled over."""
    try:
        yield
    except psycopg.Error as error:
        if (first := failure()) is not None:
            raise first from None
        raise error from None
    if (first := failure()) is not None:
        raise first


def _advance(wire: Wire, arrived: asyncio.Future[None]) -> None:
    """Send and take what the socket allows; *arrived* is over when that is all. An answer comes in several pieces."""
    if arrived.done():
        return
    try:
        busy = wire.unsent
        if wire.done():
            arrived.set_result(None)
        elif busy and not wire.unsent:
            arrived.get_loop().remove_writer(wire.socket)
    except psycopg.Error as error:
        arrived.set_exception(error)


def _abandon(gen: Generator[Any, Any, object]) -> None:
    # Now, while the connection is still there to be looked at: it is closed next.
    with suppress(Exception):
        gen.close()


def _ready(events: int) -> Ready:
    if events & (select.POLLERR | select.POLLHUP | select.POLLNVAL):
        return Ready.RW
    return Ready((Ready.R if events & select.POLLIN else 0) | (Ready.W if events & select.POLLOUT else 0))


def _whole(seconds: float) -> int:
    return max(1, math.ceil(seconds))
