"""The health endpoint: `GET /livez` and `GET /readyz`, and nothing else, for probes.

Whoever can connect may ask, so a request has a limit in bytes, in seconds and in number at a time, and nothing of it is
answered back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from umbel.exceptions import ImproperlyConfigured
from umbel.worker.supervisor.health import Verdict

MAX_REQUEST_BYTES: Final = 4096
REQUEST_SECONDS: Final = 2.0
MAX_CONNECTIONS: Final = 32
_REASONS: Final = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 503: "Unavailable"}

logger = logging.getLogger("umbel.worker")


def answer(line: bytes, verdict: Callable[[], Verdict]) -> bytes:
    """The answer to a request that begins with *line*, as it travels."""
    try:
        method, target, version = line.split()
    except ValueError:
        return _written(400, "bad request")
    if not version.startswith(b"HTTP/1."):
        return _written(400, "bad request")
    path = target.partition(b"?")[0]
    if path not in (b"/livez", b"/readyz"):
        return _written(404, "not found")
    if method not in (b"GET", b"HEAD"):
        return _written(405, "method not allowed", "Allow: GET, HEAD\r\n")
    found = verdict()
    good = found.live if path == b"/livez" else found.live and found.ready
    return _written(200 if good else 503, "ok" if good else found.reason, head_only=method == b"HEAD")


class HealthServer:
    """Answers probes on *where* with what *verdict* says."""

    def __init__(self, where: tuple[str, int], verdict: Callable[[], Verdict]) -> None:
        """Nothing is open yet."""
        self._where = where
        self._verdict = verdict
        self._server: asyncio.Server | None = None
        self._open = 0

    async def start(self) -> None:
        """Listen. Raises `ImproperlyConfigured` if that cannot be."""
        host, port = self._where
        try:
            self._server = await asyncio.start_server(self._serve, host, port, limit=MAX_REQUEST_BYTES)
        except OSError as error:
            raise ImproperlyConfigured(f"health at {host}:{port}: {error.strerror or error}") from error
        bound = self._server.sockets[0].getsockname()
        logger.info("Health at http://%s:%d/livez", bound[0], bound[1])

    def close(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._open < MAX_CONNECTIONS:
                self._open += 1
                try:
                    await self._exchange(reader, writer)
                finally:
                    self._open -= 1
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # it went away, was too slow, or said too much: no probe does that
        finally:
            writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(REQUEST_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(answer(head.partition(b"\r\n")[0], self._verdict))
            await writer.drain()


def _written(status: int, text: str, headers: str = "", *, head_only: bool = False) -> bytes:
    body = f"{text}\n".encode()
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: text/plain; charset=utf-8\r\n{headers}"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (b"" if head_only else body)
