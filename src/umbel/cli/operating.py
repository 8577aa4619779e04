"""The options of `umbel worker` that say how it is run: probes, size, end, reload, and the life of a daemon."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

import click

from umbel.exceptions import ImproperlyConfigured

_F = TypeVar("_F", bound=Callable[..., Any])


class Daemon(NamedTuple):
    """How the process of a worker lives: in the background or not, under which user, known by which file."""

    detach: bool = False
    pidfile: str = ""
    uid: str = ""
    gid: str = ""
    umask: str = ""
    logfile: str = ""


def operating(function: _F) -> _F:
    """Give a command these options."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def daemon_of(given: dict[str, Any]) -> Daemon:
    """Take the options of a daemon out of *given*. Raises `ImproperlyConfigured` for those that contradict others."""
    own = {name: given.pop(name) for name in Daemon._fields if name != "logfile"}
    daemon = Daemon(**own, logfile=given["logfile"])
    if daemon.detach and given["reload"]:
        raise ImproperlyConfigured("--reload is for a worker that one watches: leave out -D")
    if daemon.detach and not daemon.logfile:
        raise ImproperlyConfigured("-D has no terminal to write its log to: give -f FILE")
    if (given["reload_dirs"] or given["reload_include"]) and not given["reload"]:
        raise ImproperlyConfigured("--reload-dir and --reload-include say where --reload looks: give --reload, too")
    if given["reload"]:
        # Two changes within a second could leave a compiled file behind that looks newer than the source.
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    return daemon


def apply_include(modules: str) -> None:
    """Have *modules*, names separated by commas, imported by the worker, instead of those that the settings name."""
    if modules:
        os.environ["UMBEL_INCLUDE"] = modules


def told_in_vain(given: dict[str, Any]) -> list[str]:
    """Take the options of Celery's that tune what Umbel does not have out of *given*; answers those that were used.

    Raises `ImproperlyConfigured` for one that does something elsewhere.
    """
    moot = {name: given.pop(name) for name in _MOOT}
    if given.pop("purge"):
        raise ImproperlyConfigured("worker --purge is not supported: use `umbel purge` before you start the worker")
    return [_MOOT[name] for name, value in moot.items() if value]


def apply_events(told: bool | None) -> None:
    """Have the worker tell of jobs in events, or not; None: as the settings say."""
    if told is not None:
        os.environ["UMBEL_WORKER_SEND_TASK_EVENTS"] = str(told).lower()


def apply_settings(words: tuple[str, ...]) -> None:
    """Hand *words*, such as ``worker.lease=30``, on as the variables that beat the app's own settings.

    Raises `ImproperlyConfigured` for what is no setting, or has a value that it cannot have.
    """
    if not words:
        return
    from umbel.settings import Settings

    for word in words:
        name, sign, value = word.partition("=")
        if not sign:
            raise ImproperlyConfigured(f"{word!r}: write a setting as name=value, such as worker.lease=30")
        setting = name.strip().replace(".", "_").lower()
        Settings().assign({setting: value}, word, text=True)
        os.environ[f"UMBEL_{setting.upper()}"] = value


def _address(_: click.Context, __: click.Parameter, text: str) -> str:
    if text:
        from umbel.worker.address import probe_address

        probe_address(text)
    return text


def _limits(_: click.Context, __: click.Parameter, text: str) -> str:
    if text:
        from umbel.worker.sizing import autoscale_limits

        autoscale_limits(text)
    return text


def _option(*names: str, variable: str, text: str, **attributes: Any) -> Callable[[_F], _F]:
    return click.option(*names, help=text, envvar=variable, show_envvar=True, **attributes)


_MOOT: Final = {
    "optimization": "-O",
    "without_gossip": "--without-gossip",
    "without_mingle": "--without-mingle",
    "without_heartbeat": "--without-heartbeat",
    "heartbeat_interval": "--heartbeat-interval",
    "executable": "--executable",
    "pool_start_method": "--pool-start-method",
    "schedule_filename": "--schedule-filename",
    "scheduler": "--scheduler",
    "statedb": "--statedb",
    "prefetch_multiplier": "--prefetch-multiplier",
    "disable_prefetch": "--disable-prefetch",
}

_OPTIONS: Final[tuple[Callable[[Any], Any], ...]] = (
    _option("-I", "--include", variable="UMBEL_INCLUDE", default="", metavar="MODULES",
            text="Modules with tasks to import, separated by commas."),
    _option("--health", variable="UMBEL_HEALTH", default="", metavar="[HOST:]PORT", callback=_address,
            text="Answer GET /livez, /readyz and /metrics there; a port alone is on 127.0.0.1."),
    _option("--health-file", variable="UMBEL_HEALTH_FILE", default="", metavar="FILE",
            text="Write the same there each second, for `umbel health --file`."),
    _option("--autoscale", variable="UMBEL_AUTOSCALE", default="", metavar="MAX,MIN", callback=_limits,
            text="More children while jobs wait, fewer when there is little to do."),
    _option("--burst", variable="UMBEL_BURST", is_flag=True,
            text="End when no job is ready, due or running; delayed ones are not waited for."),
    _option("--reload", variable="UMBEL_RELOAD", is_flag=True,
            text="For development: load the app anew when a file changes."),
    _option("--reload-dir", "reload_dirs", variable="UMBEL_RELOAD_DIRS", multiple=True, metavar="FOLDER",
            text="Where to look for that, instead of the working folder; may be repeated."),
    _option("--reload-include", "reload_include", variable="UMBEL_RELOAD_INCLUDE", multiple=True, metavar="PATTERN",
            text="Other files to look at, by their names, as in *.yaml; may be repeated."),
    _option("-D", "--detach", variable="UMBEL_DETACH", is_flag=True, text="Run in the background."),
    _option("--pidfile", variable="UMBEL_PIDFILE", default="", metavar="FILE",
            text="Write the process id there; refuse to start if it names a process that lives."),
    _option("--uid", variable="UMBEL_UID", default="", text="Become this user, given by name or number."),
    _option("--gid", variable="UMBEL_GID", default="", text="Become this group."),
    _option("--umask", variable="UMBEL_UMASK", default="", text="Mask of new files, octal."),
    click.option("-E", "--task-events/--no-task-events", "task_events", default=None,
                 help="Tell of jobs in events, as the default is.  [env var: UMBEL_WORKER_SEND_TASK_EVENTS]"),
    click.option("--without-gossip", is_flag=True, hidden=True),
    click.option("--without-mingle", is_flag=True, hidden=True),
    click.option("--without-heartbeat", is_flag=True, hidden=True),
    click.option("--heartbeat-interval", hidden=True),
    click.option("-O", "--optimization", hidden=True),
    click.option("--executable", hidden=True),
    click.option("--pool-start-method", hidden=True),
    click.option("-s", "--schedule-filename", "--schedule", "schedule_filename", hidden=True),
    click.option("-S", "--scheduler", hidden=True),
    click.option("--statedb", hidden=True),
    click.option("--prefetch-multiplier", hidden=True),
    click.option("--disable-prefetch", is_flag=True, hidden=True),
    click.option("--purge", "--discard", "purge", is_flag=True, hidden=True),
)  # fmt: skip
