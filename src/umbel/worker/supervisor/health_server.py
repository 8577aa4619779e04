"""The health endpoint: `GET /livez` and `GET /readyz` for probes, `GET /metrics` for Prometheus, and nothing else.

Whoever can connect may ask, so a request has a limit in bytes, in seconds and in number at a time, and nothing of it is
answered back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

from umbel.exceptions import ImproperlyConfigured
from umbel.worker.reading import CURE
from umbel.worker.supervisor.health import Verdict

MAX_REQUEST_BYTES: Final = 4096
REQUEST_SECONDS: Final = 2.0
ANSWER_SECONDS: Final = 10.0
"""How long an answer may take to be made, and to be read."""
MAX_CONNECTIONS: Final = 32
MAX_SCRAPES: Final = 8
"""Who reads metrics may take long over it: so many may at a time, which leaves room for probes."""
METRICS: Final = b"/metrics"
_TEXT: Final = "text/plain; charset=utf-8"
_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    501: "Not Implemented",
    503: "Unavailable",
}

logger = logging.getLogger("umbel.worker")


class Pages(Protocol):
    """Who writes the page of metrics."""

    async def page(self) -> tuple[bytes, str]:
        """The page, and its content type."""
        ...


def asks_for_metrics(line: bytes) -> bool:
    """Whether a request that begins with *line* is one for the page of metrics."""
    method, _, rest = line.partition(b" ")
    return method == b"GET" and rest.partition(b" ")[0].partition(b"?")[0] == METRICS and b" HTTP/1." in rest


def answer(line: bytes, verdict: Callable[[], Verdict]) -> bytes:
    """The answer to a request that begins with *line* and asks for no page of metrics, as it travels."""
    try:
        method, target, version = line.split()
    except ValueError:
        return _written(400, "bad request")
    if not version.startswith(b"HTTP/1."):
        return _written(400, "bad request")
    path = target.partition(b"?")[0]
    if path not in (b"/livez", b"/readyz", METRICS):
        return _written(404, "not found")
    if path == METRICS:
        return _written(405, "method not allowed", "Allow: GET\r\n")
    if method not in (b"GET", b"HEAD"):
        return _written(405, "method not allowed", "Allow: GET, HEAD\r\n")
    found = verdict()
    good = found.live if path == b"/livez" else found.live and found.ready
    return _written(200 if good else 503, "ok" if good else found.reason, head_only=method == b"HEAD")


class HealthServer:
    """Answers probes on *where* with what *verdict* says, and gives out the page of *pages*, if there is one."""

    def __init__(self, where: tuple[str, int], verdict: Callable[[], Verdict], pages: Pages | None = None) -> None:
        """Nothing is open yet."""
        self._pages = pages
        self._where = where
        self._verdict = verdict
        self._server: asyncio.Server | None = None
        self._open = 0
        self._scrapes = 0

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
        except asyncio.CancelledError:
            pass  # this worker ends, and asyncio would log that
        finally:
            writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(REQUEST_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
        line = head.partition(b"\r\n")[0]
        async with asyncio.timeout(ANSWER_SECONDS):
            if not asks_for_metrics(line):
                await _sent(writer, answer(line, self._verdict))
            elif self._scrapes >= MAX_SCRAPES:
                await _sent(writer, _written(503, "others ask for metrics"))
            else:
                self._scrapes += 1
                try:
                    await _sent(writer, await self.metrics())
                finally:
                    self._scrapes -= 1

    async def metrics(self) -> bytes:
        """The answer to a request for the page of metrics, as it travels."""
        if self._pages is None:
            return _written(501, CURE)
        try:
            body, kind = await self._pages.page()
        except Exception:
            logger.exception("the metrics cannot be written")
            return _written(503, "the metrics cannot be written, the worker's log says why")
        return _head(200, kind, len(body)) + body


async def _sent(writer: asyncio.StreamWriter, told: bytes) -> None:
    """Write *told*, and wait until it has left: nothing of it is cut off when the connection is closed."""
    writer.transport.set_write_buffer_limits(0)
    writer.write(told)
    await writer.drain()


def _written(status: int, text: str, headers: str = "", *, head_only: bool = False) -> bytes:
    body = f"{text}\n".encode()
    return _head(status, _TEXT, len(body), headers) + (b"" if head_only else body)


def _head(status: int, kind: str, length: int, headers: str = "") -> bytes:
    return (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {kind}\r\n{headers}"
        f"Content-Length: {length}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    ).encode()
