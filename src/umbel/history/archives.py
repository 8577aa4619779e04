"""Archives by URL: which database keeps the history."""

from __future__ import annotations

from typing import Any, Final

from umbel.app.connections import default_url
from umbel.contracts.history import Archive
from umbel.engines.address import factory
from umbel.settings import Settings

SETTING: Final = "history_url"
PACKAGE: Final = "umbel.history"
BUILT_IN: Final = {
    "sqlite": "umbel.history.archives:sqlite",
    "postgresql": "umbel.history.archives:postgres",
    "postgres": "umbel.history.archives:postgres",
}
"""Scheme to ``module:factory``; a factory takes (url, settings) and opens nothing yet."""
_ENDING: Final = ".db"


def history_url(settings: Settings, main: str | None) -> str:
    """Where the history of the app *main* is: as the settings say, else in a file beside the embedded broker's."""
    if settings.history_url:
        return settings.history_url
    broker = settings.broker_url
    file = broker if broker.startswith("sqlite:///") else default_url(main)
    return f"{file.removesuffix(_ENDING)}.history{_ENDING}"


def archive_at(url: str, settings: Settings) -> Archive:
    """The archive at *url*; nothing is opened before its first use. Raises `ImproperlyConfigured`."""
    make: Any = factory(url, BUILT_IN, PACKAGE, "history")
    archive: Archive = make(url, settings)
    return archive


def sqlite(url: str, _: Settings) -> Archive:
    """The history in a file of its own."""
    from umbel.engines.sqlite_history import SqliteArchive

    return SqliteArchive(url, SETTING, PACKAGE)


def postgres(url: str, settings: Settings) -> Archive:
    """The history in the schema ``umbel_history`` of a PostgreSQL database."""
    from umbel.engines.postgres_address import parse
    from umbel.engines.postgres_history import PostgresArchive

    return PostgresArchive(parse(url, settings.broker_connection_timeout), PACKAGE)
