"""Claims in a SQL database, through SQLAlchemy: PostgreSQL, MariaDB, MySQL, or a SQLite file."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from umbel.claims.sql.store import SqlClaims
from umbel.engines import sql_migrating
from umbel.engines.postgres_address import for_toolkit
from umbel.engines.sql import Layout, SqlEngine
from umbel.engines.sql_file import refuse_file

if TYPE_CHECKING:
    from umbel.settings import Settings

__all__ = ["SqlClaims", "connect", "connect_beside"]

_SETTING: Final = "result_backend"


def connect(url: str, settings: Settings, clock: Callable[[], float] | None = None) -> SqlClaims:
    """The claims at *url*, ``db+postgresql://…`` and so on. Opens nothing yet. Raises `ImproperlyConfigured`."""
    timeout = settings.broker_connection_timeout
    engine = SqlEngine(url, _SETTING, settings.broker_send_deadline, timeout, sql_migrating.ensure, Layout.of(settings))
    if engine.file is not None:
        refuse_file(engine.file, _SETTING, settings)
    return SqlClaims(engine, settings.broker_send_deadline, clock)


def connect_beside(url: str, settings: Settings) -> SqlClaims:
    """The claims in the database of the result store at *url*, ``postgresql://…``, which has tables of its own."""
    return connect(f"db+{for_toolkit(url)}", settings)
