"""`umbel queues` and `umbel list`: queues and the jobs in them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Final, cast

import click

from umbel.admitting import limit_store
from umbel.app.queues import PLACES, QueueInfo
from umbel.app.seat import job_store, known_queues, waited
from umbel.cli.asking import (
    agreed,
    call_text,
    check_known,
    force_option,
    json_option,
    opened,
    queues_option,
    show_json,
    shown,
    task_option,
)
from umbel.cli.command import Command, Frame
from umbel.cli.table import table
from umbel.contracts.capabilities import Power, demand
from umbel.exceptions import ImproperlyConfigured
from umbel.settings.masking import masked
from umbel.states import Place

if TYPE_CHECKING:
    from umbel.app.app import Umbel

HELP: Final = """Queues of a broker: list, pause, resume and purge them. With -b the app is not needed.

Nobody receives from a paused queue; jobs may still be sent to it, and those that run go on.
"""
LIST: Final = """Show jobs: those that the broker has, or with a FILTER those in the history.

Without FILTER: the jobs that have not ended, in the order in which they will start, and dead letters. --state is ready,
delayed, held (by a limit), running, parked (no worker knew the task) or dead; by default all but dead.

With FILTER: what a recorder has noted, newest first; such as 'state:failed since:1h', 'task:mail.* arg.lang:de run>5s'
or '"free text"'. Its terms are on the page on the history.
"""
LIMITS: Final = """Show the limits of a queue that have jobs, or another rate than in the code of their task.

A limit counts the jobs of a TASK, or of one KEY of it. HELD jobs wait, of so many TURNS; those RELEASED may start,
those RUNNING have. A rate that somebody has set stands with "(set)".
"""
_HEADS: Final = ("QUEUE", "READY", "DELAYED", "HELD", "RUNNING", "PARKED", "DEAD", "STATE")
_LIMIT_HEADS: Final = ("TASK", "KEY", "RATE", "AT ONCE", "HELD", "TURNS", "RELEASED", "RUNNING")


@click.group(help=HELP)
def queues() -> None:
    """Only its commands do something."""


def _numbers(one: QueueInfo) -> tuple[object, ...]:
    return one.queue, one.ready, one.delayed, one.held, one.running, one.parked, one.dead


_queues: Final = click.argument("wanted", metavar="QUEUE...", nargs=-1, required=True)


@queues.command("list", cls=Command, help="Show the queues with their numbers of jobs.")
@json_option
@click.pass_obj
def list_queues(frame: Frame, /, *, as_json: bool) -> int:
    """Show them; answers the exit code."""
    app = opened(frame)
    demand(app.broker, Power.LEASES, "listing queues", masked(app.conf.broker_url))
    found = app.queues.list()
    if as_json:
        show_json(found)
    elif found:
        rows = [(*_numbers(one), "paused" if one.paused else "") for one in found]
        click.echo("\n".join(table(_HEADS, rows)))
    else:
        frame.say("no queue was used yet")
    return 0


@queues.command(cls=Command, help=LIMITS)
@click.argument("queue")
@json_option
@click.pass_obj
def limits(frame: Frame, /, *, queue: str, as_json: bool) -> int:
    """Show them; answers the exit code."""
    app = opened(frame)
    limit_store(app, f"limiting jobs of {queue}")
    waited(app, known_queues(app, (queue,)))
    found = list(app.queues.limits(queue))
    if as_json:
        show_json(found)
    elif found:
        rows = [
            (
                one.task,
                one.key or "-",
                f"{one.rate or 'any'}{' (set)' if one.adjusted else ''}",
                one.concurrency or "any",
                one.held,
                one.turns,
                one.released,
                one.running,
            )
            for one in found
        ]
        click.echo("\n".join(table(_LIMIT_HEADS, rows)))
    else:
        frame.say("no job there is under a limit")
    return 0


@queues.command(cls=Command, help="Let nobody receive from these queues.")
@_queues
@click.pass_obj
def pause(frame: Frame, /, *, wanted: tuple[str, ...]) -> int:
    """Pause them; answers the exit code."""
    opened(frame).queues.pause(*wanted)
    return 0


@queues.command(cls=Command, help="Let workers receive from these queues again.")
@_queues
@click.pass_obj
def resume(frame: Frame, /, *, wanted: tuple[str, ...]) -> int:
    """Resume them; answers the exit code."""
    opened(frame).queues.resume(*wanted)
    return 0


@queues.command(cls=Command, help="Revoke all jobs that wait in these queues, as umbel purge does.")
@_queues
@force_option
@click.pass_obj
def purge(frame: Frame, /, *, wanted: tuple[str, ...], force: bool) -> int:
    """Purge them; answers the exit code."""
    app = opened(frame)
    waited(app, known_queues(app, wanted))
    agreed(f"Revoke all jobs that wait in {', '.join(wanted)}?", force=force)
    for queue in wanted:
        click.echo(f"{queue}: {app.control.purge(queue)}")
    return 0


def _check_listed(app: Umbel) -> None:
    """Raise `ImproperlyConfigured` for an engine that lists no jobs; it may also know of no queue."""
    try:
        job_store(app, "listing jobs")
    except ImproperlyConfigured as error:
        advice = "`umbel status` counts what waits, and `umbel list FILTER` shows what a history has recorded"
        raise ImproperlyConfigured(f"{error}. A message queue cannot be looked through: {advice}") from error


@click.command("list", cls=Command, help=LIST)
@click.argument("filter", metavar="[FILTER]", required=False)
@queues_option
@click.option("--state", "places", multiple=True, type=click.Choice(PLACES), help="Where they are; may be repeated.")
@task_option
@click.option("-n", "--limit", type=click.IntRange(min=1), default=100, show_default=True,
              help="How many a queue; with FILTER, in all.")  # fmt: skip
@click.option("--before", type=click.IntRange(min=1), metavar="NUMBER", help="With FILTER: go on after a list before.")
@json_option
@click.pass_obj
def list_jobs(frame: Frame, /, *, filter: str | None, before: int | None, as_json: bool, **given: Any) -> int:
    """Show them; answers the exit code."""
    app = opened(frame)
    if filter is not None or before is not None:
        if given["queues"] or given["places"] or given["task"]:
            raise click.UsageError("-Q, --state and --task are for lists without FILTER: write queue:x state:y task:z")
        from umbel.cli.found import show_found

        return show_found(frame, app, filter or "", given["limit"], before, as_json=as_json)
    _check_listed(app)
    places = cast("tuple[Place, ...]", given["places"] or PLACES[:-1])
    found = [
        job
        for queue in waited(app, known_queues(app, given["queues"]))
        for job in itertools.islice(
            (job for place in places for job in app.queues.jobs(queue, place, task=given["task"])), given["limit"]
        )
    ]
    if not found:
        check_known(app, given["task"])
    if as_json:
        show_json(found)
        return 0
    rows = [
        (
            job.id,
            job.queue,
            "revoked" if job.revoked else job.place,
            job.priority,
            shown(job.created if job.due is None else job.due),
            job.retries,
            job.error or call_text(job.task, job.args, job.kwargs),
        )
        for job in found
    ]
    if rows:
        click.echo("\n".join(table(("ID", "QUEUE", "STATE", "PRIORITY", "SENT OR DUE", "RETRIES", "CALL"), rows)))
    else:
        frame.say("no such jobs")
    return 0
