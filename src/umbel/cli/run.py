"""`umbel worker`: hands the name of the app on unopened, because the supervisor imports no user code."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from click.core import ParameterSource

from umbel.cli.app_name import app_name
from umbel.cli.command import Command, Frame, Seconds, names
from umbel.cli.loglevel import checked_level
from umbel.cli.operating import apply_events, apply_include, apply_settings, daemon_of, operating, told_in_vain
from umbel.log import FORMATS
from umbel.worker.options import WorkerOptions
from umbel.worker.sizing import POOLS, checked_pool

HELP: Final = """Start a worker: a supervisor and child processes that run jobs until SIGTERM or Ctrl-C.

\b
-c N means, by pool (-P):
  prefork  N child processes, each with one slot for `def` tasks; N is by
           default the number of CPUs that this process may use (the default)
  threads  one child process with N slots for `def` tasks
  solo     one child process with one slot
  asyncio  one child process with one slot for `def` tasks and N for `async def`
In all but the last, each child also runs up to worker_async_concurrency (100)
`async def` tasks beside them. --processes and --threads set the two numbers
directly. What is not given here is taken from UMBEL_* variables, then from the
app's settings, then from umbel.toml or pyproject.toml.

Settings may follow as words, as in `umbel worker worker.lease=30`.

SIGTERM or Ctrl-C: no new jobs, running ones may finish within --grace seconds,
the rest goes back to its queue. The same signal again, or SIGQUIT: at once.
"""


_F = TypeVar("_F", bound=Callable[..., Any])
_NAME: Final = re.compile(r"[^\s,@][^\s,]*")
_count: Final = click.IntRange(min=1)
_seconds: Final = Seconds()
_limit: Final = Seconds(above=True)


def _named(ctx: click.Context, parameter: click.Parameter, name: str) -> str:
    # Whoever speaks to one worker separates names by commas.
    given = ctx.get_parameter_source(parameter.name or "") is not ParameterSource.DEFAULT
    if given and not _NAME.fullmatch(name):
        raise click.BadParameter(f"{name!r} cannot name a worker: no spaces, no commas, and not empty", param=parameter)
    return name


def _pool(_: click.Context, __: click.Parameter, name: str | None) -> str | None:
    return None if name is None else checked_pool(name)


def _option(*names: str, variable: str, text: str, **attributes: Any) -> Callable[[_F], _F]:
    """An option that a variable can give, too; those of settings are read by the settings."""
    if variable.startswith(("UMBEL_WORKER_", "UMBEL_TASK_")):
        return click.option(*names, help=f"{text}  [env var: {variable}]", **attributes)
    return click.option(*names, help=text, envvar=variable, show_envvar=True, **attributes)


@click.command(cls=Command, help=HELP)
@_option("-l", "--loglevel", variable="UMBEL_LOGLEVEL", default="WARNING", callback=checked_level,
         text="DEBUG, INFO, WARNING (the default), ERROR or CRITICAL.")  # fmt: skip
@_option("-f", "--logfile", variable="UMBEL_LOGFILE", default="", text="Append the log to this file, not to stderr.")
@_option("--log-format", "logformat", variable="UMBEL_LOG_FORMAT", default="auto", type=click.Choice(FORMATS),
         text="auto: text on a terminal, else json.")  # fmt: skip
@_option("-c", "--concurrency", variable="UMBEL_WORKER_CONCURRENCY", type=_count, text="Jobs at once, see above.")
@_option("-P", "--pool", variable="UMBEL_WORKER_POOL", callback=_pool, text=f"{', '.join(POOLS)}; see above.")
@_option("--processes", variable="UMBEL_WORKER_PROCESSES", type=_count, text="Child processes.")
@_option("--threads", variable="UMBEL_WORKER_THREADS", type=_count, text="Slots for `def` tasks in each child.")
@_option("-Q", "--queues", variable="UMBEL_QUEUES", callback=names, text="Queues to serve, separated by commas.")
@_option("-X", "--exclude-queues", variable="UMBEL_EXCLUDE_QUEUES", callback=names, text="Queues to leave out.")
@_option("-n", "--hostname", variable="UMBEL_HOSTNAME", default="", callback=_named,
         text="Name of this worker: %h is the host, %n its first part, %d its domain.")  # fmt: skip
@_option("--time-limit", variable="UMBEL_TASK_TIME_LIMIT", type=_limit,
         text="Seconds after which a job is ended whose task names no time_limit.")  # fmt: skip
@_option("--soft-time-limit", variable="UMBEL_TASK_SOFT_TIME_LIMIT", type=_limit,
         text="Seconds after which SoftTimeLimitExceeded is raised in it.")  # fmt: skip
@_option("--max-tasks-per-child", variable="UMBEL_WORKER_MAX_TASKS_PER_CHILD", type=_count,
         text="Jobs after which a child process is replaced.")  # fmt: skip
@_option("--max-memory-per-child", variable="UMBEL_WORKER_MAX_MEMORY_PER_CHILD", type=_count,
         text="KiB of memory above which a child process is replaced.")  # fmt: skip
@_option("--grace", variable="UMBEL_WORKER_SOFT_SHUTDOWN_TIMEOUT", type=_seconds,
         text="Seconds that running jobs have at SIGTERM.")  # fmt: skip
@_option("-B", "--beat/--no-beat", variable="UMBEL_BEAT", default=True,
         text="Send the jobs of schedules, as every worker does; with --no-beat others do.")  # fmt: skip
@operating
@click.argument("settings", nargs=-1)
@click.pass_obj
def worker(frame: Frame, /, *, settings: tuple[str, ...], include: str, **given: Any) -> int:
    """Start a worker and answer its exit code."""
    app = app_name(frame.app)
    apply_settings(settings)
    apply_include(include)
    apply_events(given.pop("task_events"))
    for option in told_in_vain(given):
        frame.say(f"{option} tunes nothing here: what it is about does not exist in Umbel")
    daemon = daemon_of(given)
    from umbel.cli.daemon import living
    from umbel.worker.worker import run_worker

    color = False if frame.no_color else None
    options = WorkerOptions(app=app, workdir=str(Path.cwd()), color=color, quiet=frame.quiet, **given)
    from umbel.telemetry.availability import exporter_of

    with living(daemon):
        return run_worker(options, exporter=exporter_of() if options.health else None)
