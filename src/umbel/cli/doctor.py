"""`umbel doctor`: looks at broker and result store and says what endangers jobs, with the cure."""

from __future__ import annotations

import asyncio
from typing import Final

import click
import msgspec

from umbel import brokers, stores
from umbel.app.connections import fill_in
from umbel.cli.checkup import Report, as_text, report
from umbel.cli.command import Command, Frame
from umbel.cli.opened import open_app, read_settings

UNSOUND: Final = 1

HELP: Final = """Look at the broker and the result store and say what endangers jobs.

For each of them: whether it can be reached and used with these settings and
rights, its version, how safe a job is there when the power fails, clocks that
differ, disks and memory that are nearly full, and which powers it lacks. A
record is written, read and deleted where results are kept; an SQLite file is
read as a whole. A line with ! is advice, one with !! must be mended: then the
exit code is 1.
"""


@click.command(cls=Command, help=HELP)
@click.option("-j", "--json", "as_json", is_flag=True, help="One line of JSON.")
@click.pass_obj
def doctor(frame: Frame, as_json: bool) -> int:
    """Show it, and answer the exit code."""
    found = asyncio.run(_examined(frame))
    click.echo(msgspec.json.encode(found).decode() if as_json else as_text(found))
    return 0 if found.sound else UNSOUND


async def _examined(frame: Frame) -> Report:
    if not frame.broker:
        app = open_app(frame)
        return await report(app.conf, lambda: app.broker, lambda: app.store)
    settings = read_settings(frame)
    fill_in(settings, None, own_broker=False, own_store=False)
    return await report(
        settings,
        lambda: brokers.connect(settings.broker_url, settings),
        lambda: stores.connect(settings.result_backend, settings),
    )
