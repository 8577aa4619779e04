"""The stream on which pages hear of changes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator
from functools import partial

import httpx
import pytest

from tests.dashboard.browser.served import served
from tests.dashboard.people import cookie, guarded
from tests.dashboard.stage import DEADLINE_SECONDS, Stage
from umbel.contracts.history import Transaction
from umbel.dashboard.live import stream
from umbel.dashboard.live.pulse import Pulse, Watcher
from umbel.dashboard.live.topics import TOPICS
from umbel.dashboard.options import Options
from umbel.dashboard.station import Station
from umbel.history.notes import LAG, Notes


class Listener:
    """Somebody who reads a stream, message by message."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines

    async def next(self) -> dict[str, str]:
        """The fields of the next message that has data."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(DEADLINE_SECONDS):
            async for line in self._lines:
                if not line and "data" in fields:
                    return fields
                name, _, value = line.partition(": ")
                if name:
                    fields[name] = value
        raise EOFError("the stream is over")

    async def after(self, change: str) -> dict[str, str]:
        """The next message of something newer than *change*; what is told may be told once more, a second later."""
        while True:
            found = await self.next()
            if int(found["id"]) > int(change):
                return found


@contextlib.asynccontextmanager
async def listening(address: str, query: str, last: str = "") -> AsyncGenerator[Listener]:
    """Somebody who hears of changes at *address*."""
    headers = {"Last-Event-ID": last} if last else {}
    async with (
        httpx.AsyncClient(timeout=DEADLINE_SECONDS) as client,
        client.stream("GET", f"{address}/live?{query}", headers=headers) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Listener(answer.aiter_lines())


async def told(stage: Stage, name: str = "shop.pay") -> None:
    """Have a job sent and recorded."""
    await stage.app.asend_task(name, (1,))
    await stage.arecord()


async def test_a_change_is_told_and_one_who_lost_it_hears_of_it_when_he_comes_back(stage: Stage) -> None:
    await told(stage)
    with served(stage) as address:
        async with listening(address, "topics=jobs") as listener:
            first = await listener.next()
            assert first["data"] == "jobs"
            await told(stage)
            second = await listener.after(first["id"])
        async with listening(address, "topics=jobs", last=first["id"]) as listener:
            assert (await listener.next())["id"] == second["id"]
        async with listening(address, f"topics=jobs&since={second['id']}") as listener:
            await told(stage)
            assert (await listener.after(second["id"]))["data"] == "jobs"


async def test_topics_that_only_the_engine_knows_are_told_again_and_again(stage: Stage) -> None:
    with served(stage) as address:
        async with listening(address, "topics=queues,jobs") as listener:
            assert [(await listener.next())["data"] for _ in range(2)] == ["queues", "queues"]


@pytest.mark.parametrize("query", ["", "?topics=", "?topics=nothing", "?topics=jobs,nothing", "?topics=jobs&since=x"])
async def test_what_is_no_topic_is_refused(browser: httpx.AsyncClient, query: str) -> None:
    assert (await browser.get(f"/live{query}")).status_code == 400


async def test_too_many_streams_are_refused_for_a_while(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_STREAMS", 1)
    with served(stage) as address:
        patient = httpx.AsyncClient(timeout=DEADLINE_SECONDS)
        async with listening(address, "topics=queues") as listener, patient as client:
            await listener.next()
            answer = await client.get(f"{address}/live?topics=jobs")
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:  # who leaves makes room
                with contextlib.suppress(AssertionError):
                    async with listening(address, "topics=queues") as listener:
                        assert (await listener.next())["data"] == "queues"
                        break


async def test_a_stream_ends_by_itself_so_that_rights_are_asked_for_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "STREAM_SECONDS", 0.05)
    options = guarded()
    async with stage.browsing(options) as client:
        assert (await client.get("/live?topics=jobs")).status_code == 401
        client.cookies.update(cookie(options, "viewer"))
        answer = await client.get("/live?topics=jobs")
        assert answer.status_code == 200
        assert answer.text.startswith("retry: 500\n")


async def test_streams_end_with_the_server(stage: Stage) -> None:
    ended = asyncio.Event()

    async def listen(address: str) -> None:
        async with listening(address, "topics=queues") as listener:
            await listener.next()
            opened.set()
            with contextlib.suppress(EOFError):
                while True:
                    await listener.next()
        ended.set()

    opened = asyncio.Event()
    with served(stage) as address:
        task = asyncio.create_task(listen(address))
        await asyncio.wait_for(opened.wait(), DEADLINE_SECONDS)
        begun = time.monotonic()
    await asyncio.wait_for(task, DEADLINE_SECONDS)
    assert ended.is_set()
    assert time.monotonic() - begun < stream.SILENT_SECONDS


async def test_nobody_looks_while_nobody_watches(stage: Stage) -> None:
    looked: list[int] = []
    station = Station(stage.app, Options(), stage.history)
    pulse = Pulse(station)
    ask = pulse._newest
    pulse._newest = lambda: looked.append(1) or ask()  # type: ignore[method-assign, func-returns-value]
    with pulse.watch(["jobs"], 0) as watcher:
        await told(stage)
        assert await watcher.next(DEADLINE_SECONDS) == ("jobs",)
    assert pulse.watchers == 0
    looking = pulse._looking
    assert looking is not None
    await asyncio.wait_for(looking, DEADLINE_SECONDS)
    assert looked


def test_a_watcher_is_told_at_most_so_often_and_nothing_is_forgotten() -> None:
    least = TOPICS["errors"].least
    watcher = Watcher(["jobs", "errors"], 5, 100.0)
    watcher.notice(5, 100.0)
    assert watcher._due == set()
    watcher.notice(6, 100.0)
    assert watcher._due == {"jobs", "errors"}
    watcher._due.clear()
    watcher.notice(7, 100.0 + least / 2)
    assert watcher._due == {"jobs"}
    assert watcher.change == 6  # of the errors of 7 he was not told yet
    watcher._due.clear()
    watcher.notice(7, 100.0 + least)
    assert watcher._due == {"errors", "jobs"}  # those of a moment ago once more: what was shown may have been shared
    assert watcher.change == 7
    watcher._due.clear()
    watcher.notice(7, 100.0 + 3 * least)
    assert watcher._due == {"errors"}
    watcher._due.clear()
    watcher.notice(7, 100.0 + 4 * least)
    assert watcher._due == set()


async def test_pages_say_how_far_the_history_is_behind(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("umbel.dashboard.banners.FRESH_SECONDS", 0.0)
    await stage.arecord()
    async with stage.browsing() as client:
        for lag, told in (("95.0", True), ("3.0", False)):
            stage.archive.write(partial(_lag, lag))
            assert ("1 min 35 s behind" in (await client.get("/jobs")).text) == told


def _lag(seconds: str, step: Transaction) -> None:
    Notes(step).put(LAG, seconds)
