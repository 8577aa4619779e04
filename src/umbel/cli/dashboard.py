"""`umbel dashboard`: what happens to jobs, in a browser."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Final, TypeVar

import click

from umbel.cli.asking import opened
from umbel.cli.command import Command, Frame
from umbel.cli.companion import CURE, NEEDED
from umbel.cli.loglevel import checked_level
from umbel.exceptions import ImproperlyConfigured
from umbel.log import FORMATS, setup

F = TypeVar("F", bound=Callable[..., Any])

HELP: Final = """Serve the dashboard, until SIGTERM or Ctrl-C, and record beside it what happens to jobs.

By default it listens on this machine alone, and whoever is there may do everything. For others it has users with
passwords and tokens, or takes the word of a proxy: those are settings, and their hashes are made with --hash-password
and --new-token. What is given here beats the settings dashboard_….
"""
LEAST_CHARACTERS: Final = 8
_ADDRESS: Final = ("host", "port", "unix_socket")
_logger: Final = logging.getLogger("umbel.dashboard")


def _hash_password(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted:
        return
    from umbel.dashboard.access.passwords import hashed_password

    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if len(password) < LEAST_CHARACTERS:
        raise ImproperlyConfigured(f"a password has {LEAST_CHARACTERS} characters or more")
    click.echo(hashed_password(password))
    ctx.exit()


def _new_token(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted:
        return
    from umbel.dashboard.access.passwords import hashed_token, new_token

    token = new_token()
    click.echo(f"The token, shown this once: {token}", err=True)
    click.echo(hashed_token(token))
    ctx.exit()


def _once(*names: str, help: str, callback: Callable[[click.Context, click.Parameter, bool], None]) -> Callable[[F], F]:
    return click.option(*names, is_flag=True, is_eager=True, expose_value=False, callback=callback, help=help)


@click.command(cls=Command, help=HELP)
@click.option("--host", help="The address to listen at.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65_535), help="The port; 0: any that is free.  [default: 5555]")
@click.option("--any-port", is_flag=True, help="Listen at any port that is free, if that one is taken.")
@click.option("--unix-socket", metavar="PATH", help="Listen at this socket instead.")
@click.option("--prefix", metavar="PATH", help="The path under which a proxy has the dashboard, such as /umbel.")
@click.option("--read-only", is_flag=True, default=None, help="Nobody can change anything.")
@click.option("--recorder/--no-recorder", default=None, help="Whether to record.  [default: recorder]")
@click.option("--allowed-host", "allowed_hosts", multiple=True, metavar="NAME",
              help="A name under which it is asked, beside localhost; may be repeated.")  # fmt: skip
@click.option("--trusted-proxy", "trusted_proxies", multiple=True, metavar="ADDRESS",
              help="A proxy whose word counts: an address, a network or unix; may be repeated.")  # fmt: skip
@click.option("--user-header", metavar="NAME", help="The header in which such a proxy names the user.")
@_once("--hash-password", callback=_hash_password, help="Ask for a password, print what to keep of it, and end.")
@_once("--new-token", callback=_new_token, help="Make a token, print what to keep of it, and end.")
@click.option("-l", "--loglevel", default="INFO", callback=checked_level, help="DEBUG, INFO (the default), WARNING, …")
@click.option("--log-format", "logformat", default="auto", type=click.Choice(FORMATS),
              help="auto: text on a terminal, else json.")  # fmt: skip
@click.pass_obj
def dashboard(frame: Frame, /, *, loglevel: str, logformat: str, any_port: bool, **given: Any) -> int:
    """Serve it, and answer the exit code."""
    if any(find_spec(name) is None for name in NEEDED):
        raise ImproperlyConfigured(f"the dashboard needs packages that are not installed: {CURE}")
    from umbel.dashboard.options import options_of
    from umbel.dashboard.server import Address, serve
    from umbel.dashboard.station import Station

    app = opened(frame)
    setup("WARNING" if frame.quiet else loglevel, logformat, "", False if frame.no_color else None)
    said = {name: value for name, value in given.items() if value not in (None, ())}
    place = {name: said.pop(name, app.conf[f"dashboard_{name}"]) for name in _ADDRESS}
    station = Station(app, options_of(app.conf, said))
    serve(station, Address(**place, any_port=any_port), lambda where: _logger.info("The dashboard is at %s", where))
    return 0
