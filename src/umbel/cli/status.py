"""`umbel status`: queues and workers, once or again and again."""

from __future__ import annotations

import asyncio
import sys
from typing import Final

import click
import msgspec

from umbel.app.survey import Survey, survey
from umbel.cli.command import Command, Frame
from umbel.cli.opened import open_inspector
from umbel.cli.survey import as_text
from umbel.contracts.capabilities import Power, demand
from umbel.contracts.powers import Inspector
from umbel.exceptions import BrokerUnavailable

NOBODY: Final = 69
REFRESH_SECONDS: Final = 2.0
_CLEAR: Final = "\033[H\033[2J"

HELP: Final = """Show queues, workers and what they are running.

A queue's jobs are ready, delayed (a countdown, an eta or a retry), held (by a limit), running, parked (no worker knew
the task) or dead (given up, kept for a look); OLDEST is the age of the oldest ready one. SLOTS are those for `def` and
for `async def` tasks. What a child is running is as of its last heartbeat. A quiet one (`umbel control quiet`) receives
nothing until it is told to resume. The exit code is 69 when no worker runs.
"""


@click.command(cls=Command, help=HELP)
@click.option("-j", "--json", "as_json", is_flag=True, help="One line of JSON.")
@click.option("--watch", is_flag=True, help="Again every 2 seconds, until Ctrl-C.")
@click.pass_obj
def status(frame: Frame, as_json: bool, watch: bool) -> int:
    """Show it, and answer the exit code."""
    return asyncio.run(_status(frame, as_json=as_json, watch=watch))


async def _status(frame: Frame, *, as_json: bool, watch: bool) -> int:
    broker, inspector, url = open_inspector(frame)
    demand(broker, Power.LEASES, "telling of queues and workers", url)
    try:
        while watch:
            await _show_again(inspector, url, as_json=as_json)
            await asyncio.sleep(REFRESH_SECONDS)
        found = await survey(inspector, url)
        click.echo(_rendered(found, as_json=as_json))
        return 0 if found.workers else NOBODY
    finally:
        await broker.aclose()


async def _show_again(inspector: Inspector, url: str, *, as_json: bool) -> None:
    try:
        text = _rendered(await survey(inspector, url), as_json=as_json)
    except BrokerUnavailable as error:
        click.echo(f"Error: {error}", err=True)  # it may come back while we watch
        return
    redraw = sys.stdout.isatty() and not as_json
    click.echo(f"{_CLEAR}{text}" if redraw else text)


def _rendered(found: Survey, *, as_json: bool) -> str:
    return msgspec.json.encode(found).decode() if as_json else as_text(found)
