"""The page of workers, with a real one."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from typing import Any

import httpx
import msgspec

from tests.dashboard.stage import DEADLINE_SECONDS, Stage
from umbel.app.survey import ChildRow, RunningRow, WorkerRow, received_from
from umbel.dashboard.pages.workers import Running, as_online
from umbel.history.views import WorkerView
from umbel.testing import worker

VIEW = WorkerView(
    name="umbel@host",
    host="host",
    pid=1,
    version="1.9",
    queues=["mail"],
    slots=102,
    used=1,
    rss=4096,
    cpu=1.0,
    jobs={},
    processed=5,
    started=0.0,
    seen=1.0,
    stopped=None,
)


async def test_a_worker_is_shown_while_it_lives(stage: Stage, browser: httpx.AsyncClient) -> None:
    began, go = threading.Event(), threading.Event()

    @stage.app.task(name="shop.pack")
    def pack() -> None:
        began.set()
        go.wait(600)

    pack.delay()
    with worker(stage.app, threads=2):
        try:
            assert began.wait(DEADLINE_SECONDS)
            found = await _with_a_lease(browser)
            page = (await browser.get("/workers")).text
        finally:
            go.set()
    assert found["state"] == "online"
    assert found["leased"] == 1
    assert (found["name"], found["pid"], found["slots"]) == ("umbel@testing", os.getpid(), 102)
    assert "/api/v1/workers/drain" in page
    assert "/api/v1/workers/quiet" in page


async def test_no_worker_is_told_how_to_start_one(stage: Stage, browser: httpx.AsyncClient) -> None:
    assert (await browser.get("/api/v1/workers")).json()["workers"] == []
    assert "umbel -A tasks worker" in (await browser.get("/workers")).text


async def test_an_order_to_a_worker_that_is_not_there_is_refused(stage: Stage, browser: httpx.AsyncClient) -> None:
    for path in ("quiet", "resume", "drain", "serve", "leave"):
        given = {"name": "umbel@nowhere", **({"queue": "mail"} if path in ("serve", "leave") else {})}
        refused = await browser.post(f"/api/v1/workers/{path}", data=given)
        assert (refused.status_code, refused.json()["field"]) == (400, "name")


def test_running_jobs_and_an_old_version_are_told() -> None:
    child = ChildRow(7, "s", 2, 100, ("mail",), 1, 9.0, 60.0, (RunningRow("job-1", "shop.pack", 3.0),))
    row = WorkerRow("umbel@host", "host", 1, (child,))
    heard = msgspec.structs.replace(VIEW, seen=time.time())
    (old, new) = [
        as_online(row, msgspec.structs.replace(heard, version=version), (1, 10)) for version in ("1.9", "1.10")
    ]
    assert (old.stale, new.stale) == (True, False)
    assert old.running == (Running("job-1", "shop.pack", 3.0),)
    assert (old.slots, old.rss, old.queues, old.processed) == (102, 4096, ("mail",), 5)
    silent = as_online(row, VIEW, (1, 10))
    assert (silent.stale, silent.rss, silent.cpu, silent.processed) == (True, None, None, None)


def test_a_worker_is_quiet_when_all_of_its_children_are_and_its_queues_are_not_received_from() -> None:
    child = ChildRow(7, "s", 2, 100, ("mail",), 1, 9.0, 60.0, (RunningRow("job-1", "shop.pack", 3.0),))
    quiet = msgspec.structs.replace(child, pid=8, quiet=True)
    rows = [WorkerRow("umbel@host", "host", 1, found) for found in ((child, quiet), (quiet, quiet))]
    assert [as_online(row, None, ()).state for row in rows] == ["online", "quiet"]
    assert [received_from([row]) for row in rows] == [frozenset({"mail"}), frozenset()]


def test_a_blocked_event_loop_is_told_of_the_slowest_child() -> None:
    child = ChildRow(7, "s", 2, 100, ("mail",), 0, 9.0, 60.0, ())
    late = msgspec.structs.replace(child, pid=8, lag_seconds=1.5)
    (well, slow) = [
        as_online(WorkerRow("umbel@host", "host", 1, found), None, ()) for found in ((child,), (child, late))
    ]
    assert [(each.lag, each.blocked) for each in (well, slow)] == [(0.0, False), (1.5, True)]


async def _with_a_lease(browser: httpx.AsyncClient) -> dict[str, Any]:
    """The one worker, as soon as it is seen with a leased job."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        (found,) = (await browser.get("/api/v1/workers")).json()["workers"]
        if found["leased"]:
            return dict(found)
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
