"""The command group: a static table of commands, each imported when it runs; errors become exit codes here."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

import click

from umbel import __version__
from umbel.cli.command import Command, global_options
from umbel.exceptions import BrokerUnavailable, ImproperlyConfigured, TimeoutError, UmbelError

FAILED: Final = 1
USAGE: Final = 2
UNAVAILABLE: Final = 69
TIMED_OUT: Final = 124
INTERRUPTED: Final = 130

COMMANDS: Final = {
    "beat": ("umbel.cli.beat:beat", "Send the jobs of schedules, and run none."),
    "call": ("umbel.cli.ask:call", "Send a job by the name of its task."),
    "control": ("umbel.cli.inspect:control", "Have workers grow, shrink, change their queues or shut down."),
    "dashboard": ("umbel.cli.dashboard:dashboard", "Show what happens to jobs in a browser."),
    "dead": ("umbel.cli.dead:dead", "List, show, retry, delete and export dead letters."),
    "dev": ("umbel.cli.dev:dev", "Run a worker that loads the code anew when it changes."),
    "doctor": ("umbel.cli.doctor:doctor", "Look at broker and result store: what endangers jobs, and the cure."),
    "events": ("umbel.cli.events:events", "Show what happens, as it happens."),
    "flows": ("umbel.cli.flows:flows", "List, show and revoke flows."),
    "health": ("umbel.cli.health:health", "Ask a worker of this host how it is."),
    "inspect": ("umbel.cli.inspect:inspect", "Show what workers do and know."),
    "list": ("umbel.cli.queues:list_jobs", "Show the jobs of queues."),
    "monitoring": ("umbel.cli.monitoring:monitoring", "Print the Grafana dashboard or the alert rules."),
    "purge": ("umbel.cli.revoke:purge", "Revoke all jobs that wait in a queue."),
    "queues": ("umbel.cli.queues:queues", "List, pause, resume and purge queues."),
    "recorder": ("umbel.cli.recorder:recorder", "Record what happens to jobs in the history."),
    "report": ("umbel.cli.shell:report", "Show what a report of a fault needs."),
    "result": ("umbel.cli.ask:result", "Show the result of a job."),
    "revoke": ("umbel.cli.revoke:revoke", "Revoke jobs."),
    "schedules": ("umbel.cli.schedules:schedules", "List, add, remove, pause, resume and run schedules."),
    "shell": ("umbel.cli.shell:shell", "Open a Python shell with the app."),
    "status": ("umbel.cli.status:status", "Show queues, workers and what they are running."),
    "worker": ("umbel.cli.run:worker", "Start a worker."),
}
"""Name to ``module:function`` and help line: `umbel --help` imports none of the modules."""

_CODES: Final = ((ImproperlyConfigured, USAGE), (BrokerUnavailable, UNAVAILABLE), (TimeoutError, TIMED_OUT))

HELP: Final = """Umbel, a distributed task queue.

The options below may also follow the command. Exit codes: 0 done, 1 failed, 2 wrong usage, settings or app,
69 broker unreachable or nobody answered, 124 timed out, 130 interrupted.
"""


_CELERYS: Final = {
    "flower": "use `umbel dashboard`",
    "multi": "give each worker a service unit, or start it with -D, --pidfile and a name of its own (-n)",
    "graph": "`umbel flows show` draws a flow",
    "logtool": "start workers with --log-format json",
    "amqp": "use the tools of RabbitMQ",
    "migrate": "let the old workers empty their queues",
    "upgrade": "`umbel report` shows the settings, and names those that are wrong",
}
"""Celery's commands that are not here, and what to do instead."""


class LazyGroup(click.Group):
    """A group that knows its commands by `COMMANDS` and imports one when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names in the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - likewise
        """Import the command *cmd_name*, or answer None. Raises `UsageError` for one of Celery's that is not here."""
        if cmd_name in _CELERYS:
            raise click.UsageError(f"there is no command {cmd_name!r}: {_CELERYS[cmd_name]}")
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name][0].split(":")
        command: Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - likewise
        """Write the table, importing nothing."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"umbel {__version__}")
        ctx.exit()


def _nothing(**_: object) -> None:
    """The group itself does nothing: its options are read by the command."""


_version: Final = click.Option(
    ("--version",), is_flag=True, expose_value=False, is_eager=True, callback=_show_version, help="Show the version."
)
group: Final = LazyGroup(
    "umbel",
    help=HELP,
    params=[*global_options(with_variables=True), _version],
    callback=_nothing,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line *arguments* (None: those of this process) and answer the exit code.

    An error is one sentence on stderr; its traceback is shown with ``--debug`` only.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code: int | None = group.main(words, prog_name="umbel", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last line of defence between a bug and a person
        return _explained(error, debug="--debug" in words or bool(os.environ.get("UMBEL_DEBUG")))
    return code or 0


def _explained(error: Exception, *, debug: bool) -> int:
    if debug:
        import traceback

        traceback.print_exception(error)
    expected = isinstance(error, UmbelError)
    text = _words(error) if expected else f"unexpected {type(error).__name__}: {_words(error)} (--debug shows where)"
    click.echo(f"Error: {text}", err=True)
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)


def _words(error: Exception) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - the error of a task is made again without its __init__
        return ", ".join(map(repr, error.args))
