"""`umbel revoke` and `umbel purge`: stop jobs one by one, by their task, or all that wait in a queue."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import click

from umbel.app.revoking import Stopped
from umbel.app.seat import inspector, known_queues, waited
from umbel.cli.asking import agreed, check_known, force_option, json_option, opened, queues_option, show_json
from umbel.cli.command import Command, Frame, names, said
from umbel.cli.progress import progress
from umbel.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from umbel.app.app import Umbel

REVOKE: Final = """Revoke the jobs ID...: those that wait end as REVOKED at once, with or without workers.

A job that runs goes on, but is not retried; with --terminate it is ended, too. A job that has ended stays as it is.
With --task all jobs of that task are revoked. If one of the ids is unknown, nothing is changed. RabbitMQ cannot
tell an unknown job from one that waits: it is marked, which is told, and the exit code is 0.
"""
PURGE: Final = """Revoke all jobs that wait in queues, delayed ones among them; those that run go on.

Without -Q it is the app's default queue. Prints how many jobs that were.
"""
_TOLD: Final = {
    "running": "not retried when it has ended",
    "ended": "had ended before",
    "dead": "had ended before",
    "unknown": "is gone meanwhile",
}


@click.command(cls=Command, help=REVOKE)
@click.argument("ids", nargs=-1, metavar="ID...")
@click.option("--task", callback=said, metavar="NAME", help="All jobs of this task, instead of ids.")
@queues_option
@click.option("--terminate", is_flag=True, help="End those that run.")
@click.option("--signal", metavar="NAME", help="With --terminate: SIGTERM (the default), or SIGKILL to end it at once.")
@force_option
@json_option
@click.pass_obj
def revoke(frame: Frame, /, *, as_json: bool, **given: Any) -> int:
    """Revoke them; answers the exit code."""
    ids, task = given["ids"], given["task"]
    if bool(ids) == bool(task):
        raise ImproperlyConfigured("give the ids of jobs, or --task NAME")
    if given["signal"] and not given["terminate"]:
        raise ImproperlyConfigured("--signal says how --terminate ends a job: give both")
    app = opened(frame)
    try:
        found = _by_task(app, task, given) if task else _by_id(app, ids, given)
    except ValueError as error:
        raise ImproperlyConfigured(str(error)) from error
    if as_json:
        show_json([one._asdict() for one in found])
        return 0
    if not found:
        frame.say("no such jobs")
    tell(found, terminate=given["terminate"])
    return 0


@click.command(cls=Command, help=PURGE)
@queues_option
@click.option("-X", "--exclude-queues", "excluded", callback=names, metavar="A,B", help="All queues but these.")
@force_option
@json_option
@click.pass_obj
def purge(frame: Frame, /, *, queues: tuple[str, ...], excluded: tuple[str, ...], force: bool, as_json: bool) -> int:
    """Purge them; answers the exit code."""
    app = opened(frame)
    wanted = [*(queues or app.conf.usual_queues)]
    if queues or excluded:
        waited(app, known_queues(app, excluded))
        wanted = [each for each in waited(app, known_queues(app, queues)) if each not in excluded]
    agreed(f"Revoke all jobs that wait in {', '.join(wanted) or 'no queue'}?", force=force)
    counts = {queue: _purge(frame, app, queue) for queue in wanted}
    if as_json:
        show_json(counts)
    else:
        for queue, count in counts.items():
            click.echo(f"{queue}: {count}")
    return 0


def _purge(frame: Frame, app: Umbel, queue: str) -> int:
    (counts,) = waited(app, inspector(app).counts([queue]))
    length = counts.ready + counts.delayed + counts.held + counts.parked
    with progress(frame, queue, length) as told:
        return app.control.purge(queue, told=told)


def tell(found: list[Stopped], *, terminate: bool) -> None:
    """Say what became of each job, or of how many."""
    for one in found:
        if one.marked and one.place == "unknown":
            click.echo(f"nothing is known of {one.id}: if it waits in a queue, it is revoked when a worker receives it")
    marked = sum(one.marked and one.place != "unknown" for one in found)
    if marked:
        click.echo(f"{marked} marked: revoked when a worker comes to it")
    for place, number in sorted(Counter(one.place for one in found if not one.marked).items()):
        told = "ended, if it stops in time" if place == "running" and terminate else _TOLD.get(place, "revoked")
        click.echo(f"{number} {place}: {told}")


def _by_id(app: Umbel, ids: tuple[str, ...], given: dict[str, Any]) -> list[Stopped]:
    look = inspector(app)
    for job_id in ids:
        if look.locate(job_id, None).place == "unknown":
            raise ImproperlyConfigured(f"no job {job_id!r} is known at {app.conf.table()['broker_url']}")
    return app.control.revoke(ids, terminate=given["terminate"], signal=given["signal"])


def _by_task(app: Umbel, task: str, given: dict[str, Any]) -> list[Stopped]:
    found = waited(app, known_queues(app, given["queues"]))
    agreed(f"Revoke all jobs of {task} in {', '.join(found) or 'no queue'}?", force=given["force"])
    stopped = app.control.revoke_by_task(task, found, terminate=given["terminate"], signal=given["signal"])
    if not stopped:
        check_known(app, task)
    return stopped
