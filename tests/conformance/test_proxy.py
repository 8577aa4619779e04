"""The proxy of the test kit hurts lines as it says."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from umbel.testing.conformance.eventually import eventually, soon
from umbel.testing.proxy import Proxy

HELD_BACK_SECONDS = 0.2

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Dial = Callable[[], Awaitable[Ends]]


class Echo:
    """A server that says what it hears."""

    def __init__(self) -> None:
        self.lines = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.lines += 1
        with contextlib.suppress(OSError):
            while data := await reader.read(100):
                writer.write(data)
                await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        self.lines -= 1


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    with Proxy(server.sockets[0].getsockname()[1]) as made:
        yield made
    server.close()
    await eventually(lambda: echo.lines == 0)


@pytest.fixture
async def dial(proxy: Proxy) -> AsyncIterator[Dial]:
    """Make connections that are closed in the end."""
    made: list[Ends] = []

    async def connect() -> Ends:
        made.append(await asyncio.open_connection("127.0.0.1", proxy.port))
        return made[-1]

    yield connect
    for _, writer in made:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def says(ends: Ends, word: bytes = b"word") -> bytes:
    ends[1].write(word)
    return await soon(ends[0].read(100))


async def is_dead(ends: Ends) -> bool:
    with contextlib.suppress(ConnectionError):
        return await says(ends) == b""
    return True


async def test_a_line_that_is_not_hurt_passes_everything(dial: Dial) -> None:
    assert await says(await dial()) == b"word"


async def test_a_cut_resets_all_lines_and_refuses_new_ones_until_it_is_mended(proxy: Proxy, dial: Dial) -> None:
    before = await dial()
    assert await says(before) == b"word"
    proxy.cut()
    assert await is_dead(before)
    assert await is_dead(await dial())
    await eventually(lambda: proxy.open == 0)
    proxy.mend()
    assert await says(await dial()) == b"word"


async def test_a_half_open_line_stays_silent_after_it_is_mended_and_a_new_one_passes(proxy: Proxy, dial: Dial) -> None:
    before = await dial()
    assert await says(before) == b"word"
    proxy.go_silent()
    during = await dial()
    await eventually(lambda: proxy.open == len((before, during)))
    proxy.mend()
    assert await says(await dial()) == b"word"
    for line in (before, during):
        line[1].write(b"word")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(HELD_BACK_SECONDS):
                await line[0].read(100)


async def test_a_slow_line_holds_everything_back(proxy: Proxy, dial: Dial) -> None:
    ends = await dial()
    proxy.slow(HELD_BACK_SECONDS)
    begun = time.monotonic()
    assert await says(ends) == b"word"
    assert time.monotonic() - begun > HELD_BACK_SECONDS
