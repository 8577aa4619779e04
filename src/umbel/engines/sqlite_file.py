"""A SQLite file: where it is, whether it may be used, how a connection to it is opened, what its errors mean."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import unquote

import apsw

from umbel.engines.address import masked
from umbel.exceptions import BrokerError, BrokerFull, BrokerUnavailable, ImproperlyConfigured, OperationalError

APPLICATION_ID: Final = 0x554D424C  # "UMBL", in the header of each file that Umbel made
SCHEMA_VERSION: Final = 9
"""The number of the last change of the tables, see the files of ``sqlite_schema``."""
CHECKPOINT_PAGES: Final = 4000
"""16 MiB of log between checkpoints: a page that changes again before one is written once; 25 % faster than 1000."""
CACHE_KIBIBYTES: Final = 4096
LONG_WAIT_SECONDS: Final = 0.02
LOG_BYTES_KEPT: Final = 64 * 1024 * 1024
STATEMENTS_KEPT: Final = 200
_PREFIX: Final = "sqlite:///"

NETWORK_FILE_SYSTEMS: Final = {
    0x6969: "NFS",
    0x517B: "SMB",
    0xFE534D42: "SMB2",
    0xFF534D42: "CIFS",
    0x65735546: "FUSE (sshfs, s3fs, shared folders of virtual machines)",
    0x01021997: "9P (shared folders of virtual machines)",
    0x5346414F: "AFS",
    0x6B414653: "AFS",
    0x73757245: "Coda",
    0x00C36400: "Ceph",
    0x0BD00BD0: "Lustre",
    0x47504653: "GPFS",
    0x786F4256: "VirtualBox shared folder",
    0xBACBACBC: "VMware shared folder",
}
"""Magic numbers of statfs(2) to names: on these, locks or shared memory are not what SQLite's log needs."""


class Cursor(Protocol):
    """What a statement answered, row by row."""

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """The rows."""
        ...

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row, or None."""
        ...

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows that are left."""
        ...


class Connection(Protocol):
    """What a step sees of a connection."""

    def execute(self, statements: str, bindings: Sequence[Any] | None = None, /) -> Cursor:
        """Run one statement."""
        ...

    def executemany(self, statements: str, sequenceofbindings: Iterable[Sequence[Any]], /) -> Cursor:
        """Run one statement for each of the bindings, which are asked for one after the other."""
        ...


class File:
    """One database file. *setting* is the name of the setting that its URL came from, for the messages of errors.

    *refused* is the error for what trying again will not help. Raises `ImproperlyConfigured` when the URL names no file
    or when the SQLite at hand would damage one.
    """

    def __init__(self, url: str, setting: str, deadline: float, refused: type[OperationalError] = BrokerError) -> None:
        check_version(apsw.sqlite_lib_version())
        self.path = path_of(url, setting)
        self.folder = Path(f"{self.path}.d")
        self.log = Path(f"{self.path}-wal")
        self.setting = setting
        self._deadline = deadline
        self._refused = refused

    def open(self) -> apsw.Connection:
        """A new connection, ready for use; makes the file and its folder when they are missing."""
        self._check_place()
        try:
            return self._open()
        except (apsw.Error, OSError) as error:
            raise self.explain(error) from error

    def identity(self) -> tuple[int, int]:
        """Which file the path names at the moment; zeros when there is none."""
        # stat only: opening and closing the file here would drop SQLite's own locks on it (POSIX locks are like that).
        try:
            found = self.path.stat()
        except OSError:
            return 0, 0
        return found.st_dev, found.st_ino

    def explain(self, error: Exception) -> OperationalError | ImproperlyConfigured:
        """The error of Umbel that says what *error* of SQLite or of the system means for this file."""
        match error:
            case apsw.BusyError() | apsw.LockedError():
                return BrokerUnavailable(f"{self.path} was locked by another process for {self._deadline:g} s")
            case apsw.FullError():
                return BrokerFull(f"no space is left for {self.path}: nothing was lost, make room and try again")
            case apsw.CorruptError() | apsw.NotADBError():
                return self._refused(
                    f"{self.path} is damaged or no SQLite file ({error}): stop all workers, keep a copy of it and of "
                    f"{self.log}, then restore a backup, move it away to start empty, or save what can be read "
                    "with the .recover command of a current sqlite3 shell"
                )
            case apsw.CantOpenError() | apsw.ReadOnlyError() | apsw.PermissionsError() | OSError():
                return ImproperlyConfigured(
                    f"{self.setting}: cannot write {self.path} in the folder {self.path.parent} ({error}): "
                    "make the folder writable for this user, or name a file in another folder"
                )
            case _:
                return self._refused(f"{self.path}: {error}")

    def _check_place(self) -> None:
        parent = self.path.parent
        if not parent.is_dir():
            raise ImproperlyConfigured(
                f"{self.setting}: there is no folder {parent} for {self.path.name}: make it, or name a file elsewhere"
            )
        refuse_network(file_system(parent), parent, self.setting)

    def _open(self) -> apsw.Connection:
        self.folder.mkdir(exist_ok=True)
        connection = apsw.Connection(str(self.path), statementcachesize=STATEMENTS_KEPT)
        connection.set_busy_handler(Patience(self._deadline))
        try:
            prepare(connection)
            self._ensure_schema(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _ensure_schema(self, connection: apsw.Connection) -> None:
        if self._is_current(connection):
            return
        connection.execute("begin immediate")
        try:
            if not self._is_current(connection):
                self._refuse_foreign(connection)
                ours = connection.pragma("application_id") == APPLICATION_ID
                for change in _changes()[connection.pragma("user_version") if ours else 0 :]:
                    connection.execute(change)
                connection.pragma("application_id", APPLICATION_ID)
                connection.pragma("user_version", SCHEMA_VERSION)
        except BaseException:
            connection.execute("rollback")
            raise
        connection.execute("commit")

    def _is_current(self, connection: apsw.Connection) -> bool:
        ours = connection.pragma("application_id") == APPLICATION_ID
        version = connection.pragma("user_version")
        if ours and version > SCHEMA_VERSION:
            raise ImproperlyConfigured(
                f"{self.setting}: {self.path} was made by a newer Umbel (its tables have version {version}, this one "
                f"knows {SCHEMA_VERSION}): install that version here too"
            )
        return bool(ours and version == SCHEMA_VERSION)

    def _refuse_foreign(self, connection: apsw.Connection) -> None:
        if connection.pragma("schema_version") and connection.pragma("application_id") != APPLICATION_ID:
            raise ImproperlyConfigured(
                f"{self.setting}: {self.path} is the database of another program: name a file of its own"
            )


class Patience:
    """SQLite's busy handler: looks again soon, and gives up after *deadline* seconds.

    Whoever waited for long looks more often, so that a newcomer does not overtake it for ever; SQLite's own handler
    does the opposite.
    """

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._since = 0.0

    def __call__(self, tries: int) -> bool:
        """Wait a moment; False when the deadline has passed."""
        now = time.monotonic()
        if tries == 0:
            self._since = now
        waited = now - self._since
        time.sleep(0.0002 if waited < LONG_WAIT_SECONDS else 0.00005)
        return waited < self._deadline


def path_of(url: str, setting: str) -> Path:
    """The absolute path in ``sqlite:///relative.db`` or ``sqlite:////absolute.db``."""
    name = unquote(url.removeprefix(_PREFIX))
    if (
        not url.startswith(_PREFIX)
        or not name
        or "?" in url
        or name.endswith("/")
        or "\0" in name
        or name == ":memory:"
    ):
        raise ImproperlyConfigured(
            f"{setting}: {masked(url)!r} names no file: write sqlite:///relative/path.db or sqlite:////absolute.db "
            "(for a queue in memory: memory://)"
        )
    # Absolute from now on: a process that changes its folder later must not start a second file.
    return Path(os.path.abspath(name))  # noqa: PTH100 - resolve() would follow links to files that are not there yet


def check_version(version: str) -> None:
    """Refuse a SQLite with the WAL-reset bug, which can damage a file that several processes write.

    Source: sqlite.org/wal.html#walresetbug; mended in 3.51.3, and in 3.50.7 and 3.44.6.
    """
    number = tuple(int(part) for part in version.split("."))
    if number >= (3, 51, 3) or (3, 50, 7) <= number < (3, 51) or (3, 44, 6) <= number < (3, 45):
        return
    raise ImproperlyConfigured(
        f"this apsw carries SQLite {version}, which can damage a file that several processes write: "
        "pip install --upgrade 'apsw>=3.51.3'"
    )


def file_system(folder: Path) -> int:
    """The magic number of the file system that holds *folder*, as statfs(2) tells it; 0 where it cannot be told."""
    if sys.platform != "linux":
        return 0
    answer = ctypes.create_string_buffer(512)
    if ctypes.CDLL(None, use_errno=True).statfs(os.fsencode(folder), answer) != 0:
        return 0
    return int.from_bytes(answer.raw[: ctypes.sizeof(ctypes.c_long)], sys.byteorder) & 0xFFFFFFFF


def refuse_network(magic: int, folder: Path, setting: str) -> None:
    """Raise `ImproperlyConfigured` when *magic* belongs to a file system that is shared over a network."""
    name = NETWORK_FILE_SYSTEMS.get(magic)
    if name is not None:
        raise ImproperlyConfigured(
            f"{setting}: the folder {folder} is on {name}, where processes cannot share a SQLite file safely: "
            "name a file on a local disk, or use Redis"
        )


def _changes() -> list[str]:
    """The statements of each change of the tables, in their order; the place of a change is the version before it."""
    folder = files("umbel.engines").joinpath("sqlite_schema")
    found = sorted(change.name for change in folder.iterdir() if change.name.endswith(".sql"))
    return [folder.joinpath(name).read_text(encoding="utf-8") for name in found]


def prepare(connection: apsw.Connection) -> None:
    """Set up a new *connection*: a log, and caches of our size."""
    _again_while_busy(lambda: connection.pragma("journal_mode", "wal"))
    connection.pragma("synchronous", "normal")
    connection.pragma("mmap_size", 0)
    connection.pragma("cache_size", -CACHE_KIBIBYTES)
    connection.pragma("journal_size_limit", LOG_BYTES_KEPT)
    connection.pragma("temp_store", "memory")
    connection.pragma("trusted_schema", 0)
    connection.wal_autocheckpoint(CHECKPOINT_PAGES)


def _again_while_busy(step: Callable[[], object], deadline: float = 5.0) -> None:
    # SQLite asks no busy handler when several processes switch a new file to WAL at the same instant.
    end = time.monotonic() + deadline
    while True:
        try:
            step()
        except apsw.BusyError:
            if time.monotonic() > end:
                raise
            time.sleep(0.005)
        else:
            return
