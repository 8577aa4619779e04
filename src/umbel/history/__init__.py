"""History: what happened to jobs, queues, workers, schedules and flows; kept in SQLite or PostgreSQL, bounded.

A recorder (`umbel.history.recorder`) writes it from the event log of the broker; `History` is what everybody asks.
Nothing that must not be lost hangs on it.
"""

from __future__ import annotations

from umbel.history.archives import archive_at, history_url
from umbel.history.grammar import FilterError
from umbel.history.history import History
from umbel.settings import Settings

__all__ = ["FilterError", "History", "open_history"]


def open_history(settings: Settings, main: str | None = None) -> History:
    """The history of the app *main*; opens nothing yet. Raises `ImproperlyConfigured`."""
    return History(archive_at(history_url(settings, main), settings))
