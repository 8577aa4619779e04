"""Server: serves a dashboard over HTTP until it is told to stop."""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import stat
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import uvicorn
from starlette.applications import Starlette

from umbel.dashboard.access.hosts import is_local
from umbel.dashboard.options import CURE, Options
from umbel.dashboard.site import site
from umbel.dashboard.station import Station
from umbel.exceptions import ImproperlyConfigured

BACKLOG: Final = 256
END_SECONDS: Final = 1
"""How long answers that are under way have when the server stops; streams end at once."""
MAX_HEADER_BYTES: Final = 32 * 1024
_OPEN_MODE: Final = 0o660
_OWN_MODE: Final = 0o600


class Address(msgspec.Struct, frozen=True):
    """Where to listen: at *host* and *port*, or another port if *any_port* and it is taken; or at a Unix socket."""

    host: str = "127.0.0.1"
    port: int = 5555
    unix_socket: str = ""
    any_port: bool = False


class _Server(uvicorn.Server):
    """Ends in peace at SIGTERM and Ctrl-C: uvicorn's own would die of the signal afterwards."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], object]) -> None:
        """Serve as *config* has it; *ready* is called once signals are heard, and not before: it is told to others."""
        super().__init__(config)
        self._ready = ready

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End streams at once, and the rest as uvicorn does."""
        cast(Starlette, self.config.app).state.end_streams()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        before = {each: signal.signal(each, self.handle_exit) for each in (signal.SIGTERM, signal.SIGINT)}
        try:
            self._ready()
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


def serve(station: Station, address: Address, said: Callable[[str], object]) -> None:
    """Serve the dashboard of *station* until SIGTERM or Ctrl-C; *said* is told where, once it can be asked.

    Raises `ImproperlyConfigured` if everybody could reach it and nobody would be asked who he is, or the address is
    taken.
    """
    check_address(address, station.options)
    listening = _listening(address, guarded=station.options.guarded)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # what it does otherwise is said by us
    config = uvicorn.Config(
        site(station), http="h11", log_config=None, access_log=False, ws="none", lifespan="on", proxy_headers=False,
        server_header=False, timeout_graceful_shutdown=END_SECONDS, h11_max_incomplete_event_size=MAX_HEADER_BYTES,
    )  # fmt: skip
    try:
        _Server(config, lambda: said(shown(address, listening, station.options.prefix))).run([listening])
    finally:
        listening.close()
        if address.unix_socket:
            with suppress(OSError):
                Path(address.unix_socket).unlink()


def check_address(address: Address, options: Options) -> None:
    """Raise `ImproperlyConfigured` if others could come to *address*, and nobody would be asked who he is."""
    if not (address.unix_socket or is_local(address.host) or options.guarded):
        raise ImproperlyConfigured(
            f"whoever reaches {address.host} could see and do everything: listen at 127.0.0.1, or {CURE}"
        )


def shown(address: Address, listening: socket.socket, prefix: str) -> str:
    """Where a browser finds what is *listening*."""
    if address.unix_socket:
        return f"unix:{address.unix_socket}"
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"http://{host}:{listening.getsockname()[1]}{prefix}/"


def _listening(address: Address, *, guarded: bool) -> socket.socket:
    if address.unix_socket:
        return _unix(Path(address.unix_socket), _OPEN_MODE if guarded else _OWN_MODE)
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise ImproperlyConfigured(f"--host {address.host!r} is no address of this machine: {error.strerror}") from None
    try:
        try:
            return _listening_at(family, kind, protocol, where)
        except OSError as error:
            if not address.any_port or error.errno != errno.EADDRINUSE:
                raise
            return _listening_at(family, kind, protocol, (where[0], 0, *where[2:]))
    except OSError as error:
        raise ImproperlyConfigured(_taken(address, error)) from None


def _listening_at(family: int, kind: int, protocol: int, where: tuple[Any, ...]) -> socket.socket:
    found = socket.socket(family, kind, protocol)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(where)
        found.listen(BACKLOG)  # of two that were bound at the same moment the second one fails only here
    except OSError:
        found.close()
        raise
    return found


def _taken(address: Address, error: OSError) -> str:
    where = f"{address.host}:{address.port}"
    match error.errno:
        case errno.EADDRINUSE:
            return f"{where} is taken: end what listens there, or choose another port with --port (0: any)"
        case errno.EACCES:
            return f"{where} needs rights that this process lacks: choose a port from 1024 with --port"
        case _:
            return f"{where} is no address of this machine: choose another with --host ({error.strerror})"


def _unix(path: Path, mode: int) -> socket.socket:
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode) and not _answers(path):
            path.unlink()  # left behind by one that was killed
        before = os.umask(0o777 & ~mode)
        try:
            found.bind(str(path))
        finally:
            os.umask(before)
    except OSError as error:
        found.close()
        why = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be made ({error.strerror})"
        raise ImproperlyConfigured(f"the socket {path} {why}: choose another path with --unix-socket") from None
    found.listen(BACKLOG)
    return found


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        return asking.connect_ex(str(path)) == 0
