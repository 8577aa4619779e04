"""What `umbel list FILTER` shows: jobs of the history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from umbel.cli.asking import show_json, shown
from umbel.cli.command import Frame
from umbel.cli.table import duration, table

if TYPE_CHECKING:
    from umbel.app.app import Umbel
    from umbel.history.views import JobRow

HEADS: Final = ("ID", "TASK", "STATE", "QUEUE", "SENT", "WAIT", "RUN", "ATTEMPT", "ARGUMENTS OR ERROR")
WIDTH: Final = 60


def show_found(frame: Frame, app: Umbel, text: str, limit: int, before: int | None, *, as_json: bool) -> int:
    """Show the jobs of the app's history that the filter *text* matches; answers the exit code."""
    from umbel.history import open_history

    page = open_history(app.conf, app.main).jobs(text, limit=limit, before=before)
    if as_json:
        show_json(page.rows)
    elif page.rows:
        click.echo("\n".join(table(HEADS, [_cells(row) for row in page.rows])))
    else:
        frame.say("no such jobs")
    if page.cursor is not None:
        searched = "" if page.compared_all else "only the newest were searched; "
        frame.say(f"{searched}go on with --before {page.cursor}")
    return 0


def _cells(row: JobRow) -> tuple[object, ...]:
    told = f"{row.error}: {row.error_text}" if row.error else f"{row.args[1:-1]} {row.kwargs}".strip()
    return (
        row.id,
        _plain(row.task),
        row.state,
        _plain(row.queue),
        shown(row.sent),
        duration(row.wait),
        duration(row.run),
        row.attempt,
        _plain(told),
    )


def _plain(text: str) -> str:
    """*text* in one line, without what would steer a terminal."""
    shortened = text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in shortened)
