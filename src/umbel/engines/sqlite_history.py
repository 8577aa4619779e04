"""The history in a SQLite file of its own: one writer at a time, readers that never wait for it."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw
import msgspec

from umbel.engines.sqlite_file import Connection, Patience, check_version, file_system, path_of, prepare, refuse_network
from umbel.engines.statements import statements
from umbel.exceptions import (
    HistoryError,
    HistoryFull,
    HistorySlow,
    HistoryUnavailable,
    ImproperlyConfigured,
    OperationalError,
)

T = TypeVar("T")

APPLICATION_ID: Final = 0x554D4248  # "UMBH", in the header of each file of this kind
BUSY_SECONDS: Final = 10.0
CACHE_KIBIBYTES: Final = 65_536
"""Of the writer: the index of arguments is written all over."""
READER_KIBIBYTES: Final = 8_192
"""Of each reader, of which a dashboard has several; the rest is in the cache of the operating system."""
MAX_IDLE: Final = 4
"""How many readers are kept for the next one who asks."""
INSTRUCTIONS: Final = 2_000
"""After how many steps of SQLite's machine a read looks at the clock."""
_NUMBERED: Final = re.compile(r"\$(\d+)")


class SqliteTransaction:
    """Statements on one connection, see `umbel.contracts.history.Transaction`."""

    def __init__(self, connection: Connection, texts: dict[str, str]) -> None:
        self._connection = connection
        self._texts = texts

    @property
    def hints(self) -> bool:
        """Without statistics SQLite takes any index that fits."""
        return True

    def rows(self, name: str, *values: object) -> list[tuple[Any, ...]]:
        """What the statement *name* answers."""
        return self._connection.execute(self._texts[name], values).fetchall()

    def among(self, name: str, wanted: Sequence[str] | Sequence[int], *values: object) -> list[tuple[Any, ...]]:
        """The same, with the set *wanted* first, as JSON."""
        return self.rows(name, self.bound(list(wanted)), *values)

    def many(self, name: str, rows: Sequence[Sequence[object]]) -> None:
        """The statement once for each row."""
        if rows:
            self._connection.executemany(self._texts[name], rows)

    def text(self, name: str) -> str:
        """The text of *name*."""
        return self._texts[name]

    def bound(self, value: object) -> object:
        """A set is JSON."""
        return msgspec.json.encode(value).decode() if isinstance(value, list) else value

    def ask(self, text: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        """What a composed statement answers."""
        return self._connection.execute(text, tuple(values)).fetchall()

    def asks(self, asked: Sequence[tuple[str, Sequence[object]]]) -> list[list[tuple[Any, ...]]]:
        """What composed statements answer."""
        return [self.ask(text, values) for text, values in asked]


class SqliteArchive:
    """The history in the file of *url*; *package* has its changes in ``sqlite_schema``, its statements in ``sql``."""

    def __init__(self, url: str, setting: str, package: str) -> None:
        check_version(apsw.sqlite_lib_version())
        self.path = path_of(url, setting)
        self._setting = setting
        self._package = package
        self._texts = _texts(package)
        self._lock = threading.Lock()
        self._writer: apsw.Connection | None = None
        self._idle: list[apsw.Connection] = []
        self._pid = os.getpid()
        self._inherited: list[object] = []

    def write(self, step: Callable[[SqliteTransaction], T]) -> T:
        """Run *step* in a transaction of the one writer; waits for other processes."""
        self._after_fork()
        with self._translated(), self._lock:
            if self._writer is None or not self.path.exists():  # a file that was moved away is not written any more
                self._writer = self._open()
            return _transact(self._writer, "begin immediate", lambda: step(self._transaction(self._writer)))

    def read(self, step: Callable[[SqliteTransaction], T], seconds: float) -> T:
        """Run *step* on a connection that cannot write."""
        end = time.monotonic() + seconds
        self._after_fork()
        with self._translated():
            connection = self._taken()
            connection.set_progress_handler(lambda: time.monotonic() > end, INSTRUCTIONS)
            try:
                found = _transact(connection, "begin", lambda: step(self._transaction(connection)))
            except BaseException:
                connection.close()
                raise
            connection.set_progress_handler(None)
            self._give_back(connection)
            return found

    def size(self) -> int:
        """The pages in use, in bytes."""
        with self._translated():
            connection = self._taken()
            used = connection.pragma("page_count") - connection.pragma("freelist_count")
            self._give_back(connection)
            return int(used * connection.pragma("page_size"))

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()
            if self._writer is not None:
                self._writer.close()
                self._writer = None

    def _transaction(self, connection: apsw.Connection | None) -> SqliteTransaction:
        assert connection is not None  # noqa: S101 - for type checkers
        return SqliteTransaction(connection, self._texts)

    def _taken(self) -> apsw.Connection:
        try:
            return self._idle.pop()
        except IndexError:
            pass
        if not self.path.exists():  # a reader makes no file: it may be in the wrong folder
            raise HistoryUnavailable(f"there is no history at {self.path} yet: start `umbel recorder`")
        connection = self._open()
        connection.pragma("query_only", 1)
        connection.pragma("cache_size", -READER_KIBIBYTES)
        return connection

    def _give_back(self, connection: apsw.Connection) -> None:
        if len(self._idle) < MAX_IDLE:
            self._idle.append(connection)
        else:
            connection.close()

    def _open(self) -> apsw.Connection:
        if not self.path.parent.is_dir():
            raise ImproperlyConfigured(
                f"{self._setting}: there is no folder {self.path.parent} for {self.path.name}: make it, "
                "or name a file elsewhere"
            )
        refuse_network(file_system(self.path.parent), self.path.parent, self._setting)
        connection = apsw.Connection(str(self.path))
        try:
            connection.set_busy_handler(Patience(BUSY_SECONDS))
            prepare(connection)
            connection.pragma("cache_size", -CACHE_KIBIBYTES)
            self._migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _migrate(self, connection: apsw.Connection) -> None:
        changes = _changes(self._package)
        if self._version(connection, len(changes)) == len(changes):
            return

        def change() -> None:
            for each in changes[self._version(connection, len(changes)) :]:
                connection.execute(each)
            connection.pragma("application_id", APPLICATION_ID)
            connection.pragma("user_version", len(changes))

        _transact(connection, "begin immediate", change)

    def _version(self, connection: apsw.Connection, known: int) -> int:
        if connection.pragma("application_id") != APPLICATION_ID:
            if connection.pragma("schema_version"):
                raise ImproperlyConfigured(
                    f"{self._setting}: {self.path} is another database: name a file of its own for the history"
                )
            return 0
        version = int(connection.pragma("user_version"))
        if version > known:
            raise ImproperlyConfigured(
                f"{self._setting}: {self.path} was made by a newer Umbel (its tables have version {version}, this one "
                f"knows {known}): install that version here too"
            )
        return version

    def _after_fork(self) -> None:
        if self._pid == os.getpid():
            return
        # Closing what the parent has open would drop its locks: keep it for ever, and use none of it.
        self._inherited += [self._writer, *self._idle]
        self._writer, self._idle, self._pid = None, [], os.getpid()
        self._lock = threading.Lock()  # another thread of the parent may have held it

    @contextmanager
    def _translated(self) -> Generator[None]:
        try:
            yield
        except (apsw.Error, OSError) as error:
            raise _explained(error, self.path, self._setting) from error


def _transact(connection: apsw.Connection, begin: str, step: Callable[[], T]) -> T:
    connection.execute(begin)
    try:
        found = step()
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise
    return found


def _explained(error: Exception, path: Path, setting: str) -> OperationalError | ImproperlyConfigured:
    match error:
        case apsw.InterruptError():
            return HistorySlow("the history took too long to read: ask for less, such as a shorter time")
        case apsw.BusyError() | apsw.LockedError():
            return HistoryUnavailable(f"{path} was locked by another process for {BUSY_SECONDS:g} s")
        case apsw.FullError():
            return HistoryFull(f"no space is left for the history {path}: make room, or lower history_max_bytes")
        case apsw.CorruptError() | apsw.NotADBError():
            return HistoryError(f"the history {path} is damaged ({error}): move it away to start a new one")
        case apsw.CantOpenError() | apsw.ReadOnlyError() | apsw.PermissionsError() | OSError():
            return ImproperlyConfigured(f"{setting}: cannot use {path} ({error}): name a file that can be written")
        case _:
            return HistoryError(f"{path}: {error}")


def _texts(package: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in sorted(files(package).joinpath("sql").iterdir(), key=lambda each: each.name):
        stem, _, dialect = file.name.removesuffix(".sql").partition(".")
        if file.name.endswith(".sql") and dialect in ("", "sqlite"):
            for name, text in statements(package, f"sql/{file.name}").items():
                found[f"{stem}.{name}"] = _NUMBERED.sub(r"?\1", text)
    return found


def _changes(package: str) -> list[str]:
    folder = files(package).joinpath("sqlite_schema")
    return [
        each.read_text(encoding="utf-8")
        for each in sorted(folder.iterdir(), key=lambda each: each.name)
        if each.name.endswith(".sql")
    ]
