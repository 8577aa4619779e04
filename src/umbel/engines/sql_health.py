"""What the settings of a SQL server mean for results, asked through SQLAlchemy's Core. The judging is pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from umbel.model.finding import Finding, clock

_POSTGRES: Final[Mapping[str, sa.ColumnElement[Any]]] = {
    "now": sa.extract("epoch", sa.func.clock_timestamp()),
    "fsync": sa.func.current_setting("fsync"),
    "synchronous_commit": sa.func.current_setting("synchronous_commit"),
}
_MYSQL: Final[Mapping[str, sa.ColumnElement[Any]]] = {
    "now": sa.func.unix_timestamp(sa.func.now(6)),
    "innodb_flush_log_at_trx_commit": sa.literal_column("@@innodb_flush_log_at_trx_commit"),
    "default_storage_engine": sa.literal_column("@@default_storage_engine"),
}
_QUESTIONS: Final = {"postgresql": _POSTGRES, "mysql": _MYSQL, "mariadb": _MYSQL}
_SAFE: Final = {
    "fsync": ("on",),
    "synchronous_commit": ("on", "remote_write", "remote_apply"),
    "innodb_flush_log_at_trx_commit": ("1",),
}
"""The values with which a result is on disk when it is acknowledged."""


class State(NamedTuple):
    """What a database tells of itself; *told* are its clock, in unix seconds, and settings as text."""

    dialect: str
    version: str
    told: Mapping[str, str]


def look(connection: sa.Connection) -> State:
    """Ask the database."""
    dialect = connection.dialect
    version = ".".join(map(str, dialect.server_version_info or ()))
    name = "mariadb" if getattr(dialect, "is_mariadb", False) else dialect.name
    questions = _QUESTIONS.get(name, {})
    row = connection.execute(sa.select(*questions.values())).one() if questions else ()
    return State(name, version, dict(zip(questions, map(str, row), strict=True)))


def findings(state: State, now: float) -> list[Finding]:
    """What *state*, seen at *now* by this host's clock, means."""
    unsafe = [
        f"{name} is {state.told[name]}" for name, safe in _SAFE.items() if state.told.get(name, safe[0]) not in safe
    ]
    advice = f"{' and '.join(unsafe)}: a power failure loses results that were acknowledged" if unsafe else ""
    found = [Finding("version", f"{state.dialect} {state.version}".strip()), _durability(unsafe, advice)]
    engine = state.told.get("default_storage_engine", "InnoDB")
    if engine != "InnoDB":
        cure = f"tables are made by {engine}, which has no transactions: set default_storage_engine to InnoDB"
        found.append(Finding("tables", engine, cure, broken=True))
    return found + ([clock(float(state.told["now"]) - now)] if "now" in state.told else [])


def _durability(unsafe: list[str], advice: str) -> Finding:
    return Finding("durability", ", ".join(unsafe) if unsafe else "disk", advice)
