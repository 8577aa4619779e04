"""`umbel shell` and `umbel report`: the app at hand, and what to tell of it when something is wrong."""

from __future__ import annotations

import platform
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import click

from umbel import __version__
from umbel.cli.asking import json_option, outlined, show_json
from umbel.cli.command import Command, Frame
from umbel.cli.opened import open_app

SHELL: Final = """Open a Python shell with the app: app, its tasks by their short names, result(id) and control.

IPython is used if it is installed, unless --plain is given.
"""
_DRIVERS: Final = (
    "msgspec",
    "click",
    "apsw",
    "hiredis",
    "redis",
    "psycopg",
    "pamqp",
    "sqlalchemy",
    "uvloop",
    "obstore",
)


@click.command(cls=Command, help=SHELL)
@click.option("--plain", is_flag=True, help="Python's own shell.")
@click.pass_obj
def shell(frame: Frame, /, *, plain: bool) -> int:
    """Open it; answers the exit code."""
    names = _names(open_app(frame))
    banner = f"umbel {__version__}: {', '.join(sorted(names))}"
    ipython = None if plain else _ipython()
    if ipython is not None:
        click.echo(banner, err=True)
        ipython(argv=[], user_ns=names)
        return 0
    import code

    code.interact(banner=banner, local=names, exitmsg="")
    return 0


@click.command(cls=Command, help="Show versions, settings (secrets masked) and tasks: what a report of a fault needs.")
@json_option
@click.pass_obj
def report(frame: Frame, /, *, as_json: bool) -> int:
    """Show it; answers the exit code."""
    app = open_app(frame)
    app.load_tasks()
    conf = app.conf
    changed = {name: value for name, value in conf.table().items() if conf.origin(name) != "default"}
    found: dict[str, Any] = {
        "umbel": __version__,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in _DRIVERS},
        "settings": {name: {"value": value, "from": conf.origin(name)} for name, value in changed.items()},
        "unused_settings": list(conf.moot),
        "tasks": sorted(app.tasks),
    }
    if as_json:
        show_json(found)
        return 0
    settings = {name: f"{value!r}  ({conf.origin(name)})" for name, value in changed.items()}
    for name, value in {**found, "settings": settings}.items():
        click.echo("\n".join(outlined(name, value)))
    return 0


def _names(app: Any) -> dict[str, Any]:
    app.load_tasks()
    tasks = {name.rpartition(".")[2]: task for name, task in app.tasks.items()}
    return {**tasks, "app": app, "result": app.AsyncResult, "control": app.control}


def _ipython() -> Any:
    try:
        return import_module("IPython").start_ipython
    except ImportError:
        return None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
