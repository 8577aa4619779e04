"""`umbel schedules`: list, show, add, remove, pause, resume and run schedules."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import click
import msgspec

from umbel.app.schedules import Schedules, ScheduleView
from umbel.brokers import connect
from umbel.cli.asking import note_unknown
from umbel.cli.command import Command, Frame, Seconds
from umbel.cli.opened import open_app, read_settings
from umbel.cli.table import duration, table
from umbel.exceptions import ImproperlyConfigured, NotRegistered
from umbel.schedules import Rule, clocked, cron, schedule, solar
from umbel.settings.masking import masked

T = TypeVar("T")
HELP: Final = """Schedules of a broker: those of the code, and stored ones, which can be edited while workers run.

Workers see an edit within 5 seconds. With -b the app is needed by `add` alone.
"""


@click.group(help=HELP)
def schedules() -> None:
    """Only its commands do something."""


_json: Final = click.option("-j", "--json", "as_json", is_flag=True, help="JSON.")
_name: Final = click.argument("name")


@schedules.command("list", cls=Command, help="Show all schedules, those of the code and stored ones.")
@_json
@click.pass_obj
def list_(frame: Frame, /, *, as_json: bool) -> int:
    """Show them; answers the exit code."""
    found = _opened(frame).list()
    if as_json:
        click.echo(_encoded(found))
    elif found:
        click.echo("\n".join(_table(found)))
    else:
        frame.say("no schedules")
    return 0


@schedules.command(cls=Command, help="Show the schedule NAME.")
@_name
@_json
@click.pass_obj
def show(frame: Frame, /, *, name: str, as_json: bool) -> int:
    """Show it; answers the exit code."""
    with _known():
        found = _opened(frame).get(name)
    if as_json:
        click.echo(_encoded(found))
    else:
        for field, value in msgspec.structs.asdict(found).items():
            click.echo(f"{field.replace('_', ' ') + ':':<13}{_shown(value)}")
    return 0


@schedules.command(cls=Command, help="Store a schedule NAME that sends jobs of TASK. Needs the app.")
@_name
@click.argument("task")
@click.option("--cron", "cron_text", metavar="TEXT", help="Cron text, five fields or six with seconds first.")
@click.option("--every", type=float, metavar="SECONDS", help="An interval.")
@click.option("--solar", "solar_text", metavar="EVENT,LAT,LON", help="A solar event, such as sunset,52.5,13.4.")
@click.option("--at", metavar="MOMENT", help="Once, such as 2026-12-24T18:00:00+01:00; UTC if it has no zone.")
@click.option("-a", "--args", default="[]", metavar="JSON", help="A list: the positional arguments.")
@click.option("-k", "--kwargs", default="{}", metavar="JSON", help="An object: the keyword arguments.")
@click.option("--queue", help="The queue to send to.")
@click.option("--priority", type=click.IntRange(0, 9), metavar="0-9", help="Higher is more urgent.")
@click.option("--expires", type=Seconds(), metavar="SECONDS", help="How long after its tick it starts.")
@click.option("--timezone", metavar="ZONE", help="Of wall-clock rules; by default that of the app.")
@click.option("--misfire", type=click.Choice(["once", "skip", "all"]), help="What becomes of missed ticks.")
@click.option("--grace", type=Seconds(), metavar="SECONDS", help="No tick runs that is later.")
@click.option("--overlap", type=click.Choice(["allow", "skip", "queue"]), help="While the last job has not ended.")
@click.option("--jitter", type=Seconds(), metavar="SECONDS", help="Spread starts over so much.")
@click.option("--start", metavar="MOMENT", help="No tick before this.")
@click.option("--end", metavar="MOMENT", help="No tick after this.")
@click.option("--replace", is_flag=True, help="Edit the schedule if there is one of that name.")
@click.pass_obj
def add(frame: Frame, /, *, name: str, task: str, args: str, kwargs: str, **given: Any) -> int:
    """Store it; answers the exit code."""
    try:
        rule = _rule(given)
        options = {key: value for key, value in given.items() if value is not None}
        positional, named = _json_of("--args", args, list[Any]), _json_of("--kwargs", kwargs, dict[str, Any])
        app = open_app(frame)
        found = app.schedules.add(name, rule, task, positional, named, **options)
    except (TypeError, ValueError, ImportError) as error:
        raise ImproperlyConfigured(str(error)) from error
    frame.say(f"{found.name}: {found.rule}, next {_shown(found.next)}")
    note_unknown(frame, app, task)
    return 0


@schedules.command(cls=Command, help="Remove the stored schedule NAME.")
@_name
@click.pass_obj
def remove(frame: Frame, /, *, name: str) -> int:
    """Remove it; answers the exit code."""
    with _known():
        _opened(frame).remove(name)
    return 0


@schedules.command(cls=Command, help="Let no tick of NAME run until it is resumed.")
@_name
@click.pass_obj
def pause(frame: Frame, /, *, name: str) -> int:
    """Pause it; answers the exit code."""
    with _known():
        _opened(frame).pause(name)
    return 0


@schedules.command(cls=Command, help="Go on with NAME from now on.")
@_name
@click.pass_obj
def resume(frame: Frame, /, *, name: str) -> int:
    """Resume it; answers the exit code."""
    with _known():
        _opened(frame).resume(name)
    return 0


@schedules.command(cls=Command, help="Send a job of NAME now, beside its ticks, and print its id.")
@_name
@click.pass_obj
def run(frame: Frame, /, *, name: str) -> int:
    """Send it; answers the exit code."""
    with _known():
        click.echo(_opened(frame).run(name))
    return 0


@contextmanager
def _known() -> Generator[None]:
    """The name of a schedule that there is not is a wrong word like any other."""
    try:
        yield
    except NotRegistered as error:
        raise ImproperlyConfigured(str(error)) from error


def _opened(frame: Frame) -> Schedules:
    if not frame.broker:
        return open_app(frame).schedules
    settings = read_settings(frame)
    return Schedules(connect(settings.broker_url, settings), masked(settings.broker_url))


def _rule(given: dict[str, Any]) -> Rule:
    """The rule that the options say, which are taken out of *given*."""
    texts = {option: given.pop(option) for option in ("cron_text", "every", "solar_text", "at")}
    said = [option for option, text in texts.items() if text is not None]
    if len(said) != 1:
        raise ImproperlyConfigured("give one of --cron, --every, --solar and --at")
    text = texts[said[0]]
    match said[0]:
        case "cron_text":
            return cron(text)
        case "every":
            return schedule(text)
        case "at":
            return clocked(_moment(text))
        case _:
            return _solar(text)


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ImproperlyConfigured(f"--at is {text!r}: give a moment such as 2026-12-24T18:00:00+01:00") from None


def _solar(text: str) -> Rule:
    event, *place = text.split(",")
    try:
        lat, lon = map(float, place)
    except ValueError:
        raise ImproperlyConfigured(f"--solar is {text!r}: give EVENT,LAT,LON, such as sunset,52.5,13.4") from None
    return solar(event, lat, lon)


def _table(found: Sequence[ScheduleView]) -> list[str]:
    heads = ["NAME", "RULE", "TASK", "FROM", "NEXT", "LAST", "RUNS", "LATE"]
    rows = [
        [
            each.name,
            each.rule,
            each.task,
            each.source,
            "paused" if each.paused else _shown(each.next) if each.enabled else "disabled",
            _shown(each.last),
            each.runs,
            duration(each.lateness),
        ]
        for each in found
    ]
    return table(heads, rows)


def _shown(value: object) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, datetime):
        return value.isoformat(" ", "seconds") if value.tzinfo is not UTC else f"{value:%Y-%m-%d %H:%M:%S}Z"
    return str(value)


def _encoded(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _json_of(option: str, text: str, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.MsgspecError as error:
        raise ImproperlyConfigured(f"{option} is not what it should be: {error}") from error
