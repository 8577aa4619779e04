"""`umbel beat`: a scheduler that runs no jobs; every worker schedules, so it is for those who want one apart."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from umbel.cli.app_name import app_name
from umbel.cli.command import Command, Frame, Seconds
from umbel.cli.loglevel import checked_level
from umbel.log import FORMATS
from umbel.worker.options import WorkerOptions

HELP = """Send the jobs of schedules, and run none, until SIGTERM or Ctrl-C.

Every worker does that as well, unless it was started with --no-beat; any number of both may run, and each tick is sent
once. SIGHUP reads the app's code again.
"""


@click.command(cls=Command, help=HELP)
@click.option("-l", "--loglevel", default="INFO", callback=checked_level, help="DEBUG, INFO (the default), WARNING, …")
@click.option("-f", "--logfile", default="", help="Append the log to this file, not to stderr.")
@click.option("--log-format", "logformat", default="auto", type=click.Choice(FORMATS),
              help="auto: text on a terminal, else json.")  # fmt: skip
@click.option("--max-interval", type=Seconds(above=True), metavar="SECONDS",
              help="Look for new schedules that often, at least every 10 seconds.")  # fmt: skip
@click.option("-s", "--schedule", hidden=True, help="Celery's file of schedules: the broker keeps them.")
@click.option("-S", "--scheduler", hidden=True, help="Celery's scheduler classes: the broker keeps schedules.")
@click.pass_obj
def beat(
    frame: Frame, /, *, max_interval: float | None, schedule: str | None, scheduler: str | None, **given: Any
) -> int:
    """Schedule, and answer the exit code."""
    app = app_name(frame.app)
    if schedule or scheduler:
        frame.say("-s and -S tune nothing: the broker keeps the schedules")
    if max_interval is not None:
        os.environ["UMBEL_BEAT_MAX_LOOP_INTERVAL"] = str(max_interval)
    from umbel.worker.beat import run_beat

    color = False if frame.no_color else None
    return run_beat(WorkerOptions(app=app, workdir=str(Path.cwd()), color=color, quiet=frame.quiet, **given))
