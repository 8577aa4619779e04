"""A TCP proxy between clients and a server, on which the network can be hurt: cut, half-open, slow."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, TypeVar

T = TypeVar("T")

_CHUNK_BYTES: Final = 64 * 1024
_ANSWER_SECONDS: Final = 30.0
_LOOPBACK: Final = "127.0.0.1"


class _Line:
    """One client's connection and the one that was made for it."""

    def __init__(self, near: asyncio.StreamWriter) -> None:
        self.ends = [near]
        self.silent = False
        self.over = False

    def reset(self) -> None:
        self.over = True
        for end in self.ends:
            end.transport.abort()


class Proxy:
    """Passes on what clients of its *port* say to a server on loopback, in a thread of its own, while entered.

    Each way of hurting lasts until `mend`. Use it from any thread.
    """

    def __init__(self, server: int) -> None:
        """*server* is the port of the server, which need not run yet."""
        self.port = 0
        self.accepted = 0
        self._server = server
        self._refusing = False
        self._silent = False
        self._pause = 0.0
        self._lines: set[_Line] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="umbel-proxy", daemon=True)
        self._listener: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Proxy:
        """Listen on a free port."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(_ANSWER_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Reset every connection and listen no more."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(_ANSWER_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Reset all connections, and refuse new ones."""
        self._do(self._cut)

    def go_silent(self) -> None:
        """Half-open: nothing passes on any connection, and nobody is told; those of now stay so after `mend`."""
        self._do(self._go_silent)

    def slow(self, seconds: float) -> None:
        """Hold each piece of up to 64 KiB back for *seconds*."""
        self._do(lambda: setattr(self, "_pause", seconds))

    def mend(self) -> None:
        """New connections pass as if nothing had been."""
        self._do(self._mend)

    @property
    def open(self) -> int:
        """How many connections there are."""
        return self._do(lambda: len(self._lines))

    # --- in the thread

    def _do(self, work: Callable[[], T]) -> T:
        async def call() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(_ANSWER_SECONDS)

    def _cut(self) -> None:
        self._refusing = True
        for line in self._lines:
            line.reset()

    def _go_silent(self) -> None:
        self._silent = True
        for line in self._lines:
            line.silent = True

    def _mend(self) -> None:
        self._refusing = self._silent = False
        self._pause = 0.0

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._accepted, _LOOPBACK, 0)
        self.port = int(self._listener.sockets[0].getsockname()[1])

    async def _end(self) -> None:
        assert self._listener is not None
        self._listener.close()
        self._cut()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await asyncio.sleep(0)  # what was aborted is closed in the next turn of the loop

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self._refusing:
            writer.transport.abort()
            return
        task = self._loop.create_task(self._serve(reader, _Line(writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, line: _Line) -> None:
        line.silent = self._silent
        self._lines.add(line)
        try:
            answers, server = await asyncio.open_connection(_LOOPBACK, self._server)
            line.ends.append(server)
            if not line.over:
                await asyncio.gather(self._pump(reader, server, line), self._pump(answers, line.ends[0], line))
        except OSError:
            pass  # it does not run
        finally:
            line.reset()
            self._lines.discard(line)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: _Line) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK_BYTES):
                if self._pause:
                    await asyncio.sleep(self._pause)
                if not line.silent:
                    writer.write(data)
                    await writer.drain()
        if not line.silent:  # on a half-open line nobody hears of the end either
            line.reset()
