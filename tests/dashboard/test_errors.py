"""Errors in groups, and what is done about them."""

from __future__ import annotations

import time

import httpx

from tests.dashboard.stage import Stage
from tests.dashboard.test_overview import line, read
from umbel.dashboard.pages.errors import MAX_TRACEBACK
from umbel.model.event import Batch, Event


async def test_errors_that_differ_in_their_numbers_are_one_group(visitor: httpx.AsyncClient) -> None:
    told = await read(visitor, "/errors")
    (group,) = told["groups"]
    assert (group["type"], group["template"], group["count"], group["status"]) == (
        "ValueError",
        "order <n> is refused",
        4,
        "open",
    )
    places = told["places"][str(group["id"])]
    assert (sorted(places["tasks"]), places["queues"], places["releases"]) == (
        ["shop.label", "shop.refuse"],
        ["default"],
        [],
    )
    page = await visitor.get("/errors")
    assert f"/errors/{group['id']}" in page.text
    assert (await read(visitor, "/errors?status=resolved"))["groups"] == []


async def test_a_group_tells_where_it_comes_from_and_one_error_in_full(visitor: httpx.AsyncClient) -> None:
    (group,) = (await read(visitor, "/errors"))["groups"]
    told = await read(visitor, f"/errors/{group['id']}?range=1h")
    assert told["spread"]["tasks"] == {"shop.refuse": 3, "shop.label": 1}
    assert told["spread"]["workers"] == {"umbel@testing": 4}
    assert sum(value or 0 for value in line(told["chart"], "errors")) == 4
    assert len(told["jobs"]) == 4
    assert "raise ValueError" in told["sample"]["attempt"]["traceback"]
    page = await visitor.get(f"/errors/{group['id']}")
    assert "raise ValueError" in page.text
    assert f"q=group%3A{group['id']}+state%3Afailed" in page.text


async def test_of_a_traceback_without_end_the_end_is_shown(stage: Stage) -> None:
    now = time.time()
    long = (
        "Traceback (most recent call last):\n"
        + '  File "/srv/shop.py", line 7, in pay\n' * 10_000
        + "OSError: the last"
    )
    body = {"error": "OSError", "message": "the last", "traceback": long, "run": 0.1, "wait": 0.1}
    events = (
        Event("task-sent", now, "j1", "shop.pay", "default"),
        Event("task-failed", now, "j1", "shop.pay", "default", 1, body),
    )
    stage.history.ingest([Batch("somebody", 1, now, events)])
    async with stage.browsing() as client:
        told = await read(client, "/errors/1")
        assert told["shortened"]
        assert len(told["sample"]["attempt"]["traceback"]) == MAX_TRACEBACK
        page = await client.get("/errors/1")
        assert "OSError: the last" in page.text
        assert "Only the end of its traceback" in page.text


async def test_a_group_that_is_not_there_is_missing(visitor: httpx.AsyncClient) -> None:
    assert (await visitor.get("/errors/999")).status_code == 404
    assert (await visitor.get("/errors/none")).status_code == 400
    assert (await visitor.post("/api/v1/errors/resolve", json={"group": 999})).status_code == 404


async def test_what_was_resolved_regresses_and_what_is_muted_stays_so(stage: Stage) -> None:
    @stage.app.task(name="shop.refuse")
    def refuse(order: int) -> None:
        raise ValueError(f"order {order} is refused")

    async def fail() -> None:
        handle = await refuse.adelay(7)
        await stage.arun(handle.id)

    async def status(shown: str) -> list[str]:
        return [group["status"] for group in (await read(client, f"/errors?status={shown}"))["groups"]]

    await fail()
    async with stage.browsing() as client:
        (group,) = (await read(client, "/errors"))["groups"]
        number = {"group": group["id"]}
        answer = await client.post("/api/v1/errors/resolve", json=number)
        assert answer.status_code == 200
        assert "regressed" in answer.json()["text"]
    async with stage.browsing() as client:
        assert await status("unresolved") == []
        assert await status("resolved") == ["resolved"]
    await fail()
    async with stage.browsing() as client:
        assert await status("unresolved") == ["regressed"]
        await client.post("/api/v1/errors/mute", json=number)
    await fail()
    async with stage.browsing() as client:
        assert await status("unresolved") == []
        assert await status("muted") == ["muted"]
        await client.post("/api/v1/errors/reopen", json=number)
    async with stage.browsing() as client:
        assert await status("all") == ["open"]
        audits = stage.history.audits(limit=20)
    done = [(each.what, each.target) for each in audits if each.outcome.startswith("done")]
    assert done == [(f"errors.{what}", f"group:{group['id']}") for what in ("reopen", "mute", "resolve")]
