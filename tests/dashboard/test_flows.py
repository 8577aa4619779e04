"""Flows: a list, a graph, and what can be done to them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from tests.dashboard.shop import Shop
from tests.dashboard.stage import HOST, Stage
from tests.dashboard.test_overview import read
from umbel import chain, chord, group
from umbel.dashboard.options import Options
from umbel.dashboard.pages.flows import PAGE_ROWS
from umbel.dashboard.site import site
from umbel.dashboard.station import Station
from umbel.history import History
from umbel.model.event import Batch, Event


async def test_flows_are_listed_with_how_far_they_have_come(visitor: httpx.AsyncClient, shop: Shop) -> None:
    told = await read(visitor, "/flows")
    assert told["trouble"] == []
    found = {each["id"]: (each["state"], each["done"], each["total"], each["failed"]) for each in told["flows"]}
    assert found == {
        shop.chord: ("succeeded", 4, 4, 0),
        shop.broken: ("failed", 2, 2, 2),
        shop.waiting: ("running", 0, 4, 0),
    }
    (failed,) = (await read(visitor, "/flows?state=failed"))["flows"]
    assert (failed["id"], failed["tasks"]) == (shop.broken, ["shop.refuse", "shop.label"])
    page = await visitor.get("/flows")
    assert f"/flows/{shop.chord}" in page.text


async def test_jobs_that_differ_in_their_number_are_one_node(visitor: httpx.AsyncClient, shop: Shop) -> None:
    told = await read(visitor, f"/flows/{shop.chord}")
    labels, pack = told["nodes"]
    assert (labels["task"], labels["count"], labels["state"], labels["ended"], labels["after"]) == (
        "shop.label",
        3,
        "succeeded",
        3,
        [],
    )
    assert (pack["task"], pack["after"]) == ("shop.pack", [0])
    jobs = await read(visitor, f"/jobs?q={labels['filter']}")
    assert {job["task"] for job in jobs["rows"]} == {"shop.label"}
    assert len(jobs["rows"]) == 3
    assert (await visitor.get(f"/api/v1/jobs/{pack['job']}")).status_code == 200


async def test_the_graph_is_drawn_without_a_style_of_its_own(visitor: httpx.AsyncClient, shop: Shop) -> None:
    page = (await visitor.get(f"/flows/{shop.waiting}")).text
    assert "<svg id=" in page
    assert "3 x shop.label" in page
    assert 'style="' not in page
    assert page.count('<a class="node') == 2


async def test_the_id_of_a_job_finds_its_flow(visitor: httpx.AsyncClient, shop: Shop) -> None:
    told = await read(visitor, f"/flows/{shop.chord}")
    assert (await read(visitor, f"/flows/{told['nodes'][1]['job']}"))["flow"]["id"] == shop.chord


async def test_a_flow_that_is_not_there_is_missing(visitor: httpx.AsyncClient) -> None:
    assert (await visitor.get("/flows/0198-nothing")).status_code == 404
    assert (await visitor.post("/api/v1/flows/cancel", json={"flow": "0198-nothing-nothing"})).status_code == 404
    assert (await visitor.post("/api/v1/flows/retry", json={"flow": "0198-nothing-nothing"})).status_code == 409


async def test_a_flow_that_the_engine_has_forgotten_is_shown_from_the_history(shop: Shop, tmp_path: Path) -> None:
    other = Stage(tmp_path)
    made = site(Station(other.app, Options(), History(shop.stage.archive)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(made), base_url=HOST) as client:
        told = await read(client, f"/flows/{shop.chord}")
        assert not told["flow"]["known"]
        assert told["drawing"] is None
        assert {node["task"]: node["count"] for node in told["nodes"]} == {"shop.label": 3, "shop.pack": 1}
        page = await client.get(f"/flows/{shop.chord}")
        assert "forgotten" in page.text
        assert shop.chord in {each["id"] for each in (await read(client, "/flows"))["flows"]}
    other.close()


async def test_older_flows_are_on_pages_of_their_own(stage: Stage) -> None:
    now = time.time()
    told = [
        Event("flow-started", now - number, f"flow-{number:02}-00000000", "", "default", 0, {"total": 2})
        for number in range(PAGE_ROWS + 10)
    ]
    stage.history.ingest([Batch("somebody", 1, now, tuple(told))])
    async with stage.browsing() as client:
        first = await read(client, "/flows")
        assert len(first["flows"]) == PAGE_ROWS
        second = await read(client, f"/flows?before={quote(first['older'])}")
        assert second["older"] is None
        ids = [flow["id"] for flow in (*first["flows"], *second["flows"])]
        assert len(set(ids)) == len(ids) == PAGE_ROWS + 10
        page = await client.get("/flows")
        assert f"/flows?before={quote(first['older'], safe='')}" in page.text
        for absurd in ("yesterday", "nan", "-5", "1e300", "9" * 23):
            assert (await client.get(f"/flows?before={absurd}")).status_code == 400, absurd


async def test_the_rest_of_a_flow_is_cancelled(stage: Stage) -> None:
    tasks = parcels(stage)
    handle = await chord(group(tasks["label"].s(n).set(countdown=3_600) for n in range(3)), tasks["pack"].s()).adelay()
    async with stage.browsing() as client:
        done = await client.post("/api/v1/flows/cancel", json={"flow": handle.id})
        assert done.status_code == 200, done.text
        again = await client.post("/api/v1/flows/cancel", json={"flow": handle.id})
        assert (again.status_code, "revoked" in again.json()["error"]) == (400, True)
    found = await stage.app.flows.aget(handle.id)
    assert found is not None
    assert found.state == "revoked"


async def test_jobs_that_follow_in_a_flow_have_waited_since_they_were_ready(stage: Stage) -> None:
    tasks = parcels(stage)
    handle = await (tasks["label"].s(1) | tasks["pack"].s()).adelay()
    await stage.arun(handle.id)
    async with stage.browsing() as client:
        jobs = (await read(client, "/jobs"))["rows"]
    waits = {job["task"]: job["wait"] for job in jobs}
    assert set(waits) == {"shop.label", "shop.pack"}
    assert all(wait is not None and 0.0 <= wait < 60.0 for wait in waits.values())


async def test_a_flow_goes_on_where_it_failed_after_a_look_at_what_would_run(stage: Stage) -> None:
    tasks = parcels(stage)
    handle = await chain(tasks["label"].s(1), tasks["check"].s(), tasks["pack"].s()).adelay()
    await stage.arun(handle.id)
    async with stage.browsing() as client:
        preview = (await read(client, f"/flows/{handle.id}?preview=true"))["preview"]
        assert [job["task"] for job in preview["jobs"]] == ["shop.check", "shop.pack"]
        assert (preview["count"], preview["kept"], preview["refused"]) == (2, 1, "")
        dry = await client.post("/api/v1/flows/retry", json={"flow": handle.id, "dry_run": True})
        assert (dry.json()["count"], dry.json()["ids"]) == (2, [])
        assert (await read(client, f"/flows/{handle.id}"))["retried"] is None
    tasks["check"].closed = False
    async with stage.browsing() as client:
        done = (await client.post("/api/v1/flows/retry", data={"flow": handle.id})).json()
        assert done["count"] == 2
    async with stage.browsing() as client:
        (new,) = done["ids"]
        assert (await read(client, f"/flows/{handle.id}"))["retried"] == new
        last = (await stage.app.flows.aretry(handle.id)).result.id
        await stage.arun(last)
    async with stage.browsing() as client:
        assert (await read(client, f"/flows/{new}"))["flow"]["state"] == "succeeded"


async def test_all_of_a_flow_runs_again_after_a_look_at_it_and_both_flows_name_each_other(stage: Stage) -> None:
    tasks = parcels(stage)
    handle = await chord(group(tasks["label"].s(n) for n in range(2)), tasks["pack"].s()).adelay()
    await stage.arun(handle.id)
    async with stage.browsing() as client:
        told = await read(client, f"/flows/{handle.id}?again=true")
        assert [(job["task"], job["count"]) for job in told["repeating"]["jobs"]] == [
            ("shop.label", 2),
            ("shop.pack", 1),
        ]
        page = await client.get(f"/flows/{handle.id}?again=true")
        assert f'name="action" value="{told["action"]}"' in page.text
        asked = {"flow": handle.id, "action": told["action"]}
        dry = (await client.post("/api/v1/flows/repeat", json={**asked, "dry_run": True})).json()
        assert (dry["count"], dry["ids"]) == (3, [])
        done, twice = [(await client.post("/api/v1/flows/repeat", json=asked)).json() for _ in range(2)]
        (new,) = done["ids"]
        assert (twice["ids"], done["page"]) == ([new], f"/flows/{new}")
        running = await read(client, f"/flows/{new}?again=true")
        assert "has not ended" in running["repeating"]["refused"]
    await stage.arun(f"{new[:28]}00000004")
    async with stage.browsing() as client:
        old, repeated = await read(client, f"/flows/{told['flow']['id']}"), await read(client, f"/flows/{new}")
        assert (old["repeats"], repeated["origin"], repeated["rest"]) == ([new], old["flow"]["id"], False)
        assert repeated["flow"]["state"] == "succeeded"
        assert "Repeats" in (await client.get(f"/flows/{new}")).text
        assert told["action"] != old["action"]  # the next click is another act


async def test_names_are_shown_and_never_obeyed(stage: Stage) -> None:
    wicked = '<script>alert(1)</script>"\u202e'

    @stage.app.task(name=wicked)
    def run(number: int) -> int:
        return number

    handle = await chord(group(run.s(n).set(countdown=3_600) for n in range(300)), run.s()).adelay()
    await stage.arecord()
    async with stage.browsing() as client:
        for path in (f"/flows/{handle.id}", "/flows", "/tasks?range=15m", "/"):
            page = await client.get(path)
            assert page.status_code == 200, page.text
            assert "<script>alert" not in page.text
            assert "\u202e" not in page.text
        (many, one) = (await read(client, f"/flows/{handle.id}"))["nodes"]
    assert (many["count"], one["count"]) == (300, 1)


def parcels(stage: Stage) -> dict[str, Any]:
    """Tasks of which "check" fails until its ``closed`` is False."""
    app = stage.app

    @app.task(name="shop.label")
    def label(parcel: int) -> int:
        return parcel

    @app.task(name="shop.check")
    def check(parcel: int) -> int:
        if getattr(check, "closed", True):
            raise ValueError("the shop is closed")
        return parcel

    @app.task(name="shop.pack")
    def pack(parcel: Any) -> Any:
        return parcel

    return {"label": label, "check": check, "pack": pack}
