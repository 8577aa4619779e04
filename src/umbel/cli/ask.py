"""`umbel call` and `umbel result`: send a job by the name of its task, and look at what became of one."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import click
import msgspec

from umbel.cli.asking import note_unknown
from umbel.cli.command import Command, Frame, Seconds
from umbel.cli.opened import open_app
from umbel.exceptions import ImproperlyConfigured, TimeoutError, UmbelError, UnknownResult
from umbel.result import AsyncResult

T = TypeVar("T")
FAILED: Final = 1
_MOMENTS: Final = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d %H:%M:%S"]


@click.command(cls=Command, help="Send a job by the NAME of its task, and print its id.")
@click.argument("name")
@click.option("-a", "--args", default="[]", metavar="JSON", help="A list: the positional arguments.")
@click.option("-k", "--kwargs", default="{}", metavar="JSON", help="An object: the keyword arguments.")
@click.option("--queue", help="The queue to send to.")
@click.option("--priority", type=click.IntRange(0, 9), metavar="0-9", help="Higher is more urgent.")
@click.option("--countdown", type=Seconds(), metavar="SECONDS", help="Start this much later.")
@click.option("--eta", type=click.DateTime(_MOMENTS), help="Do not start before this moment; UTC if it has no zone.")
@click.option("--expires", type=Seconds(), metavar="SECONDS", help="Do not start later than this.")
@click.option("--task-id", metavar="ID", help="The id of the job; sending it twice is sending it once.")
@click.option("--wait", is_flag=True, help="Wait for the result, and print it as JSON instead of the id.")
@click.option("--timeout", type=Seconds(), metavar="SECONDS", help="With --wait: no longer than this.")
@click.pass_obj
def call(frame: Frame, /, *, name: str, wait: bool, timeout: float | None, **given: Any) -> int:
    """Send it; answers the exit code."""
    args = _json("--args", given.pop("args"), list[Any])
    kwargs = _json("--kwargs", given.pop("kwargs"), dict[str, Any])
    options = {option: value for option, value in given.items() if value is not None}
    app = open_app(frame)
    try:
        sent = app.send_task(name, args, kwargs, **options)
    except (TypeError, ValueError) as error:
        raise ImproperlyConfigured(str(error)) from error
    note_unknown(frame, app, name)
    if not wait:
        click.echo(sent.id)
        return 0
    frame.say(f"sent {sent.id}")
    return _show(sent, timeout)


@click.command(
    cls=Command, help="Show the result of the job ID as JSON. A job that failed shows its error; exit code 1."
)
@click.argument("job_id", metavar="ID")
@click.option("--timeout", type=Seconds(), default=0.0, metavar="SECONDS", help="Wait this long for it.")
@click.option("--traceback", is_flag=True, help="Show the traceback of a job that failed.")
@click.option("-j", "--json", "as_json", is_flag=True, help="Show state, place, error and traceback, too, as JSON.")
@click.pass_obj
def result(frame: Frame, /, *, job_id: str, timeout: float, traceback: bool, as_json: bool) -> int:
    """Show it; answers the exit code."""
    try:
        found = open_app(frame).AsyncResult(job_id)
    except ValueError as error:
        raise ImproperlyConfigured(str(error)) from error
    try:
        code = _describe(found, timeout) if as_json else _show(found, timeout)
    except UnknownResult as error:
        raise ImproperlyConfigured(str(error)) from error
    if as_json:
        return code
    if code == FAILED and traceback and found.traceback:
        click.echo(found.traceback, err=True)
    return code


def _show(handle: AsyncResult[Any], timeout: float | None) -> int:
    try:
        value = handle.get(timeout=timeout)
    except TimeoutError as error:
        raise TimeoutError(f"{error}; {handle.whereabouts}") from error
    except UmbelError:
        raise  # of ours: no such job, the broker is away; each has its own exit code
    except Exception as error:  # noqa: BLE001 - whatever the task raised
        click.echo(f"{type(error).__name__}: {error}", err=True)
        return FAILED
    click.echo(msgspec.json.encode(value, enc_hook=repr).decode())
    return 0


def _describe(handle: AsyncResult[Any], timeout: float) -> int:
    late: TimeoutError | None = None
    try:
        handle.get(timeout=timeout, propagate=False)
    except TimeoutError as error:
        late = error
    info = handle.info
    failed = isinstance(info, BaseException)
    shown = {
        "id": handle.id,
        "state": handle.state,
        "place": handle.place,
        "result": None if failed else info,
        "error": f"{type(info).__name__}: {info}" if failed else None,
        "traceback": handle.traceback,
    }
    click.echo(msgspec.json.encode(shown, enc_hook=repr).decode())
    if late is not None:
        raise TimeoutError(f"{late}; {handle.whereabouts}") from late
    return FAILED if failed else 0


def _json(option: str, text: str, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.MsgspecError as error:
        raise ImproperlyConfigured(f"{option} is not what it should be: {error}") from error
