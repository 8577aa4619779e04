"""`umbel events`: shows what happens, as it happens."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Final, cast

import click
import msgspec

from umbel.app.events import Occurrence, Patterns
from umbel.app.seat import inspector, known_queues, waited
from umbel.cli.asking import check_known, json_option, opened, stranger
from umbel.cli.command import Command, Frame, Seconds, said
from umbel.contracts.event_log import NOW, OLDEST
from umbel.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from umbel.app.app import Umbel

HELP: Final = """Show what happens to jobs, flows, schedules and workers, as it happens, until Ctrl-C.

Patterns may have * in them: --kind 'task-f*'. What is shown of arguments and results is redacted. The broker keeps the
newest events; --all begins with the oldest of them. With -b the app is not needed.
"""
_WILD: Final = frozenset("*?[")
_LEFT_OUT: Final = frozenset({"traceback", "tasks", "headers"})
_MAX_CHARACTERS: Final = 300


@click.command(cls=Command, help=HELP)
@click.option("--kind", callback=said, metavar="PATTERN", help="Such as task-failed, task-* or worker-*.")
@click.option("--task", callback=said, metavar="PATTERN", help="By the name of the task.")
@click.option("-Q", "--queue", callback=said, metavar="PATTERN", help="By the queue.")
@click.option("--id", callback=said, metavar="PATTERN", help="By the id of the job.")
@click.option("--worker", callback=said, metavar="PATTERN", help="By the name of the worker that says it.")
@click.option("--all", "from_oldest", is_flag=True, help="Begin with the oldest that the broker still keeps.")
@click.option("-n", "--limit", type=click.IntRange(min=1), help="End after so many events.")
@click.option("-t", "--timeout", type=Seconds(), metavar="SECONDS", help="End after so long.")
@json_option
@click.pass_obj
def events(
    frame: Frame, /, *, from_oldest: bool, limit: int | None, timeout: float | None, as_json: bool, **given: str | None
) -> int:
    """Show them; answers the exit code."""
    app = opened(frame)
    asked = {name: pattern for name, pattern in given.items() if pattern is not None}
    try:
        kind = asked.pop("kind", "")
        stream = app.events(kind, after=OLDEST if from_oldest else NOW, timeout=timeout, **cast("Patterns", asked))
    except ValueError as error:
        raise ImproperlyConfigured(str(error)) from error
    _check(frame, app, {name: text for name, text in asked.items() if not _WILD.intersection(text)})
    for event in islice(stream, limit):
        click.echo(msgspec.json.encode(event).decode() if as_json else line(event))
        if stream.lost and not as_json:
            frame.say(f"{stream.lost} events or batches were lost")
            stream.lost = 0
    return 0


def _check(frame: Frame, app: Umbel, exact: dict[str, str]) -> None:
    """Refuse a queue or a task, or note a worker or a job, that nobody knows: one might wait for them for ever."""
    if "queue" in exact:
        waited(app, known_queues(app, (exact["queue"],)))
    check_known(app, exact.get("task"))
    missing = stranger(app, (exact["worker"],)) if "worker" in exact else ""
    if missing:
        frame.say(f"Note: {missing}")
    if "id" in exact and inspector(app).locate(exact["id"], None).place == "unknown":
        frame.say(f"Note: no job {exact['id']} is known now")


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
