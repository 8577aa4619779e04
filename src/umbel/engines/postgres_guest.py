"""Commands in a transaction of the user's own: on a connection of psycopg or asyncpg, of SQLAlchemy or of Django.

The statements become part of that transaction; nothing is committed, repeated or translated here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, TypeGuard

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from umbel.engines.postgres_command import Command, Query, Rows
from umbel.engines.postgres_values import Blobs, BlobsDumper
from umbel.exceptions import ImproperlyConfigured

_TEXT: Final = re.compile(r"(\$\d+)::(?!bytea)")
_WELCOME: Final = "a connection of psycopg 3, or over it a Connection or Session of SQLAlchemy, or Django's connection"
_AWELCOME: Final = (
    "an asynchronous connection of psycopg 3 or asyncpg, or an AsyncConnection or AsyncSession of SQLAlchemy over them"
)


def run_in(connection: object, command: Command) -> list[Rows]:
    """Carry out *command* in the open transaction of *connection*, on this thread.

    Raises `ImproperlyConfigured` if it is none that is understood, or has no transaction.
    """
    driver = _driver(connection)
    if not _is_psycopg(driver):
        raise _stranger(connection, _WELCOME)
    return _run_psycopg(driver, command)


async def arun_in(connection: object, command: Command) -> list[Rows]:
    """The async twin of `run_in`."""
    driver = await _adriver(connection)
    if _is_async_psycopg(driver):
        return await _arun_psycopg(driver, command)
    if _is_asyncpg(driver):
        return await _arun_asyncpg(driver, command)
    raise _stranger(connection, _AWELCOME)


def _run_psycopg(driver: psycopg.Connection[Any], command: Command) -> list[Rows]:
    _require(driver.info.transaction_status, autocommit=driver.autocommit)
    replies: list[Rows] = []
    for query in command:
        with psycopg.RawCursor(driver, row_factory=tuple_row) as cursor:
            cursor.adapters.register_dumper(Blobs, BlobsDumper)
            cursor.execute(query.statement, query.values, binary=True)
            replies.append(cursor.fetchall() if cursor.description else [])
    return replies


async def _arun_psycopg(connection: psycopg.AsyncConnection[Any], command: Command) -> list[Rows]:
    _require(connection.info.transaction_status, autocommit=connection.autocommit)
    replies: list[Rows] = []
    for query in command:
        async with psycopg.AsyncRawCursor(connection, row_factory=tuple_row) as cursor:
            cursor.adapters.register_dumper(Blobs, BlobsDumper)
            await cursor.execute(query.statement, query.values, binary=True)
            replies.append(await cursor.fetchall() if cursor.description else [])
    return replies


async def _arun_asyncpg(connection: Any, command: Command) -> list[Rows]:
    if not connection.is_in_transaction():
        raise _no_transaction()
    return [[tuple(row) for row in await connection.fetch(_spelt(query), *_plain(query.values))] for query in command]


def _is_psycopg(connection: object) -> TypeGuard[psycopg.Connection[Any]]:
    return isinstance(connection, psycopg.Connection)


def _is_async_psycopg(connection: object) -> TypeGuard[psycopg.AsyncConnection[Any]]:
    return isinstance(connection, psycopg.AsyncConnection)


def _is_asyncpg(connection: object) -> bool:
    return type(connection).__module__.partition(".")[0] == "asyncpg"


def _is_sqlalchemy(connection: object) -> bool:
    # A session of the user's own class is one by what it can do.
    return type(connection).__module__.partition(".")[0] == "sqlalchemy" or hasattr(connection, "get_bind")


def _is_django(connection: object) -> bool:
    # `django.db.connection` is a proxy that tells nothing of its type.
    return hasattr(connection, "in_atomic_block") and hasattr(connection, "ensure_connection")


def _driver(connection: Any) -> object:
    """What is below SQLAlchemy's connection or session, or below Django's, or *connection* itself."""
    if _is_django(connection):
        connection.ensure_connection()
        return connection.connection
    if not _is_sqlalchemy(connection) or hasattr(connection, "run_sync"):
        return connection
    if callable(connection.connection):  # a session makes its connection when it is asked for it
        connection = connection.connection()
    if not connection.in_transaction():  # it does not see what we do below, so its commit would do nothing
        connection.begin()
    return connection.connection.driver_connection


async def _adriver(connection: Any) -> object:
    """The async twin of `_driver`."""
    if not _is_sqlalchemy(connection) or not hasattr(connection, "run_sync"):
        return connection
    if not hasattr(connection, "get_raw_connection"):
        connection = await connection.connection()
    if not connection.in_transaction():
        await connection.begin()
    driver = (await connection.get_raw_connection()).driver_connection
    if _is_asyncpg(driver) and not driver.is_in_transaction():
        await connection.exec_driver_sql("select")  # over asyncpg it opens the transaction with its first statement
    return driver


def _require(status: TransactionStatus, *, autocommit: bool) -> None:
    # Without autocommit psycopg opens the transaction by itself, with the first statement.
    if autocommit and status is TransactionStatus.IDLE:
        raise _no_transaction()


def _stranger(connection: object, welcome: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"no transaction of {type(connection).__qualname__} is understood here: give {welcome}")


def _no_transaction() -> ImproperlyConfigured:
    return ImproperlyConfigured("the connection has no open transaction: jobs sent on it would not wait for a commit")


def _spelt(query: Query) -> str:
    # asyncpg asks the server for the type of each value; ours travel as text.
    return _TEXT.sub(r"\1::text::", query.statement.decode())


def _plain(values: Sequence[object]) -> list[object]:
    return [list(value) if isinstance(value, Blobs) else value for value in values]
