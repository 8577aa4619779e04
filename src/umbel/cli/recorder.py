"""`umbel recorder`: reads the events of a broker into the history."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import click

from umbel.cli.asking import opened
from umbel.cli.command import Command, Frame
from umbel.cli.loglevel import checked_level
from umbel.log import FORMATS, setup

HELP: Final = """Record what happens to jobs in the history, until SIGTERM or Ctrl-C.

Any number may run, and each event counts once; one that was away goes on where it was, as far as the broker has kept
the events. Without one, jobs run as ever, and the history stands still. Where processors are short, it gives way to
the workers beside it, and catches up later.
"""
_logger: Final = logging.getLogger("umbel.recorder")


@click.command(cls=Command, help=HELP)
@click.option("-l", "--loglevel", default="INFO", callback=checked_level, help="DEBUG, INFO (the default), WARNING, …")
@click.option("-f", "--logfile", default="", help="Append the log to this file, not to stderr.")
@click.option("--log-format", "logformat", default="auto", type=click.Choice(FORMATS),
              help="auto: text on a terminal, else json.")  # fmt: skip
@click.pass_obj
def recorder(frame: Frame, /, *, loglevel: str, logfile: str, logformat: str) -> int:
    """Record, and answer the exit code."""
    from umbel.history.recording import record

    app = opened(frame)
    setup("WARNING" if frame.quiet else loglevel, logformat, logfile, False if frame.no_color else None)
    asyncio.run(record(app, lambda text: _logger.info("%s.", text.capitalize())))
    return 0
