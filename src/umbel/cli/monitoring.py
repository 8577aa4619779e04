"""`umbel monitoring`: what Grafana and Prometheus need to watch workers, as files."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

import click

from umbel.cli.command import Command, Frame

FILES: Final = {"grafana": "grafana.json", "rules": "rules.yml"}

HELP: Final = """Print a file for monitoring: send it where it belongs.

\b
grafana  a dashboard of jobs, queues and workers, to be imported into Grafana
rules    alert rules, to be named under rule_files in Prometheus's configuration
"""


@click.command(cls=Command, help=HELP)
@click.argument("what", type=click.Choice(tuple(FILES)))
@click.pass_obj
def monitoring(frame: Frame, /, *, what: str) -> int:
    """Print it, and answer the exit code."""
    del frame
    text = (files("umbel.telemetry") / "monitoring" / FILES[what]).read_text(encoding="utf-8")
    click.echo(text, nl=False)
    return 0
