"""`umbel events`: shows what happens, as it happens."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import Final

import click
import msgspec

from umbel.app.events import Occurrence, Patterns
from umbel.cli.asking import json_option, opened
from umbel.cli.command import Command, Frame, Seconds
from umbel.contracts.event_log import NOW, OLDEST

HELP: Final = """Show what happens to jobs, flows, schedules and workers, as it happens, until Ctrl-C.

Patterns may have * in them: --kind 'task-f*'. What is shown of arguments and results is redacted. The broker keeps the
newest events; --all begins with the oldest of them. With -b the app is not needed.
"""
_LEFT_OUT: Final = frozenset({"traceback", "tasks", "headers"})
_MAX_CHARACTERS: Final = 300


@click.command(cls=Command, help=HELP)
@click.option("--kind", default="", metavar="PATTERN", help="Such as task-failed, task-* or worker-*.")
@click.option("--task", default="", metavar="PATTERN", help="By the name of the task.")
@click.option("-Q", "--queue", default="", metavar="PATTERN", help="By the queue.")
@click.option("--id", default="", metavar="PATTERN", help="By the id of the job.")
@click.option("--worker", default="", metavar="PATTERN", help="By the name of the worker that says it.")
@click.option("--all", "from_oldest", is_flag=True, help="Begin with the oldest that the broker still keeps.")
@click.option("-n", "--limit", type=click.IntRange(min=1), help="End after so many events.")
@click.option("-t", "--timeout", type=Seconds(), metavar="SECONDS", help="End after so long.")
@json_option
@click.pass_obj
def events(
    frame: Frame, /, *, from_oldest: bool, limit: int | None, timeout: float | None, as_json: bool, **patterns: str
) -> int:
    """Show them; answers the exit code."""
    wanted = Patterns(task=patterns["task"], queue=patterns["queue"], id=patterns["id"], worker=patterns["worker"])
    after = OLDEST if from_oldest else NOW
    stream = opened(frame).events(patterns["kind"], after=after, timeout=timeout, **wanted)
    for event in islice(stream, limit):
        click.echo(msgspec.json.encode(event).decode() if as_json else line(event))
        if stream.lost and not as_json:
            frame.say(f"{stream.lost} events or batches were lost")
            stream.lost = 0
    return 0


def line(event: Occurrence) -> str:
    """*event* as one line of text, without control characters."""
    moment = datetime.fromtimestamp(event.at, UTC).isoformat(" ", "milliseconds").removesuffix("+00:00")
    what = f"{event.task}[{event.id}]" if event.kind.startswith("task-") else event.id
    facts = {name: value for name, value in event.body.items() if name not in _LEFT_OUT}
    if event.attempt > 1:
        facts["attempt"] = event.attempt
    if event.worker and event.worker != event.id:
        facts["worker"] = event.worker
    words = " ".join(f"{name}={_shown(value)}" for name, value in facts.items())
    return "".join(sign if sign.isprintable() else "?" for sign in f"{moment} {event.kind:<15} {what} {words}".rstrip())


def _shown(value: object) -> str:
    # Arguments and results are JSON already.
    if isinstance(value, float):
        return f"{value:.6g}" if abs(value) < 1e6 else f"{value:.3f}"  # noqa: PLR2004 - durations, and unix times
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]}…"
