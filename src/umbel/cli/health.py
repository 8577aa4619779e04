"""`umbel health`: asks a worker of this host how it is, without opening the app."""

from __future__ import annotations

import json
import socket
import time
from typing import Final

import click

from umbel.cli.command import Command, Frame, Seconds
from umbel.exceptions import ImproperlyConfigured
from umbel.worker.address import probe_address

FINE: Final = 0
ILL: Final = 1
MAX_ANSWER_BYTES: Final = 4096
OLD_SECONDS: Final = 15.0
"""A file is written each second; a verdict this old was written by a worker that is gone or hangs."""
_CLOCK: Final = time.CLOCK_BOOTTIME if hasattr(time, "CLOCK_BOOTTIME") else time.CLOCK_MONOTONIC

HELP: Final = """Ask a worker of this host how it is: exit code 0 if it is well, 1 if not.

Well means that each of its children got an answer from the broker within the last 10 seconds, or is busy, or that the
broker itself is away. With --ready: that it receives jobs now. Say where to look as the worker was told, by --health or
--health-file, or by the same variables. The app is not imported.
"""


@click.command(cls=Command, help=HELP)
@click.option("--at", envvar="UMBEL_HEALTH", show_envvar=True, default="", metavar="[HOST:]PORT", help="Ask this port.")
@click.option("--file", "path", envvar="UMBEL_HEALTH_FILE", show_envvar=True, default="", help="Read this file.")
@click.option("--ready", is_flag=True, help="Ask whether it receives jobs.")
@click.option("-j", "--json", "as_json", is_flag=True, help="One line of JSON: asked, ok, reason.")
@click.option("-t", "--timeout", type=Seconds(above=True), default=2.0, help="Seconds to wait.")
@click.pass_obj
def health(frame: Frame, /, *, at: str, path: str, ready: bool, as_json: bool, timeout: float) -> int:
    """Ask, say why not, and answer the exit code."""
    if not at and not path:
        raise ImproperlyConfigured(
            "where is the worker's health? Give --at PORT or --file FILE, as you gave the worker"
        )
    reason = _asked(at, ready=ready, timeout=timeout) if at else _read(path, ready=ready)
    if as_json:
        click.echo(json.dumps({"asked": "ready" if ready else "live", "ok": not reason, "reason": reason}))
    else:
        frame.say(reason or "ok")
    return ILL if reason else FINE


def _asked(at: str, *, ready: bool, timeout: float) -> str:
    host, port = probe_address(at)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - one listens there, one asks here
    request = f"GET /{'readyz' if ready else 'livez'} HTTP/1.1\r\nHost: umbel\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection((host, port), timeout=timeout) as connection:
            connection.sendall(request.encode())
            found = b""
            while len(found) < MAX_ANSWER_BYTES and (more := connection.recv(MAX_ANSWER_BYTES)):
                found += more
    except OSError as error:
        return f"nobody answers at {host}:{port}: {error}"
    head, _, body = found.partition(b"\r\n\r\n")
    return "" if head.startswith(b"HTTP/1.1 200") else body.decode(errors="replace").strip() or "no sensible answer"


def _read(path: str, *, ready: bool) -> str:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib costs a tenth of this command's time
            told = json.loads(file.read(MAX_ANSWER_BYTES))
        age = time.clock_gettime(_CLOCK) - told["at"]
        good = told["live"] and (told["ready"] or not ready)
    except OSError as error:
        return f"{path}: {error.strerror}"
    except (ValueError, TypeError, KeyError):
        return f"{path} is no health file"
    if not 0 <= age <= OLD_SECONDS:
        return f"{path} was written {age:.0f} s ago: the worker is gone or hangs"
    return "" if good else str(told.get("reason"))
