"""A SQL database through SQLAlchemy: transactions that are repeated while it is away, and errors in Umbel's words."""

from __future__ import annotations

import os
import re
import time
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from umbel.engines import sql_table
from umbel.engines.address import masked
from umbel.engines.patience import ONE_TRY, Patience
from umbel.engines.statements import statements
from umbel.engines.unfit import Unfit
from umbel.exceptions import BackendError, BrokerUnavailable, ImproperlyConfigured
from umbel.exceptions import OperationalError as UmbelOperationalError
from umbel.model import chance
from umbel.settings.database import RESULTS, SCHEMAS

if TYPE_CHECKING:
    from umbel.settings import Settings

T = TypeVar("T")
Connection: TypeAlias = sa.Connection

CONNECTIONS: Final = 8
RECYCLE_SECONDS: Final = 1800
_SAID: Final = statements("umbel.engines", "sql_lines.sql")
_CREATION_TRIES: Final = 5
_CREATION_PAUSE_SECONDS: Final = 0.1

# Drivers that Umbel is tested with, where the URL names none.
_DRIVERS: Final = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "mariadb": "mariadb+pymysql"}
_PACKAGES: Final = {
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "pymysql": "PyMySQL",
    "MySQLdb": "mysqlclient",
}

# SQLSTATEs of PostgreSQL and numbers of MySQL are told apart by their length; names are SQLite's.
_PASSING: Final = re.compile(r"(08|40|53|55P|57)...|10(40|53)|12(05|13)|192\d|20\d\d|4031|SQLITE_(BUSY|LOCKED).*")
_CURABLE: Final = re.compile(
    r"(28|3D|3F)...|42501|10(44|45|49)|1142|1698|SQLITE_(CANTOPEN|READONLY|NOTADB|PERM|AUTH).*"
)
# While it connects, psycopg tells no code.
_CURABLE_WORDS: Final = re.compile(
    r"authentication failed|does not exist|no pg_hba.conf entry|not permitted|no password"
    r"|does not support SSL|certificate verify failed"
)


_NO_SCHEMA: Final = frozenset({"3F000", "1049", "1044", "1142"})
"""There is none of that name, or in MySQL, where it is a database, its user may not use it."""


class Layout(NamedTuple):
    """How the tables of results are called, and the schema of all tables; empty: what is the user's default."""

    name: str = sql_table.NAME
    schema: str = ""

    @staticmethod
    def of(settings: Settings) -> Layout:
        """What *settings* say."""
        names, schemas = settings.database_table_names, settings.database_table_schemas
        return Layout(names.get(RESULTS, sql_table.NAME), schemas.get(RESULTS, ""))


USUAL: Final = Layout()


class SqlEngine:
    """The database at *url*, ``db+`` and then a URL of SQLAlchemy; *setting* names where it comes from.

    *deadline* is how many seconds a transaction is tried. *ensure* makes the tables and answers their version; *layout*
    is how those of results are called, and the schema of all. Raises `ImproperlyConfigured`; connects at the first use.
    """

    def __init__(
        self,
        url: str,
        setting: str,
        deadline: float,
        connect_timeout: float,
        ensure: Callable[[Connection], int] = sql_table.ensure,
        layout: Layout = USUAL,
    ) -> None:
        self._make = ensure
        self.name = masked(url)
        self._deadline = deadline
        self._pools: dict[int, sa.Pool] = {}
        self._ready = False
        address = _address(url, setting)
        self._layout = layout
        if layout.schema and address.get_backend_name() == "sqlite":
            raise ImproperlyConfigured(f"{SCHEMAS}: a SQLite file has no schemas: leave it out for {self.name}")
        self.file = Path(address.database or "") if address.get_backend_name() == "sqlite" else None
        """Where it is, if the database is a file."""
        self._create = partial(
            sa.create_engine,
            address,
            connect_args=_arguments(address, deadline, connect_timeout),
            execution_options=sql_table.options(*layout),
            hide_parameters=True,
            pool_recycle=RECYCLE_SECONDS,
            pool_reset_on_return=None,  # each transaction ends itself
            **_pool(address, deadline),
        )
        try:
            self._open()
        except (ModuleNotFoundError, NoSuchModuleError) as error:
            raise ImproperlyConfigured(f"{setting}: {self.name} needs a driver: {_cure(error)}") from error
        # A step that was cancelled may run on in its thread, and open a connection after `close`.
        weakref.finalize(self, _dispose, self._pools).atexit = False

    @property
    def is_swift(self) -> bool:
        """Whether statements can travel straight through libpq: see `umbel.engines.sql_swift`."""
        return self._engine.dialect.driver == "psycopg"

    def run(self, step: Callable[[Connection], T], *, bare: bool = False) -> T:
        """Carry out *step* in one transaction, again if the connection is lost or another transaction is in the way.

        *bare*: what it does is a transaction by itself.

        Raises `BrokerUnavailable` after the deadline, `BackendError` for what the database refuses.
        """
        self._own()
        patience = Patience(self.name, self._deadline)
        while True:
            engine = self._engine
            try:
                self._ensure(engine)
                with self._connect(engine) as connection, nullcontext() if bare else connection.begin():
                    return step(connection)
            except (DBAPIError, PoolTimeout) as error:
                problem = self._explain(error)
                if not isinstance(problem, BrokerUnavailable):
                    raise problem from error
                pause = patience.pause(problem)
            finally:
                if engine is not self._engine:  # closed meanwhile: what was just given back is open yet
                    engine.pool.dispose()
            time.sleep(pause)

    def close(self) -> None:
        """Close the connections that are idle; those at work are closed when they are given back."""
        self._own()
        closed = self._engine
        self._open()  # before that: see `run`
        closed.pool.dispose()

    def _open(self) -> None:
        """Have an engine of SQLAlchemy; it connects at its first use, and who uses it holds on to it."""
        self._engine = self._create()
        if self._engine.dialect.driver == "psycopg":
            from umbel.engines import sql_lines  # who has no PostgreSQL has no psycopg

            sql_lines.limit(self._engine, max(1.0, ONE_TRY * self._deadline))
        self._pools[os.getpid()] = self._engine.pool

    def _own(self) -> None:
        if os.getpid() not in self._pools:
            self._open()  # the connections are the parent's, and never ended here

    def _ensure(self, engine: sa.Engine) -> None:
        """Make the tables, once; several processes may do it at the same instant."""
        for left in reversed(range(_CREATION_TRIES)):
            if self._ready:
                return
            try:
                with self._connect(engine) as connection, connection.begin():
                    version = self._make(connection)
            except DBAPIError as error:
                if left == 0 or isinstance(self._explain(error), (BrokerUnavailable, Unfit)):
                    raise
                time.sleep(chance.random() * _CREATION_PAUSE_SECONDS)
            else:
                self._refuse_newer(version)
                self._ready = True

    def _connect(self, engine: sa.Engine) -> Connection:
        try:
            return engine.connect()
        except TypeError as error:  # so do drivers say that they do not know an argument
            raise Unfit(f"{self.name}: an option of the URL is wrong: {error}") from error

    def _refuse_newer(self, version: int) -> None:
        if version > sql_table.VERSION:
            raise Unfit(
                f"{self.name}: table {self._layout.name} was made by a newer Umbel (it has version {version}, "
                f"this one knows {sql_table.VERSION}): install that version here too"
            )

    def _explain(self, error: DBAPIError | PoolTimeout) -> UmbelOperationalError:
        """The error of Umbel that says what *error* means."""
        if isinstance(error, PoolTimeout):
            return BrokerUnavailable("no connection was free")
        code, reason = _code(error.orig), _reason(error.orig)
        if self._layout.schema and code in _NO_SCHEMA:
            return Unfit(f"{self.name}: {reason}: create {self._layout.schema}, or correct {SCHEMAS}")
        if _CURABLE.fullmatch(code) or (not code and _CURABLE_WORDS.search(reason)):
            return Unfit(f"{self.name}: {reason}: correct the URL or the rights of its user")
        if (
            error.connection_invalidated
            or _PASSING.fullmatch(code)
            or (not code and isinstance(error, OperationalError))
        ):
            return BrokerUnavailable(reason)
        return BackendError(f"{self.name}: {reason}")


def _dispose(pools: dict[int, sa.Pool]) -> None:
    """Nobody has the engine of *pools*, by process, any more."""
    if os.getpid() in pools:
        pools[os.getpid()].dispose()


def _address(url: str, setting: str) -> sa.URL:
    try:
        address = sa.make_url(url.removeprefix("db+"))
    except (ArgumentError, ValueError) as error:
        raise ImproperlyConfigured(f"{setting}: {masked(url)} is no URL of a database") from error
    if address.get_backend_name() == "sqlite":
        return _file(address, setting)
    if not address.database:
        raise ImproperlyConfigured(f"{setting}: {masked(url)} names no database: add its name, as in …/results")
    return address.set(drivername=_DRIVERS.get(address.drivername, address.drivername))


def _file(address: sa.URL, setting: str) -> sa.URL:
    name = address.database
    if not name or name == ":memory:":
        raise ImproperlyConfigured(f"{setting}: name a file, as in db+sqlite:///results.db")
    return address.set(database=str(Path(name).absolute()))


def _pool(address: sa.URL, deadline: float) -> dict[str, Any]:
    limits: dict[str, Any] = {"pool_size": CONNECTIONS, "max_overflow": 0, "pool_timeout": deadline}
    # On SQLite writers wait for each other whatever the level is called.
    return limits if address.get_backend_name() == "sqlite" else {**limits, "isolation_level": "READ COMMITTED"}


def _arguments(address: sa.URL, deadline: float, connect_timeout: float) -> dict[str, Any]:
    """What the driver needs in order to keep the deadline."""
    seconds = max(1, round(connect_timeout))
    lines = {"connect_timeout": seconds, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
    lines["tcp_user_timeout"] = round(1000 * max(1.0, deadline))
    match address.drivername:
        case "postgresql+psycopg":
            return {**lines, "prepare_threshold": None}  # a pooler may give each transaction another connection
        case "postgresql+psycopg2":
            return lines
        case "mysql+pymysql" | "mariadb+pymysql" | "mysql+mysqldb" | "mariadb+mysqldb":
            each = max(1, round(ONE_TRY * deadline))
            setting = _SAID["mysql"].format(seconds=each)
            return {"connect_timeout": seconds, "read_timeout": each, "write_timeout": each, "init_command": setting}
        case "sqlite" | "sqlite+pysqlite":
            return {"timeout": deadline}
        case _:
            return {}


def _code(error: BaseException | None) -> str:
    """What the driver calls the error: SQLSTATE, number or name; empty if it does not say."""
    first = error.args[0] if error is not None and error.args else None
    if isinstance(first, int):
        return str(first)
    codes = (getattr(error, name, None) for name in ("sqlstate", "pgcode", "sqlite_errorname"))
    return next((str(code) for code in codes if code), "")


def _reason(error: BaseException | None) -> str:
    if error is None:
        return "unknown error"
    text = str(error.args[-1]) if error.args else type(error).__name__
    return text.strip().partition("\n")[0]


def _cure(error: ImportError | NoSuchModuleError) -> str:
    name = getattr(error, "name", None)
    return f"pip install '{_PACKAGES.get(name, name)}'" if name else str(error)
