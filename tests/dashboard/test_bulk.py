"""Actions on all jobs that match: seen before they begin, confirmed, carried out once, stopped, and gone on with."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.dashboard.stage import DEADLINE_SECONDS, Stage
from tests.dashboard.test_job_actions import Till
from umbel.dashboard import bulk
from umbel.dashboard.bulk import Bulks
from umbel.dashboard.options import Options
from umbel.exceptions import BrokerUnavailable
from umbel.history.views import Order
from umbel.testing.conformance.eventually import eventually


@pytest.fixture
def till(tmp_path: Path) -> Iterator[Till]:
    made = Till(tmp_path)
    yield made
    made.stage.close()


async def seen(browser: httpx.AsyncClient, what: str, q: str) -> dict[str, Any]:
    """What a form that does *what* to all that match says, after its preview."""
    page = await browser.get("/api/v1/bulk/new", params={"what": what, "q": q})
    assert page.status_code == 200, page.text
    found = page.json()
    return {"q": q, **{name: found[name] for name in ("count", "cutoff", "at")}, "id": f"{what} of {q}"}


async def over(browser: httpx.AsyncClient, bulk_id: str) -> dict[str, Any]:
    """How the action *bulk_id* has ended."""
    found: dict[str, Any] = {}

    async def ended() -> bool:
        found.update((await browser.get(f"/api/v1/bulk/{bulk_id}")).json()["bulk"])
        return str(found["state"]) != "running"

    await eventually(ended, DEADLINE_SECONDS)
    return found


async def test_all_that_failed_is_sent_again_once(till: Till) -> None:
    failed = [till.pay.delay(n).id for n in range(5)]
    secret = till.secret.delay("4111").id
    await asyncio.to_thread(till.stage.run, *failed, secret)
    till.closed = False
    async with till.stage.browsing() as browser:
        form = await seen(browser, "retry", "state:failed")
        assert form["count"] == 6
        page = await browser.get("/bulk/new", params={"what": "retry", "q": "state:failed"})
        assert '<b id="count">6</b>' in page.text
        later = await till.pay.adelay(99)
        clicks = [browser.post("/api/v1/bulk/retry", data=form) for _ in range(2)]
        for answer in await asyncio.gather(*clicks):
            assert answer.json()["page"] == "/bulk/retry%20of%20state%3Afailed"
        done = await over(browser, form["id"])
        assert (done["state"], done["done"], done["failed"], done["total"]) == ("done", 5, 1, 6)
        page = await browser.get("/bulk/retry%20of%20state%3Afailed")
        assert "6 of 6" in page.text
        await till.stage.arecord()
        found = (await browser.get("/api/v1/jobs", params={"q": "task:till.pay state:queued"})).json()["rows"]
        await asyncio.to_thread(till.stage.run, later.id, *(row["id"] for row in found))
        assert sorted(till.paid) == [0, 1, 2, 3, 4, 99]
    audits = {(each.what, each.outcome, each.count) for each in till.stage.history.audits()}
    assert ("bulk.retry", "done", 6) in audits
    (told,) = [outcome for what, outcome, count in audits if (what, count) == ("bulk.jobs.retry", 5)]
    assert told.startswith("finished, 1 left out, such as: its envelope is not kept")


async def test_many_are_confirmed_by_their_number(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("umbel.dashboard.pages.bulk.TYPED_ABOVE", "umbel.dashboard.actions.bulk.TYPED_ABOVE"):
        monkeypatch.setattr(place, 2)
    waiting = [till.pay.delay(n) for n in range(3)]
    await till.stage.arecord()
    async with till.stage.browsing() as browser:
        form = await seen(browser, "cancel", "task:till.pay")
        page = await browser.get("/bulk/new", params={"what": "cancel", "q": "task:till.pay"})
        assert 'data-must-type="3"' in page.text
        for typed in ({}, {"typed": 2}, {"typed": "x"}):
            answer = await browser.post("/api/v1/bulk/cancel", json={**form, **typed})
            assert answer.status_code == 400
            assert answer.json()["field"] == "typed"
        assert {each.state for each in waiting} == {"PENDING"}
        assert (await browser.post("/api/v1/bulk/cancel", json={**form, "typed": 3})).status_code == 200
        assert (await over(browser, form["id"]))["done"] == 3
    assert {each.state for each in waiting} == {"REVOKED"}


async def test_an_empty_filter_a_wrong_one_and_one_that_matches_much_more_by_now_are_refused(till: Till) -> None:
    waiting = till.pay.delay(1)
    await till.stage.arecord()
    async with till.stage.browsing() as browser:
        for q in ("", " ", "colour:red"):
            assert (await browser.get("/api/v1/bulk/new", params={"what": "delete", "q": q})).status_code == 400
            form = {"q": q, "range": "24h", "count": 1, "cutoff": 100, "at": 0}
            assert (await browser.post("/api/v1/bulk/delete", json=form)).status_code == 400
        assert (await browser.get("/api/v1/bulk/new", params={"what": "eat", "q": "state:queued"})).status_code == 400
        assert (await browser.get("/bulk/nobody")).status_code == 404
        many = [till.pay.delay(n).id for n in range(150)]
        await till.stage.arecord()
        form = {**await seen(browser, "delete", "task:till.pay"), "count": 10}
        answer = await browser.post("/api/v1/bulk/delete", json=form)
        assert (answer.status_code, answer.json()["field"]) == (400, "count")
        assert till.stage.history.job(waiting.id) is not None
        assert till.stage.history.job(many[0]) is not None


async def test_one_that_is_stopped_goes_no_further(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "STEP", 1)
    begun, go_on = asyncio.Event(), asyncio.Event()
    delete = till.stage.history.delete
    loop = asyncio.get_running_loop()

    def slow(ids: list[str]) -> int:
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(DEADLINE_SECONDS)
        return delete(ids)

    for n in range(3):
        till.pay.delay(n)
    await till.stage.arecord()
    monkeypatch.setattr("umbel.history.history.History.delete", lambda _, ids: slow(ids))
    async with till.stage.browsing() as browser:
        form = await seen(browser, "delete", "task:till.pay")
        await browser.post("/api/v1/bulk/delete", json=form)
        await begun.wait()
        assert (await browser.post("/api/v1/bulk/stop", json={"id": form["id"]})).status_code == 200
        go_on.set()
        await eventually(lambda: getattr(till.stage.history.bulk(form["id"]), "done", 0) == 1, DEADLINE_SECONDS)
        assert (await over(browser, form["id"]))["state"] == "stopped"
        assert (await browser.post("/api/v1/bulk/stop", json={"id": form["id"]})).status_code == 400
    assert till.stage.history.count("task:till.pay").n == 2


async def test_another_dashboard_goes_on_where_one_has_died(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "STEP", 2)
    monkeypatch.setattr("umbel.history.bulk.LEASE_SECONDS", 0.0)
    failed = [till.pay.delay(n).id for n in range(5)]
    await asyncio.to_thread(till.stage.run, *failed)
    till.closed = False
    history, app = till.stage.history, till.stage.app
    count = history.count("state:failed")
    order = Order(
        id="b", what="jobs.retry", filter="state:failed", cutoff=count.top, at=count.at, who="x", origin="", total=5
    )
    history.bulk_begin(order)
    dying = Bulks(app, history, history.audit)
    with monkeypatch.context() as patch:
        patch.setattr(history, "bulk_step", lambda *_, **__: False)  # dies after it has sent two, before it says so
        dying.start()
        await asyncio.to_thread(till.stage.until, lambda: till.stage.record() and sent(till.stage) == 2)
        await dying.aclose()
    another = Bulks(app, history, history.audit)
    another.start()
    await asyncio.to_thread(till.stage.until, lambda: getattr(history.bulk("b"), "state", "") == "done")
    await another.aclose()
    await asyncio.to_thread(till.stage.until, lambda: till.stage.record() and sent(till.stage) == 5)
    new = [row.id for row in history.jobs("state:queued").rows]
    await asyncio.to_thread(till.stage.run, *new)
    assert sorted(till.paid) == [0, 1, 2, 3, 4]


def sent(stage: Stage) -> int:
    """How many jobs were sent again."""
    return sum(row.retry_of is not None for row in stage.history.jobs().rows)


async def test_one_waits_while_the_broker_is_away(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr("umbel.history.bulk.LEASE_SECONDS", 0.0)
    waiting = till.pay.delay(1)
    await till.stage.arecord()
    control, tries = till.stage.app.control, []
    revoke = control.arevoke_jobs

    async def away(*given: Any, **named: Any) -> Any:
        tries.append(1)
        if len(tries) < 3:
            raise BrokerUnavailable("away")
        return await revoke(*given, **named)

    monkeypatch.setattr(control, "arevoke_jobs", away)
    async with till.stage.browsing() as browser:
        form = await seen(browser, "cancel", "task:till.pay")
        await browser.post("/api/v1/bulk/cancel", json=form)
        assert (await over(browser, form["id"]))["done"] == 1
    assert (waiting.state, len(tries)) == ("REVOKED", 3)


async def test_whoever_lacks_the_right_neither_sees_nor_begins_nor_stops_it(till: Till) -> None:
    waiting = till.pay.delay(1)
    await till.stage.arecord()
    async with till.stage.browsing() as browser:
        form = await seen(browser, "cancel", "task:till.pay")
    async with till.stage.browsing(Options(read_only=True)) as browser:
        assert (await browser.get("/bulk/new", params={"what": "cancel", "q": "x"})).status_code == 403
        assert (await browser.post("/api/v1/bulk/cancel", json=form)).status_code == 403
        order = Order(id="b", what="jobs.cancel", filter="args.0:1", cutoff=1, at=0.0, who="x", origin="", total=5)
        till.stage.history.bulk_begin(order)
        assert (await browser.post("/api/v1/bulk/stop", json={"id": "b"})).status_code == 403
    assert waiting.place == "ready"
    async with till.stage.browsing(Options(show_args=False)) as browser:
        assert "args.0:1" not in (await browser.get("/bulk/b")).text


async def test_looking_for_something_to_do_makes_no_history(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    async with stage.browsing() as browser:
        bulks = Bulks(stage.app, stage.history, stage.history.audit)
        bulks.start()
        assert (await browser.get("/api/v1/jobs")).status_code == 503
        await bulks.aclose()
    assert not (tmp_path / "history.db").exists()
    stage.close()
