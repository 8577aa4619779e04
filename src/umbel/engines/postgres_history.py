"""The history in PostgreSQL, in a schema of its own; one writer at a time among all recorders, by an advisory lock."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, Final, TypeVar

import psycopg

from umbel.engines.postgres_address import Address
from umbel.engines.postgres_arrays import array
from umbel.engines.postgres_connection import leaving
from umbel.engines.postgres_errors import again, lost, missing, plainly
from umbel.engines.postgres_idle import Idle
from umbel.engines.statements import statements
from umbel.exceptions import HistoryError, HistoryFull, HistorySlow, HistoryUnavailable, ImproperlyConfigured

T = TypeVar("T")

LOCK: Final = 0x756D62656C68
"""Whoever writes holds the advisory lock of this number: "umbelh" in ASCII."""
WRITE_SECONDS: Final = 60.0
_FULL: Final = frozenset({"53100", "53200", "53000"})
_TOO_SLOW: Final = "57014"
_TRIES: Final = 5
READ: Final = "session.read"
_READ, _WRITE, _COMMIT = b"begin isolation level repeatable read", b"begin", b"commit"
_COMMENT: Final = re.compile(r"^--.*\n", re.MULTILINE)
_ANSWERS: Final = re.compile(r"select\b|with\b|.*\breturning\b", re.DOTALL)
"""Statements that answer something."""


class PostgresTransaction:
    """Statements on one connection, see `umbel.contracts.history.Transaction`.

    They go through a pipeline: only one that answers something is waited for, and with it those before it. On a busy
    machine each wait costs as much as many statements.
    """

    def __init__(self, line: psycopg.Connection[tuple[Any, ...]], texts: dict[str, str]) -> None:
        self._line = line
        self._texts = texts

    @property
    def hints(self) -> bool:
        """PostgreSQL knows its tables."""
        return False

    def rows(self, name: str, *values: object) -> list[tuple[Any, ...]]:
        """What the statement *name* answers; one that answers nothing is not waited for."""
        text = self._texts[name]
        if _ANSWERS.match(text):
            return self.ask(text, values)
        self.tell(name, *values)
        return []

    def among(self, name: str, wanted: Sequence[str] | Sequence[int], *values: object) -> list[tuple[Any, ...]]:
        """The same, with the set *wanted* first, as an array."""
        return self.rows(name, array(wanted), *values)

    def many(self, name: str, rows: Sequence[Sequence[object]]) -> None:
        """All rows by one statement, which takes a column a value; it is not waited for."""
        if rows:
            self.tell(name, *(array(column) for column in zip(*rows, strict=True)))

    def tell(self, name: str, *values: object) -> None:
        """Carry out the statement *name*; what it answers is not waited for, and what goes wrong is raised later."""
        self._line.execute(self._texts[name].encode(), values)

    def text(self, name: str) -> str:
        """The text of *name*."""
        return self._texts[name]

    def bound(self, value: object) -> object:
        """A set is an array, which a list is already."""
        return value

    def ask(self, text: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        """What a composed statement answers."""
        return self._line.execute(text.encode(), values).fetchall()

    def asks(self, asked: Sequence[tuple[str, Sequence[object]]]) -> list[list[tuple[Any, ...]]]:
        """What composed statements answer, which are on their way before the first is waited for."""
        cursors = [self._line.execute(text.encode(), values) for text, values in asked]
        return [cursor.fetchall() for cursor in cursors]


class PostgresArchive:
    """The history at *address*; *package* has its changes in ``postgres_schema`` and its statements in ``sql``."""

    def __init__(self, address: Address, package: str) -> None:
        self._address = address
        self._name = str(address)
        self._package = package
        self._texts = _texts(package)
        self._lock = threading.Lock()
        self._idle = Idle[psycopg.Connection[tuple[Any, ...]]]()
        self._trusted = False

    def write(self, step: Callable[[PostgresTransaction], T]) -> T:
        """Run *step* while no other recorder writes; tries again after a deadlock or a lost connection."""

        def locked(transaction: PostgresTransaction) -> T:
            transaction.tell("session.lock", LOCK)
            return step(transaction)

        return self._run(locked, WRITE_SECONDS, "session.write")

    def read(self, step: Callable[[PostgresTransaction], T], seconds: float) -> T:
        """Run *step* in a transaction that cannot write."""
        return self._run(step, seconds, READ)

    def size(self) -> int:
        """About what the rows take; what PostgreSQL keeps for later rows does not count."""
        ((found,),) = self.read(lambda transaction: transaction.rows("session.size"), WRITE_SECONDS)
        return int(found)

    def close(self) -> None:
        """Close all connections: those at work when they are given back."""
        self._idle.close()

    def _run(self, step: Callable[[PostgresTransaction], T], seconds: float, begin: str) -> T:
        with self._translated():
            tries, closings = 0, self._idle.closings
            while True:
                line = self._taken()
                try:
                    found = self._transact(line, step, seconds, begin)
                except psycopg.Error as error:
                    tries += 1
                    self._forget(line)
                    if missing(error) and self._trusted:
                        self._trusted = False  # somebody dropped the tables
                    elif not (again(error) or lost(error)) or tries > _TRIES:
                        raise
                except BaseException:
                    self._forget(line)
                    raise
                else:
                    self._idle.give(line, closings)
                    return found

    def _transact(
        self,
        line: psycopg.Connection[tuple[Any, ...]],
        step: Callable[[PostgresTransaction], T],
        seconds: float,
        begin: str,
    ) -> T:
        transaction = PostgresTransaction(line, self._texts)
        failure: BaseException | None = None
        found: list[T] = []
        with leaving(lambda: failure), line.pipeline() as pipeline:
            try:
                # A page is made of several statements: they see one state. What is set is set for this transaction
                # alone: behind a pooler the next one may be another session.
                line.execute(_READ if begin == READ else _WRITE)
                transaction.tell(begin, f"{int(seconds * 1000)}ms")
                found.append(step(transaction))
                line.execute(_COMMIT)
                pipeline.sync()
            except BaseException as error:  # noqa: BLE001 - raised by `leaving`
                line.pgconn.finish()  # or psycopg would wait once more, and log, to leave the pipeline in good order
                failure = error
        return found[0]

    def _taken(self) -> psycopg.Connection[tuple[Any, ...]]:
        idle = self._idle.take()
        if idle is not None:
            return idle
        line = psycopg.Connection.connect(
            self._address.conninfo,
            autocommit=True,
            cursor_factory=psycopg.RawCursor,
            connect_timeout=max(1, round(self._address.connect_timeout)),
        )
        try:
            if line.info.backend_pid != self._backend(line):
                line.prepare_threshold = None  # a pooler, which may know nothing of prepared statements
            if not self._trusted:
                self._migrate(line)
                self._trusted = True
        except BaseException:
            line.close()
            raise
        return line

    def _backend(self, line: psycopg.Connection[tuple[Any, ...]]) -> int:
        ((pid,),) = PostgresTransaction(line, self._texts).rows("session.hello")
        return int(pid)

    def _migrate(self, line: psycopg.Connection[tuple[Any, ...]]) -> None:
        changes = _changes(self._package)
        transaction = PostgresTransaction(line, self._texts)
        with self._lock, line.transaction():
            if transaction.rows("session.there") != [(True,)]:
                transaction.rows("session.lock", LOCK)
                transaction.rows("session.schema")
                transaction.rows("session.migrations")
            transaction.rows("session.place")
            done = {number for (number,) in transaction.rows("session.migrated")}
            if done and max(done) > len(changes):
                raise ImproperlyConfigured(
                    f"the history at {self._name} was made by a newer Umbel (its tables have version {max(done)}, this "
                    f"one knows {len(changes)}): install that version here too"
                )
            if changes.keys() <= done:
                return
            transaction.rows("session.lock", LOCK)
            for number in sorted(changes.keys() - {each for (each,) in transaction.rows("session.migrated")}):
                line.execute(changes[number].encode(), prepare=False)
                transaction.rows("session.migrate", number)

    def _forget(self, line: psycopg.Connection[tuple[Any, ...]]) -> None:
        line.close()
        self._idle.drop()

    @contextmanager
    def _translated(self) -> Generator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise self._explained(error) from error

    def _explained(self, error: psycopg.Error) -> HistoryError:
        if error.sqlstate == _TOO_SLOW:
            return HistorySlow("the history took too long to read: ask for less, such as a shorter time")
        if error.sqlstate in _FULL:
            return HistoryFull(f"no space is left for the history at {self._name}: make room")
        if lost(error):
            return HistoryUnavailable(f"the history at {self._name} cannot be reached: {plainly(error)}")
        return HistoryError(f"the history at {self._name} refused: {plainly(error)}")


def _texts(package: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in files(package).joinpath("sql").iterdir():
        stem, _, dialect = file.name.removesuffix(".sql").partition(".")
        if file.name.endswith(".sql") and dialect in ("", "postgres"):
            for name, text in statements(package, f"sql/{file.name}").items():
                found[f"{stem}.{name}"] = _COMMENT.sub("", text)
    return found


def _changes(package: str) -> dict[int, str]:
    folder = files(package).joinpath("postgres_schema")
    return {
        int(each.name[:4]): each.read_text(encoding="utf-8") for each in folder.iterdir() if each.name.endswith(".sql")
    }
