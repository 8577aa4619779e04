"""`umbel dev`: everything that development needs in one command, on the embedded file unless told otherwise."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

import click

from umbel.cli.app_name import app_name
from umbel.cli.command import Command, Frame, names
from umbel.cli.loglevel import checked_level
from umbel.worker.options import WorkerOptions

HELP: Final = """Run a worker that sends the jobs of schedules, too, and the dashboard; changed code runs at once.

Without a broker in the app or its settings, jobs are kept in an embedded file in this folder. Python files and
umbel.toml are watched, but for hidden folders and what .gitignore leaves out. When one changes, the app is loaded anew;
running jobs have 2 seconds to finish, then they go back to their queue. If the new code cannot be loaded, the error is
shown and the old code goes on until the next change. The dashboard records what happens, and tells its address. Not for
production: use `umbel worker` and `umbel dashboard` there.
"""


@click.command(cls=Command, help=HELP)
@click.option("-l", "--loglevel", default="INFO", callback=checked_level, help="DEBUG, INFO (the default), WARNING, …")
@click.option("-c", "--concurrency", type=click.IntRange(min=1), default=2, show_default=True, help="Jobs at once.")
@click.option("-Q", "--queues", callback=names, help="Queues to serve, separated by commas.")
@click.option("--reload-dir", "reload_dirs", multiple=True, metavar="FOLDER",
              help="Watch this folder instead of the working folder; may be repeated.")  # fmt: skip
@click.option("--reload-include", "reload_include", multiple=True, metavar="PATTERN",
              help="Watch files of such names, too, as in *.yaml; may be repeated.")  # fmt: skip
@click.option(
    "--port", type=click.IntRange(0, 65_535), help="The port of the dashboard.  [default: 5555, or a free one]"
)
@click.option("--no-dashboard", is_flag=True, help="Run no dashboard; then nobody records, either.")
@click.pass_obj
def dev(frame: Frame, /, *, port: int | None, no_dashboard: bool, **given: Any) -> int:
    """Run it, and answer the exit code."""
    app = app_name(frame.app)
    from umbel.cli.companion import dashboard_beside
    from umbel.worker.worker import run_worker

    # Two changes within a second could leave a compiled file behind that looks newer than the source.
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    color = False if frame.no_color else None
    options = WorkerOptions(
        app=app, workdir=str(Path.cwd()), color=color, quiet=frame.quiet, logformat="text", reload=True, **given
    )
    with nullcontext() if no_dashboard else dashboard_beside(frame, app, port):
        return run_worker(options)
