"""`umbel dead`: look at dead letters, have them run again, delete or export them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
import msgspec

from umbel.app.dead import Choice, DeadLetter
from umbel.cli.asking import (
    agreed,
    call_text,
    check_known,
    force_option,
    json_option,
    moment,
    opened,
    queues_option,
    show_json,
    shown,
    task_option,
)
from umbel.cli.command import Command, Frame, said
from umbel.cli.progress import in_portions
from umbel.cli.table import table
from umbel.exceptions import ImproperlyConfigured
from umbel.security.redaction import Redaction
from umbel.telling import sketch_of

if TYPE_CHECKING:
    from umbel.app.app import Umbel

F = TypeVar("F", bound=Callable[..., Any])

HELP: Final = """Dead letters: jobs that were given up, with the reason.

A job dies when it has used up its retries, when it killed its process three times, when it cannot be read, or when its
task rejects it. It is kept until it is retried or deleted. With -b the app is not needed.
"""
MAX_REASON: Final = 60


@click.group(help=HELP)
def dead() -> None:
    """Only its commands do something."""


def _filters(function: F) -> F:
    """The options that say which dead letters are meant."""
    for option in (
        click.option("--until", callback=moment, metavar="WHEN", help="Died before: 2h (ago), or a date and time."),
        click.option("--since", callback=moment, metavar="WHEN", help="Died since: 2h (ago), or a date and time."),
        click.option("--reason", callback=said, metavar="TEXT", help="Whose error contains this text."),
        click.option(
            "--filter",
            callback=said,
            metavar="FILTER",
            help="That match a filter, as of `umbel list`: 'error:ValueError arg.user.id:42'.",
        ),
        task_option,
        queues_option,
    ):
        function = option(function)
    return function


def _chosen(function: F) -> F:
    """The arguments and options that say to which dead letters something is done."""
    for option in (
        json_option,
        force_option,
        click.option("--dry-run", is_flag=True, help="Only show which those are."),
        click.option("--all", "everything", is_flag=True, help="All that the filters leave, or all."),
        _filters,
        _ids,
    ):
        function = option(function)
    return function


_ids: Final = click.argument("ids", nargs=-1, metavar="[ID...]")


@dead.command("list", cls=Command, help="Show them.")
@_filters
@click.option("-n", "--limit", type=click.IntRange(min=1), default=100, show_default=True, help="How many.")
@json_option
@click.pass_obj
def list_(frame: Frame, /, *, as_json: bool, **given: Any) -> int:
    """Show them; answers the exit code."""
    found = _found(opened(frame), given)
    if as_json:
        show_json([_plain(each) for each in found])
    elif found:
        click.echo("\n".join(_table(found)))
    else:
        frame.say("no dead letters")
    return 0


@dead.command(cls=Command, help="Show the dead letter ID, with the traceback of its last error.")
@click.argument("job_id", metavar="ID")
@json_option
@click.pass_obj
def show(frame: Frame, /, *, job_id: str, as_json: bool) -> int:
    """Show it; answers the exit code."""
    found = opened(frame).dead.get(job_id)
    if found is None:
        raise ImproperlyConfigured(f"there is no dead letter {job_id}")
    if as_json:
        show_json(_plain(found))
        return 0
    lines = [
        f"{found.id}  {call_text(found.task, found.args, found.kwargs, 400)}",
        f"queue     {found.queue}",
        f"died      {shown(found.buried)}",
        f"attempts  {found.attempts} ({found.retries} retries, {found.crashes} crashes)",
        f"worker    {found.worker or '-'}",
        f"reason    {found.reason or '-'}",
    ]
    click.echo("\n".join([*lines, *(["", found.traceback.rstrip()] if found.traceback else [])]))
    return 0


@dead.command(cls=Command, help="Have dead letters run again under their ids: those named, or those of the filters.")
@_chosen
@click.pass_obj
def retry(frame: Frame, /, **given: Any) -> int:
    """Retry them; answers the exit code."""
    app = opened(frame)
    return _done(frame, given, app, app.dead.retry, "Run {} dead letters again?")


@dead.command(cls=Command, help="Delete dead letters for ever: those named, or those of the filters.")
@_chosen
@click.pass_obj
def delete(frame: Frame, /, **given: Any) -> int:
    """Delete them; answers the exit code."""
    app = opened(frame)
    return _done(frame, given, app, app.dead.delete, "Delete {} dead letters for ever?")


@dead.command(cls=Command, help="Write dead letters as lines of JSON, with their envelopes in base64.")
@_ids
@_filters
@click.pass_obj
def export(frame: Frame, /, **given: Any) -> int:
    """Write them; answers the exit code."""
    for each in _found(opened(frame), given):
        show_json(each)
    return 0


def _done(
    frame: Frame, given: dict[str, Any], app: Umbel, do: Callable[[Sequence[DeadLetter]], list[str]], ask: str
) -> int:
    if not (given["ids"] or given["everything"] or any(given[name] for name in _FILTERS)):
        raise ImproperlyConfigured("say which: ids, filters such as --task, or --all")
    found = _found(app, given)
    if given["dry_run"] or not found:
        if given["as_json"]:
            show_json([_plain(each) for each in found])
        elif found:
            click.echo("\n".join(_table(found)))
        frame.say(f"{len(found)} dead letters; nothing was changed")
        return 0
    agreed(ask.format(len(found)), force=given["force"])
    done = in_portions(frame, "dead letters", found, do)
    show_json(done) if given["as_json"] else click.echo("\n".join(done))
    frame.say(f"{len(done)} of {len(found)}")
    return 0


_FILTERS: Final = ("queues", "task", "reason", "since", "until", "filter")


def _found(app: Umbel, given: dict[str, Any]) -> list[DeadLetter]:
    """Those that are meant. Raises `ImproperlyConfigured` if an id is none of them, or nobody knows the task."""
    ids = tuple(given.get("ids", ()))
    found = app.dead.list(
        _choice(app, given["filter"]),
        ids=ids,
        queues=given["queues"],
        task=given["task"],
        reason=given["reason"],
        since=given["since"],
        until=given["until"],
        **({"limit": given["limit"]} if "limit" in given else {}),
    )
    missing = set(ids) - {each.id for each in found}
    if missing:
        raise ImproperlyConfigured(f"there is no such dead letter: {', '.join(sorted(missing))}")
    if not found:
        check_known(app, given["task"])
    return found


def _choice(app: Umbel, filter: str | None) -> Choice | None:
    """Who chooses what *filter* means. Raises `FilterError`."""
    if not filter:
        return None
    from umbel.history.letters import Chosen, LetterFilter

    redaction = Redaction(app.conf.event_redact)
    return Chosen(LetterFilter(filter, time.time(), redaction, lambda task: sketch_of(app.tasks.get(task))))


def _plain(letter: DeadLetter) -> dict[str, Any]:
    """*letter* without its envelope, which is no text."""
    found = msgspec.structs.asdict(letter)
    del found["envelope"]
    return found


def _table(found: list[DeadLetter]) -> list[str]:
    rows = [
        (each.id, each.queue, shown(each.buried), each.attempts, each.task or "-", each.reason[:MAX_REASON] or "-")
        for each in found
    ]
    return table(("ID", "QUEUE", "DIED", "ATTEMPTS", "TASK", "REASON"), rows)
