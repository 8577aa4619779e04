"""`umbel dashboard`: what happens to jobs, in a browser."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

import click

from umbel.cli.asking import opened
from umbel.cli.command import Command, Frame
from umbel.cli.loglevel import checked_level
from umbel.exceptions import ImproperlyConfigured
from umbel.log import FORMATS, setup

HELP: Final = """Serve the dashboard, until SIGTERM or Ctrl-C."""
NEEDED: Final = ("starlette", "jinja2", "uvicorn")


@click.command(cls=Command, help=HELP)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option("--port", default=5555, show_default=True, type=click.IntRange(0, 65_535), help="The port; 0: any.")
@click.option("-l", "--loglevel", default="INFO", callback=checked_level, help="DEBUG, INFO (the default), WARNING, …")
@click.option("--log-format", "logformat", default="auto", type=click.Choice(FORMATS),
              help="auto: text on a terminal, else json.")  # fmt: skip
@click.pass_obj
def dashboard(frame: Frame, /, *, host: str, port: int, loglevel: str, logformat: str) -> int:
    """Serve it, and answer the exit code."""
    if any(find_spec(name) is None for name in NEEDED):
        raise ImproperlyConfigured(
            'the dashboard needs packages that are not installed: pip install "umbel[dashboard]"'
        )
    from umbel.dashboard.options import Options
    from umbel.dashboard.server import serve
    from umbel.dashboard.station import Station

    app = opened(frame)
    setup("WARNING" if frame.quiet else loglevel, logformat, "", False if frame.no_color else None)
    serve(Station(app, Options()), host, port)
    return 0
