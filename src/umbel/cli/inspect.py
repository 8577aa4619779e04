"""`umbel inspect` and `umbel control`: what workers do and know, and what they are to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, cast

import click

from umbel.app.inspection import Inspect
from umbel.app.orders import REFUSED, STATE, TELLING
from umbel.app.seat import inspector, mailbox
from umbel.cli.asking import agreed, force_option, json_option, opened, outlined, show_json, stranger
from umbel.cli.command import Frame, Seconds, Worded, names
from umbel.engines.address import masked
from umbel.exceptions import ImproperlyConfigured
from umbel.model.ids import valid_queue
from umbel.options import checked_limits
from umbel.worker.sizing import autoscale_limits

if TYPE_CHECKING:
    from umbel.app.app import Umbel
    from umbel.app.commands import Kind

NOBODY: Final = 69
USAGE: Final = 2

INSPECT: Final = """Show what workers do and know: VERB is one of those below. Exit code 69 when no worker answers.

\b
active         jobs that run
reserved       jobs that a child has received and not started
scheduled      delayed jobs of the queues that they serve
revoked        ids of jobs that were revoked and still run
query_task     where the jobs ID... are
registered     tasks that they know
active_queues  queues that they serve
stats          processes, slots, resources
conf           settings, secrets masked
report         versions, system, and the settings that are not defaults
ping           who hears

Commands of the app's own (@app.inspect_command) may be followed by words, too.
"""
CONTROL: Final = """Have workers do something: VERB is one of those below. Exit code 69 when no worker answers, 2 when
all refuse, 1 when some do.

\b
pool_grow N            have N children more (1)
pool_shrink N          have N children fewer (1); they finish what they run
pool_restart           replace each child when what it runs has ended
add_consumer QUEUE     serve this queue, too
cancel_consumer QUEUE  no longer serve this queue
time_limit TASK [SOFT] HARD
                       other limits, in seconds, for the runs that begin from now on
rate_limit TASK [RATE] another rate, such as 10/s, 100/m or 0 (any), for all workers together, until another one is
                       set; without RATE that of the code. It is kept by the broker: no worker need be there
quiet                  receive no jobs and finish those that run, until resume or a restart
resume                 receive jobs again
autoscale MAX MIN      other bounds, of workers with --autoscale
enable_events          tell of jobs in events from now on
disable_events         no longer tell of jobs
shutdown               stop, as SIGTERM would

Commands of the app's own (@app.control_command) may be followed by words, too.
"""
_ASKING: Final[dict[str, Callable[..., Any]]] = {
    "active": Inspect.active,
    "active_queues": Inspect.active_queues,
    "conf": Inspect.conf,
    "ping": Inspect.ping,
    "query_task": Inspect.query_task,
    "registered": Inspect.registered,
    "report": Inspect.report,
    "reserved": Inspect.reserved,
    "revoked": Inspect.revoked,
    "scheduled": Inspect.scheduled,
    "stats": Inspect.stats,
}
_NUMBERS: Final = ("pool_grow", "pool_shrink")
_QUEUES: Final = ("add_consumer", "cancel_consumer")
_HARMFUL: Final = ("shutdown",)
_RATE: Final = "rate_limit"

_destination: Final = click.option("-d", "--destination", callback=names, metavar="NAME,…", help="Only these workers.")
_timeout: Final = click.option(
    "-t", "--timeout", type=Seconds(), default=1.0, show_default=True, metavar="SECONDS",
    help="How long to wait for answers, at most.",
)  # fmt: skip


@click.command(cls=Worded, help=INSPECT)
@click.argument("verb", metavar="VERB")
@click.argument("words", nargs=-1, metavar="[ID|ARGUMENT...]")
@_destination
@_timeout
@json_option
@click.pass_obj
def inspect(frame: Frame, /, *, verb: str, words: tuple[str, ...], as_json: bool, **given: Any) -> int:
    """Show it; answers the exit code."""
    if verb in _ASKING and bool(words) != (verb == "query_task"):
        raise ImproperlyConfigured("query_task needs ids, and no other of these verbs takes any")
    app = opened(frame)
    arguments = {} if verb in _ASKING else _own(app, verb, "inspect", words, _ASKING)
    missing = stranger(app, given["destination"])
    if missing:
        return _answered(None, as_json=as_json, why=missing)
    _check_ids(app, words if verb == "query_task" else ())
    asked = app.control.inspect(given["destination"] or None, given["timeout"])
    found = _ASKING[verb](asked, *words) if verb in _ASKING else asked.command(verb, **arguments)
    return _answered(found, as_json=as_json)


def _check_ids(app: Umbel, ids: tuple[str, ...]) -> None:
    """Raise `ImproperlyConfigured` for an id that the broker does not know."""
    if ids:
        mailbox(app, "showing where jobs are")
    for job_id in ids:
        if inspector(app).locate(job_id, None).place == "unknown":
            raise ImproperlyConfigured(f"no job {job_id!r} is known at {masked(app.conf.broker_url)}")


@click.command(cls=Worded, help=CONTROL)
@click.argument("verb", metavar="VERB")
@click.argument("words", nargs=-1, metavar="[N|QUEUE|TASK|ARGUMENT…]")
@_destination
@_timeout
@force_option
@json_option
@click.pass_obj
def control(frame: Frame, /, *, verb: str, words: tuple[str, ...], as_json: bool, **given: Any) -> int:
    """Order it; answers the exit code."""
    if verb == _RATE:
        return _rate(frame, words, given["destination"], as_json=as_json)
    arguments = _arguments(verb, words) if verb in TELLING else {}
    app = opened(frame)
    if verb not in TELLING:
        arguments = _own(app, verb, "control", words, (*TELLING, _RATE))
    wanted = given["destination"] or None
    missing = stranger(app, given["destination"])
    if missing:
        return _answered(None, as_json=as_json, why=missing)
    if verb in _HARMFUL:
        agreed(f"Shut down {', '.join(wanted) if wanted else 'all workers'}?", force=given["force"])
    replies = app.control.broadcast(verb, arguments, wanted, reply=True, timeout=given["timeout"]) or []
    told = {name: reply for each in replies for name, reply in each.items()}
    code = _answered(told or None, as_json=as_json)
    return code or _verdict([_refused(reply) for reply in told.values()])


def _refused(reply: Any) -> bool:
    """Whether a worker refuses; or a child of it, if the command is the app's own."""
    if not isinstance(reply, dict):
        return False
    answers = cast("dict[str, Any]", reply)
    return "error" in answers or any(isinstance(each, dict) and "error" in each for each in answers.values())


def _own(app: Umbel, verb: str, kind: Kind, words: tuple[str, ...], known: Iterable[str]) -> dict[str, Any]:
    """The arguments of a command of the app. Raises `ImproperlyConfigured` if it has none of that name."""
    command = app.commands.get(verb, kind)
    if command is None:
        if verb in REFUSED or verb in STATE:
            cure = REFUSED.get(verb, "it is state of the broker, see `umbel revoke`")
            raise ImproperlyConfigured(f"{verb} is no {kind} command: {cure}")
        there = [*sorted(known), *(each.name for each in app.commands if each.kind == kind)]
        raise ImproperlyConfigured(f"there is no {kind} command {verb!r}; there are: {', '.join(there)}")
    try:
        return command.arguments(words)
    except ValueError as error:
        raise ImproperlyConfigured(str(error)) from error


def _verdict(refused: list[bool]) -> int:
    """The exit code: an order that every worker refuses was a wrong one, and has changed nothing."""
    return USAGE if all(refused) else int(any(refused))


def _arguments(verb: str, words: tuple[str, ...]) -> dict[str, Any]:
    """What *words* say after *verb*. Raises `ImproperlyConfigured`."""
    if verb == "time_limit":
        return _limits(words)
    if verb == "autoscale":
        most, least = autoscale_limits(",".join(words))
        return {"max": most, "min": least}
    if verb in _NUMBERS:
        if words and not (len(words) == 1 and words[0].isdecimal() and int(words[0])):
            raise ImproperlyConfigured(f"{verb} takes a number of children above 0, not {' '.join(words)!r}")
        return {"n": int(words[0]) if words else 1}
    if len(words) != (verb in _QUEUES):
        raise ImproperlyConfigured(f"{verb} {'needs a queue' if verb in _QUEUES else 'takes nothing'}")
    if words and not valid_queue(words[0]):
        raise ImproperlyConfigured(f"{words[0]!r} cannot name a queue: 1-128 of A-Z a-z 0-9 . _ @ : -")
    return {"queue": words[0]} if words else {}


def _limits(words: tuple[str, ...]) -> dict[str, Any]:
    task, *limits = words or ("",)
    why = f"{' '.join(words)!r} are {len(words)} words"
    try:
        if 1 <= len(words) <= len(("TASK", "SOFT", "HARD")):
            soft, hard = (None, *map(float, limits))[-2:] if limits else (None, None)
            checked_limits(soft, hard)
            return {"task_name": task, "soft": soft, "hard": hard}
    except ValueError as error:
        why = str(error)
    raise ImproperlyConfigured(f"time_limit takes TASK [SOFT] HARD, both in seconds: {why}")


def _rate(frame: Frame, words: tuple[str, ...], destination: tuple[str, ...], *, as_json: bool) -> int:
    if destination:
        raise ImproperlyConfigured("a rate counts for all workers together: leave -d out")
    if len(words) not in (1, 2):
        raise ImproperlyConfigured("rate_limit takes TASK [RATE], the rate as 10/s, 100/m or 5/h")
    task, *rate = words
    try:
        queues = opened(frame).control.rate_limit(task, rate[0] if rate else None)
    except ValueError as error:
        raise ImproperlyConfigured(str(error)) from error
    if as_json:
        show_json({"queues": queues})
    else:
        frame.say(f"{task}: {rate[0] if rate else 'the rate of its code'} in {', '.join(queues)}")
    return 0


def _answered(replies: dict[str, Any] | None, *, as_json: bool, why: str = "no worker answered") -> int:
    if replies is None:
        if as_json:
            show_json({})
        click.echo(f"Error: {why}", err=True)
        return NOBODY
    if as_json:
        show_json(replies)
        return 0
    for name, reply in sorted(replies.items()):
        click.echo("\n".join(outlined(name, reply)))
    return 0
