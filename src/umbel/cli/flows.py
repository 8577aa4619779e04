"""`umbel flows`: list, show, revoke, retry and repeat flows."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Final, NamedTuple

import click
import msgspec

from umbel.app.flows import FlowInfo, Flows, Restarted
from umbel.app.seat import known_queues, waited
from umbel.brokers import connect
from umbel.cli.asking import opened as opened_app
from umbel.cli.command import Command, Frame, Seconds, names
from umbel.cli.opened import open_app, read_settings
from umbel.cli.table import duration, table
from umbel.contracts.broker import Broker
from umbel.exceptions import ImproperlyConfigured, UmbelError
from umbel.settings import Settings

HELP: Final = """Flows of a broker: chains, chords and other graphs, while they run and for a day after.

ID is that of a flow or of one of its jobs. With -b the app is not needed.
"""

RETRY: Final = """Run what did not succeed of the flow ID again, in a new flow that goes on where it failed.

Values of jobs that have succeeded are taken over. Records never change, so the jobs have new ids; that of the new flow
is printed. Of a flow that was retried before, the newest retry is meant; one that runs or has succeeded is only told.
"""

REPEAT: Final = """Run all of the flow ID again, from its first step, as a new flow whose id is printed.

The flow must have ended, and the history must have all of its jobs. They start at once, with the arguments that they
had; what has succeeded runs again, too.
"""


class Place(NamedTuple):
    """A broker that is asked without an app."""

    broker: Broker
    conf: Settings
    teller: None = None


@click.group(help=HELP)
def flows() -> None:
    """Only its commands do something."""


_json: Final = click.option("-j", "--json", "as_json", is_flag=True, help="JSON.")
_flow: Final = click.argument("flow", metavar="ID")


@flows.command("list", cls=Command, help="Show the newest flows.")
@click.option(
    "-Q", "--queues", callback=names, metavar="A,B",
    help="Where their state is kept; by default the default queue.",
)  # fmt: skip
@click.option("-n", "--limit", type=click.IntRange(min=1), default=100, show_default=True, help="How many.")
@_json
@click.pass_obj
def list_(frame: Frame, /, *, queues: tuple[str, ...], limit: int, as_json: bool) -> int:
    """Show them; answers the exit code."""
    if queues:
        app = opened_app(frame)
        waited(app, known_queues(app, queues))
    found = _opened(frame).list(queues, limit)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
    elif found:
        click.echo("\n".join(_table(found)))
    else:
        frame.say("no flows")
    return 0


@flows.command(cls=Command, help="Show the graph of the flow ID and how far it has come.")
@_flow
@click.option("--mermaid", "form", flag_value="mermaid", help="The graph in Mermaid's language.")
@click.option("--svg", "form", flag_value="svg", help="The graph as an SVG document.")
@click.option("-j", "--json", "form", flag_value="json", help="JSON.")
@click.pass_obj
def show(frame: Frame, /, *, flow: str, form: str | None) -> int:
    """Show it; answers the exit code."""
    found = _opened(frame).get(flow)
    if found is None:
        raise _unknown(flow)
    match form:
        case "json":
            counts = {"total": found.total, "done": found.done, "failed": found.failed}
            click.echo(msgspec.json.encode({**msgspec.structs.asdict(found), **counts, "boxes": found.boxes}).decode())
        case "mermaid":
            click.echo(found.mermaid())
        case "svg":
            click.echo(found.svg())
        case _:
            click.echo(_head(found))
            click.echo(found.text())
    return 0


@flows.command(cls=Command, help="Let no job of the flow ID start any more.")
@_flow
@click.pass_obj
def revoke(frame: Frame, /, *, flow: str) -> int:
    """Revoke it; answers the exit code."""
    opened = _opened(frame)
    if opened.revoke(flow):
        return 0
    found = opened.get(flow)
    raise _unknown(flow) if found is None else UmbelError(f"flow {flow} has ended: {found.state}")


@flows.command(cls=Command, help=RETRY)
@_flow
@click.option("--dry-run", is_flag=True, help="Only show what would run again.")
@click.option("--expires", type=Seconds(), metavar="SECONDS", help="After that no job starts any more.")
@_json
@click.pass_obj
def retry(frame: Frame, /, *, flow: str, dry_run: bool, expires: float | None, as_json: bool) -> int:
    """Retry it; answers the exit code."""
    opened = _opened(frame)
    if opened.get(flow) is None:
        raise _unknown(flow)
    found = opened.retry(flow, dry_run=dry_run, expires=expires)
    if as_json:
        told = {"id": found.id, "of": found.of, "started": not dry_run, "kept": found.kept, "jobs": found.jobs}
        click.echo(msgspec.json.encode(told).decode())
        return 0
    will = "would run" if dry_run else "run"
    frame.say(f"flow {found.of}: jobs that {will} again: {len(found.jobs):,}, values taken over: {found.kept:,}")
    return _show_new(found, dry_run=dry_run)


@flows.command(cls=Command, help=REPEAT)
@_flow
@click.option("--dry-run", is_flag=True, help="Only show what would run.")
@_json
@click.pass_obj
def repeat(frame: Frame, /, *, flow: str, dry_run: bool, as_json: bool) -> int:
    """Repeat it; answers the exit code."""
    from umbel.history import open_history

    if frame.broker:
        settings = read_settings(frame)
        opened, history = _opened(frame), open_history(settings)
    else:
        app = open_app(frame)
        opened, history = app.flows, open_history(app.conf, app.main)
    if opened.get(flow) is None and history.kept_flow(flow) is None:
        raise _unknown(flow)
    found = opened.repeat(flow, history, dry_run=dry_run)
    if as_json:
        told = {"id": found.id, "of": found.of, "started": not dry_run, "jobs": found.jobs}
        click.echo(msgspec.json.encode(told).decode())
        return 0
    frame.say(f"flow {found.of}: jobs that {'would run' if dry_run else 'run'} again: {len(found.jobs):,}")
    return _show_new(found, dry_run=dry_run)


def _show_new(found: Restarted, *, dry_run: bool) -> int:
    """Show the id of the new flow, or which jobs it would have; answers the exit code."""
    if not dry_run:
        click.echo(found.id)
        return 0
    counts = Counter((job.task, job.queue) for job in found.jobs)
    click.echo("\n".join(table(["TASK", "QUEUE", "JOBS"], [[*place, count] for place, count in counts.items()])))
    return 0


def _unknown(flow: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"no flow {flow} is known: it was not sent to this broker, or was forgotten")


def _opened(frame: Frame) -> Flows:
    if not frame.broker:
        return open_app(frame).flows
    settings = read_settings(frame)
    return Flows(Place(connect(settings.broker_url, settings), settings))


def _head(found: FlowInfo) -> str:
    failed = f", {found.failed:,} failed" if found.failed else ""
    counts = f"{found.done:,} of {found.total:,} jobs ended{failed}"
    return f"{found.id}  {found.state}  {counts}  created {_shown(found.created)}  ended {_shown(found.ended)}"


def _table(found: list[FlowInfo]) -> list[str]:
    rows = [
        [
            each.id,
            each.state,
            each.queue,
            sum(kind.count for kind in each.jobs),
            _shown(each.created),
            duration(None if each.ended is None else each.ended - each.created),
        ]
        for each in found
    ]
    return table(["ID", "STATE", "QUEUE", "JOBS", "CREATED", "TOOK"], rows)


def _shown(moment: float | None) -> str:
    return "-" if moment is None else f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S}Z"
