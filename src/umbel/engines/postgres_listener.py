"""Who waits for what in this process, and the one thread that hears of it, on a connection of its own.

A ring is a hint and never the truth: whoever hears it looks into the tables. Everybody who waits is also called when
the connection has begun to listen for him, and from time to time in case a ring was lost; so a waiter only ever looks,
waits and looks again.
"""

from __future__ import annotations

import asyncio
import os
import select
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from typing import Final, TypeAlias

import psycopg

from umbel.engines.postgres_address import Address
from umbel.engines.postgres_command import Query
from umbel.engines.postgres_connection import SQL, connect, greet
from umbel.engines.postgres_topics import LOCK_CLASS, is_work, keys_in, number, ring, topic_of
from umbel.engines.postgres_values import plain

Wake: TypeAlias = Callable[[], object]

LOOK_AGAIN_SECONDS: Final = 5.0
"""How often everybody looks for himself while the connection listens."""
POLLING_SECONDS: Final = 1.0
"""The same while it does not: the server is away, or a pooler is in between."""
LINGER_SECONDS: Final = 10.0
"""How long the thread stays when nobody waits any more."""
_LIMIT_SECONDS: Final = 5.0
_SELF_TEST_SECONDS: Final = 2.0
_SELF_TEST: Final = "t"


class Ear:
    """A connection that listens, and the topics whose locks it holds."""

    def __init__(self, address: Address) -> None:
        self._line = connect(address.listen, address.connect_timeout, _LIMIT_SECONDS)
        self.topics: frozenset[str] = frozenset()
        self.told: list[str] = []
        self._line.add_notify_handler(lambda notice: self.told.append(notice.payload))  # those beside an answer
        try:
            self._refuse_pooler()
            ((self.channel,),) = self._line.ask(SQL("postgres_waking.listen"))
            self._line.execute(f"listen {self.channel}".encode(), prepare=False)
            self._test()
        except BaseException:
            self._line.pgconn.finish()
            raise

    @property
    def socket(self) -> int:
        """What becomes readable when somebody rings."""
        return self._line.pgconn.socket

    def hold(self, topics: frozenset[str]) -> frozenset[str]:
        """Be known to wait for *topics* and no others; answers those that are new."""
        new, old = topics - self.topics, self.topics - topics
        for name, changed in (("hold", new), ("drop", old)):
            if changed:
                self._run(SQL(f"postgres_waking.{name}", str(LOCK_CLASS), plain(map(number, changed))))
        self.topics = topics
        return new

    def heard(self) -> list[str]:
        """The keys that were told since the last call."""
        try:
            self._line.pgconn.consume_input()
        except psycopg.OperationalError:
            self.close()  # libpq leaves that to us
            raise
        self._collect()
        keys = [each for payload in self.told for each in keys_in(payload)]
        self.told.clear()
        return keys

    def pass_on(self, key: str) -> None:
        """Wake somebody else for *key*: here nobody waits for it any more."""
        self._run(ring({key[1:]: 1}, without=self.channel))

    def close(self) -> None:
        """Close the connection, and with it let go of all topics."""
        self._line.pgconn.finish()

    def _run(self, query: Query) -> None:
        self._line.run([query])
        self._collect()  # what came beside the answer makes the socket readable no more

    def _collect(self) -> None:
        while (notice := self._line.pgconn.notifies()) is not None:
            self.told.append(notice.extra.decode())

    def _refuse_pooler(self) -> None:
        # Behind one, locks would stay with a server process that serves others by then.
        if greet(self._line, trusted=True).pooled:
            raise psycopg.OperationalError("a pooler hands on no notifications")

    def _test(self) -> None:
        """Hear oneself. Raises `OperationalError` if that fails: then nobody else would be heard either."""
        self._line.execute(b"select pg_notify($1, $2)", (self.channel, _SELF_TEST), prepare=False)
        end = time.monotonic() + _SELF_TEST_SECONDS
        while _SELF_TEST not in self.heard():
            if time.monotonic() > end:
                raise psycopg.OperationalError("notifications do not arrive")
            select.select([self.socket], [], [], 0.1)


class Listener:
    """Calls those who wait. Safe between threads, event loops and forks."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._hearing: dict[int, Hearing] = {}

    @contextmanager
    def expecting(self, keys: Iterable[str], wake: Wake) -> Generator[None]:
        """Inside the block *wake* is called, from any thread, when there may be something new of one of *keys*."""
        hearing, wanted = self._ours(), tuple(keys)
        hearing.join(wanted, wake)
        try:
            yield
        finally:
            hearing.leave(wanted, wake)

    def close(self) -> None:
        """End the thread of this process; the next wait starts it again."""
        hearing = self._hearing.get(os.getpid())
        if hearing is not None:
            hearing.close()

    def _ours(self) -> Hearing:
        # No lock here: a fork copies a lock that another thread holds. setdefault lets exactly one win.
        return self._hearing.get(os.getpid()) or self._hearing.setdefault(os.getpid(), Hearing(self._address))


class Hearing:
    """The waits of one process. Its thread lives while there are some, and a little longer."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._lock = threading.Lock()
        self._waiting: dict[str, set[Wake]] = {}
        self._wanted: Counter[str] = Counter()
        self._thread: threading.Thread | None = None
        self._ear: Ear | None = None
        self._closing = False
        self._nudged, self._nudge = os.pipe()
        os.set_blocking(self._nudged, False)
        os.set_blocking(self._nudge, False)

    def join(self, keys: Iterable[str], wake: Wake) -> None:
        """Call *wake* whenever there may be something new of one of *keys*; soon once in any case."""
        with self._lock:
            for key in keys:
                self._waiting.setdefault(key, set()).add(wake)
                self._wanted[topic_of(key)] += 1
            heard = self._ear is not None and all(topic_of(key) in self._ear.topics for key in keys)
            if self._thread is None:
                self._thread = threading.Thread(target=self._listen, name="umbel-postgres", daemon=True)
                self._thread.start()
        if heard:
            wake()
        self._prod()  # in any case: the thread may be about to let go of a topic that nobody wanted a moment ago

    def leave(self, keys: Iterable[str], wake: Wake) -> None:
        """Take back what `join` did."""
        with self._lock:
            for key in keys:
                waiting = self._waiting[key]
                waiting.discard(wake)
                if not waiting:
                    del self._waiting[key]
                self._wanted[topic_of(key)] -= 1
            self._wanted = +self._wanted
        self._prod()

    def close(self) -> None:
        """End the thread."""
        with self._lock:  # one that is in the making is not there yet
            thread = self._thread
            self._closing = thread is not None
        if thread is not None:
            self._prod()
            thread.join()
            self._closing = False

    def _prod(self) -> None:
        with suppress(BlockingIOError):  # full: it is awake anyway
            os.write(self._nudge, b"\0")

    def _listen(self) -> None:
        needed = looked = time.monotonic()
        while True:
            now = time.monotonic()
            with self._lock:
                needed = now if self._wanted else needed
                if self._closing or now - needed > LINGER_SECONDS:
                    return self._stop()
            patience = self._tend()
            if now - looked >= patience:
                looked = now
                self._call(list(self._waiting))
            self._hear(max(0.0, min(patience, looked + patience - now)))

    def _tend(self) -> float:
        """Hold the topics that are waited for, on a new connection if need be; answers when all shall look again."""
        with self._lock:
            wanted = frozenset(self._wanted)
        try:
            if self._ear is None:
                self._ear = Ear(self._address)
            new = self._ear.hold(wanted)
        except psycopg.Error:
            self._deaf()
            return POLLING_SECONDS
        if new:
            with self._lock:
                called = [key for key in self._waiting if topic_of(key) in new]
            self._call(called)
        return LOOK_AGAIN_SECONDS

    def _hear(self, seconds: float) -> None:
        sources = [self._nudged] if self._ear is None else [self._nudged, self._ear.socket]
        readable, _, _ = select.select(sources, [], [], 0 if self._ear is not None and self._ear.told else seconds)
        if self._nudged in readable:
            os.read(self._nudged, 4096)
        if self._ear is None:
            return
        try:
            keys = self._ear.heard()
            self._call(keys)
            for key in keys:
                if key not in self._waiting and is_work(key):
                    self._ear.hold(frozenset(self._wanted))  # first: nobody shall ring here in vain
                    self._ear.pass_on(key)
        except psycopg.Error:
            self._deaf()

    def _call(self, keys: Iterable[str]) -> None:
        with self._lock:
            wakes = {wake for key in keys for wake in self._waiting.get(key, ())}
        for wake in wakes:
            wake()

    def _deaf(self) -> None:
        if self._ear is not None:
            self._ear.close()
            self._ear = None

    def _stop(self) -> None:
        self._deaf()
        self._thread = None


class Nap:
    """One wait in one event loop, ended from any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """End the wait, from any thread; the loop may be gone by now."""
        with suppress(RuntimeError):  # closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._woken.set)

    async def sleep(self, seconds: float | None) -> bool:
        """Wait until woken, at most *seconds*; tells whether somebody woke us. Ready for the next wait afterwards."""
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return False
        self._woken.clear()
        return True
