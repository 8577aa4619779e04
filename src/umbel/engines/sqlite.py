"""SQLite as an engine: steps on one file, called from any thread or event loop of this process.

A step is a function of a connection; it runs inside one transaction and may be run again if that transaction fails, so
it changes nothing but the database. Steps that arrive together share a transaction, so they share its fsync.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from enum import IntEnum
from queue import Empty, SimpleQueue
from typing import Any, Final, Generic, TypeVar, cast

import apsw

from umbel.engines.sqlite_file import Connection, File

T = TypeVar("T")

MAX_STEPS: Final = 256
"""How many steps share a transaction at most."""


class Durability(IntEnum):
    """What a power cut may undo of a step that was committed; the death of a process undoes nothing."""

    NONE = 0
    """All of it, until something durable follows."""
    ANSWERED = 1
    """Nothing, once the caller has the answer; the fsync happens without the lock, so other processes go on."""
    SEEN = 2
    """Nothing that anybody could see: it is on disk before it can be read."""


class Work(Generic[T]):
    """One step on its way; *after* is called with its answer once it is committed."""

    __slots__ = ("_error", "_future", "_value", "after", "done", "durable", "step")

    def __init__(
        self, step: Callable[[Connection], T], durable: Durability, after: Callable[[T], None] | None = None
    ) -> None:
        self.step = step
        self.durable = durable
        self.after = after
        self.done = False
        self._value: T | None = None
        self._error: BaseException | None = None
        self._future: asyncio.Future[T] | None = None

    def future(self) -> asyncio.Future[T]:
        """The answer to come, in the running event loop."""
        self._future = asyncio.get_running_loop().create_future()
        return self._future

    def run(self, connection: Connection) -> None:
        """Take the step, inside the transaction."""
        self._value = self.step(connection)

    def finish(self, error: BaseException | None = None) -> None:
        """Hand over the answer; the transaction has been committed, or has failed with *error*."""
        self.done = True
        self._error = error
        if error is None and self.after is not None:
            self.after(cast(T, self._value))
        if self._future is not None:
            try:
                self._future.get_loop().call_soon_threadsafe(self._deliver, self._future)
            except RuntimeError:  # the loop was closed meanwhile: nobody waits any more
                return

    def answer(self) -> T:
        """The answer, or the error raised."""
        if self._error is not None:
            raise self._error
        return cast(T, self._value)

    def _deliver(self, future: asyncio.Future[T]) -> None:
        if future.done():
            return
        if self._error is not None:
            future.set_exception(self._error)
        else:
            future.set_result(cast(T, self._value))


class Lane:
    """One connection of this process, its lock, and a thread that serves event loops; *begin* starts a transaction."""

    def __init__(self, file: File, begin: str) -> None:
        self._file = file
        self._begin = begin
        self._lock = threading.Lock()
        self._door = threading.Lock()
        self._connection: apsw.Connection | None = None
        self._identity = (0, 0)
        self._log = -1
        self._full = False
        self._called: deque[Work[Any]] = deque()
        self._submitted: SimpleQueue[Work[Any] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        _alive.add(self)

    def call(self, work: Work[T]) -> T:
        """Run *work* on this thread, together with whatever else is waiting."""
        self._called.append(work)
        with self._lock:
            while not work.done:  # another thread may have taken it along
                self._commit(self._gather([]))
        return work.answer()

    def submit(self, work: Work[Any]) -> None:
        """Run *work* on the lane's own thread."""
        with self._door:  # nothing comes in behind the sign to stop: nobody would see it
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="umbel-sqlite", daemon=True)
                self._thread.start()
            self._submitted.put(work)

    def close(self) -> None:
        """Finish what was submitted and close the connection; the next use opens it again."""
        with self._door:
            if self._thread is not None and self._thread is not threading.current_thread():
                self._submitted.put(None)
                self._thread.join()
                self._thread = None
        with self._lock:
            self._disconnect()

    def abandon(self) -> None:
        """In a forked child: see to it that the connection of the parent is never closed, not even when Python ends."""
        # Closing it here would roll back what the parent is writing, in memory that both share.
        if self._connection is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._connection))

    def _serve(self) -> None:
        while True:
            work = self._submitted.get()
            if work is None:
                return
            with self._lock:
                self._commit(self._gather([work]))

    def _gather(self, batch: list[Work[Any]]) -> list[Work[Any]]:
        while self._called and len(batch) < MAX_STEPS:
            batch.append(self._called.popleft())
        while len(batch) < MAX_STEPS:
            try:
                work = self._submitted.get_nowait()
            except Empty:
                break
            if work is None:  # the sign to stop is for the thread
                self._submitted.put(None)
                break
            batch.append(work)
        return batch

    def _commit(self, batch: Sequence[Work[Any]]) -> None:
        durable = max((work.durable for work in batch), default=Durability.NONE)
        try:
            self._transact(batch, durable)
        except BaseException as error:
            if len(batch) > 1:  # one bad step must not fail its neighbours
                for work in batch:
                    self._commit([work])
                if not isinstance(error, Exception):  # Ctrl-C belongs to this thread, not to a step
                    raise
                return
            batch[0].finish(self._explained(error))
            return
        failure = self._sync() if durable is Durability.ANSWERED else None
        for work in batch:
            work.finish(failure if work.durable is Durability.ANSWERED else None)

    def _explained(self, error: BaseException) -> BaseException:
        if not isinstance(error, apsw.Error):
            return error
        explained = self._file.explain(error)
        explained.__cause__ = error
        return explained

    def _transact(self, batch: Sequence[Work[Any]], durable: Durability) -> None:
        connection = self._ready()
        full = durable is Durability.SEEN
        if full is not self._full:  # cannot be changed inside a transaction
            connection.pragma("synchronous", "full" if full else "normal")
            self._full = full
        connection.execute(self._begin)
        try:
            for work in batch:
                work.run(connection)
            connection.execute("commit")
        except BaseException:
            if connection.in_transaction:
                connection.execute("rollback")
            raise

    def _sync(self) -> Exception | None:
        # What "full" does, but after the lock is free. SQLite keeps no lock on the log, so opening it drops none; and
        # it starts the log anew only after what was in it is on disk elsewhere.
        try:
            if self._log < 0:
                self._log = os.open(self._file.log, os.O_RDONLY | os.O_CLOEXEC)
            os.fdatasync(self._log)
        except OSError as error:
            return self._file.explain(apsw.IOError(f"cannot write the log to disk: {error}"))
        return None

    def _ready(self) -> apsw.Connection:
        if self._connection is not None:
            if self._file.identity() == self._identity:
                return self._connection
            self._disconnect()  # somebody moved or deleted the file: what is written to the old one would be lost
        self._connection = self._file.open()
        self._identity = self._file.identity()
        self._full = False
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._log >= 0:
            os.close(self._log)
            self._log = -1


_alive: Final[weakref.WeakSet[Lane]] = weakref.WeakSet()


def _abandon_all() -> None:
    for lane in list(_alive):
        lane.abandon()


os.register_at_fork(after_in_child=_abandon_all)


class SqliteEngine:
    """Steps on one file. Opens nothing before the first step; safe between threads, event loops and forks."""

    def __init__(self, file: File) -> None:
        self.file = file
        self._lanes: dict[int, tuple[Lane, Lane]] = {}

    def call(
        self,
        step: Callable[[Connection], T],
        *,
        durable: Durability = Durability.SEEN,
        after: Callable[[T], None] | None = None,
    ) -> T:
        """Run a writing *step* on this thread; answers when it is committed, and on disk if *durable* says so."""
        return self._writer().call(Work(step, durable, after))

    def submit(
        self,
        step: Callable[[Connection], T],
        *,
        durable: Durability = Durability.SEEN,
        after: Callable[[T], None] | None = None,
    ) -> asyncio.Future[T]:
        """Run a writing *step* on the file's own thread. Cancelling the future does not stop the step."""
        work = Work(step, durable, after)
        future = work.future()
        self._writer().submit(work)
        return future

    def read(self, step: Callable[[Connection], T]) -> T:
        """Run a reading *step* on this thread; waits for no writer."""
        return self._reader().call(Work(step, Durability.NONE))

    def submit_read(self, step: Callable[[Connection], T]) -> asyncio.Future[T]:
        """Run a reading *step* on a thread of the file."""
        work = Work(step, Durability.NONE)
        future = work.future()
        self._reader().submit(work)
        return future

    def close(self) -> None:
        """Close the connections of this process; the next step opens them again."""
        for lane in self._lanes.get(os.getpid(), ()):
            lane.close()

    def _writer(self) -> Lane:
        return self._ours()[0]

    def _reader(self) -> Lane:
        return self._ours()[1]

    def _ours(self) -> tuple[Lane, Lane]:
        lanes = self._lanes.get(os.getpid())
        if lanes is not None:
            return lanes
        # No lock here: a fork copies a lock that another thread holds. setdefault lets exactly one pair win.
        return self._lanes.setdefault(os.getpid(), (Lane(self.file, "begin immediate"), Lane(self.file, "begin")))
