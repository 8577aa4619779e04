"""Bells: datagram sockets in the folder beside the file, so that nobody polls it.

A child that waits for work has a socket ``w-<random>-<queues>`` there, and whoever commits work for one of its queues
sends it an empty datagram. A process that waits for results has a socket ``r-<random>`` and is told ids of ended jobs.
Whoever listens at a box has a socket ``m-<random>-<box>``.
A bell is a hint and never the truth: it is rung after the commit, and whoever hears it looks into the file.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from umbel.model import chance

WORK: Final = "w"
NEWS: Final = "r"
MAIL: Final = "m"
_ANY: Final = "any"
_MAX_NAMED_QUEUES: Final = 24
"""More queues than fit into a file name are written as "any": such a waiter is woken for each queue."""
_MAX_IDS_BYTES: Final = 4096
_SEPARATOR: Final = b"\n"
_SUN_PATH: Final = 100
_BY_DESCRIPTOR: Final = Path("/proc/self/fd")
_STALE: Final = (ConnectionRefusedError, FileNotFoundError)


class Bells:
    """The sockets in *folder*: rings those of others, makes new ones. Never raises: the truth is in the file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._opened: dict[int, tuple[int, socket.socket]] = {}

    def ring(self, queues: Mapping[str, int]) -> None:
        """Wake waiters for work: for each queue at most as many as it has new jobs."""
        listed = [name for name in self._listed() if name[0] == WORK]
        chance.shuffle(listed)
        for queue, number in queues.items() if listed else ():
            mark, left = _mark(queue), number
            for name in listed:
                if left <= 0:
                    break
                if mark in name or name.endswith(_ANY):
                    left -= self._send(name, b"")

    def tell(self, job_ids: Sequence[str]) -> None:
        """Tell all processes that wait for results which jobs have ended."""
        listed = [name for name in self._listed() if name[0] == NEWS]
        if not listed:
            return
        for part in _datagrams(job_ids):
            for name in listed:
                self._send(name, part)

    def deliver(self, box: str) -> None:
        """Wake everybody who listens at *box*."""
        mark = _mark(box)
        for name in self._listed():
            if name[0] == MAIL and mark in name:
                self._send(name, b"")

    def make(self, kind: str, queues: Iterable[str] = ()) -> Bell | None:
        """A new bell for *queues* or a box, bound and seen to ring; None where sockets do not work in this folder."""
        name = f"{kind}-{secrets.token_hex(8)}-{_marks(list(queues))}"
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        bell = Bell(bound, self._folder / name)
        try:
            bound.bind(self._address(name))
        except OSError:
            bell.close()
            return None
        if not self._send(name, b"") or bell.read() is None:
            bell.close()
            return None
        return bell

    def nudge(self, bell: Bell) -> None:
        """Ring one bell of this process, so that whoever waits at it looks up."""
        self._send(bell.name, b"")

    def close(self) -> None:
        """Close what this process opened to ring others."""
        found = self._opened.pop(os.getpid(), None)
        if found is not None:
            os.close(found[0])
            found[1].close()

    def _listed(self) -> list[str]:
        try:
            return os.listdir(self._folder)  # noqa: PTH208 - names are all that is needed, and this is on every send
        except OSError:
            return []

    def _send(self, name: str, data: bytes) -> bool:
        try:
            self._own()[1].sendto(data, self._address(name))
        except BlockingIOError:  # it has enough to hear already
            return True
        except _STALE:
            with suppress(OSError):
                (self._folder / name).unlink()
            return False
        except OSError:
            return False
        return True

    def _address(self, name: str) -> str:
        # The address of a socket holds about 100 bytes, a path any number: go through the folder's descriptor.
        direct = str(self._folder / name)
        if len(os.fsencode(direct)) < _SUN_PATH:
            return direct
        return str(_BY_DESCRIPTOR / str(self._own()[0]) / name)

    def _own(self) -> tuple[int, socket.socket]:
        found = self._opened.get(os.getpid())
        if found is None:
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            found = self._opened.setdefault(os.getpid(), (folder, sender))
        return found


class Bell:
    """A bound socket; unbound at the end of the ``with`` block."""

    def __init__(self, bound: socket.socket, path: Path) -> None:
        self._socket = bound
        self._path = path

    @property
    def name(self) -> str:
        """The name of its file."""
        return self._path.name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Unbind it."""
        self.hide()
        self._socket.close()

    def hide(self) -> None:
        """Nobody finds it from now on; what was sent before can still be read."""
        with suppress(OSError):
            self._path.unlink()

    def read(self) -> bytes | None:
        """The next datagram that has arrived, or None."""
        try:
            return self._socket.recv(_MAX_IDS_BYTES * 2)
        except BlockingIOError:
            return None

    def wait(self, seconds: float) -> bytes | None:
        """The next datagram, on this thread; None when *seconds* have passed."""
        self._socket.settimeout(seconds)
        try:
            return self._socket.recv(_MAX_IDS_BYTES * 2)
        except TimeoutError:
            return None
        finally:
            self._socket.setblocking(False)

    async def heard(self, seconds: float) -> None:
        """Wait in this event loop for a ring, at most *seconds*."""
        loop = asyncio.get_running_loop()
        ring: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self._socket, _resolve, ring)
        try:
            await asyncio.wait_for(ring, seconds)
        except TimeoutError:
            return
        finally:
            loop.remove_reader(self._socket)


def _resolve(ring: asyncio.Future[None]) -> None:
    if not ring.done():
        ring.set_result(None)


def ids_in(datagram: bytes) -> list[str]:
    """The ids in a datagram to a listener for results; none means: look at everything again."""
    return [part.decode("ascii") for part in datagram.split(_SEPARATOR)] if datagram else []


def _datagrams(job_ids: Sequence[str]) -> list[bytes]:
    parts: list[bytes] = []
    part = b""
    for job_id in job_ids:
        encoded = job_id.encode("ascii")
        if part and len(part) + len(encoded) >= _MAX_IDS_BYTES:
            parts.append(part)
            part = b""
        part = part + _SEPARATOR + encoded if part else encoded
    return [*parts, part] if len(parts) < 3 else [b""]  # noqa: PLR2004 - a few kilobytes; beyond that looking is cheaper


def _mark(queue: str) -> str:
    return f"{zlib.crc32(queue.encode()):08x}"


def _marks(queues: Sequence[str]) -> str:
    return ".".join(map(_mark, queues)) if len(queues) <= _MAX_NAMED_QUEUES else _ANY
