"""The page of one job."""

from __future__ import annotations

import asyncio
import re
import time
from html import unescape
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.dashboard.shop import Shop
from tests.dashboard.stage import Stage
from umbel.dashboard.access.user import User
from umbel.dashboard.filters import whole
from umbel.dashboard.options import Options
from umbel.dashboard.pages import job as job_page
from umbel.dashboard.station import Station
from umbel.dashboard.visit import Visit
from umbel.exceptions import EncodeError
from umbel.history import FilterError

MEBIBYTE: Final = 2**20


async def test_a_job_is_shown_with_its_arguments_attempts_and_traceback(visitor: httpx.AsyncClient, shop: Shop) -> None:
    page = await visitor.get(f"/jobs/{shop.failed[0]}")
    assert page.status_code == 200, page.text
    for text in ("shop.refuse", "order 17 is refused", "Traceback", "ValueError", "shop.refuse.apply_async([17], {}"):
        assert text in page.text, text
    told = (await visitor.get(f"/api/v1/jobs/{shop.failed[0]}")).json()
    assert told["state"] == "failed"
    assert told["args"] == {"text": "[17]", "characters": 4, "shortened": False, "cut": False}
    assert [moment["what"] for moment in told["moments"]] == ["sent", "started", "failed"]
    assert told["unsendable"] == ""


async def test_jobs_that_are_counted_by_the_same_key_are_one_click_away(stage: Stage) -> None:
    @stage.app.task(
        name="shop.pay", unique="queued", unique_key=("account", "cents"), concurrency_limit=9,
        concurrency_limit_key="account", rate_limit="9/s", rate_limit_key="account", fair_key="token",
    )  # fmt: skip
    def pay(account: str, cents: int, token: str = "") -> None:
        del account, cents, token

    # By name: what is passed by its place is found by its name once a worker has told of the task's parameters.
    calls = ({"account": "17", "cents": 3, "token": "s3cret"}, {"account": "17", "cents": 4}, {"account": "18"})
    jobs = [pay.apply_async(kwargs={"cents": 4, **given}).id for given in calls]
    await stage.arecord()
    async with stage.browsing() as browser:
        told = (await browser.get(f"/api/v1/jobs/{jobs[0]}")).json()["same_keys"]
        assert [(each["whats"], each["key"]) for each in told] == [
            (["unique"], "account=17, cents=3"),
            (["concurrency limit", "rate limit"], "account=17"),
        ]
        found = (await browser.get("/api/v1/jobs", params={"q": told[1]["filter"]})).json()["rows"]
        assert {row["id"] for row in found} == set(jobs[:2])
        assert "Same key: concurrency limit, rate limit" in (await browser.get(f"/jobs/{jobs[0]}")).text
    async with stage.browsing(Options(show_args=False)) as browser:
        assert (await browser.get(f"/api/v1/jobs/{jobs[0]}")).json()["same_keys"] == []


async def test_an_unknown_job_is_404(visitor: httpx.AsyncClient) -> None:
    for path in ("/jobs/nobody", "/api/v1/jobs/nobody", "/jobs/a%23b%20c"):
        assert (await visitor.get(path)).status_code == 404


async def test_a_job_that_only_the_engine_knows_is_shown_with_what_that_knows(stage: Stage) -> None:
    @stage.app.task(name="shop.pay")
    def pay(order: int) -> int:
        return order

    job = pay.delay(1)
    async with stage.browsing() as browser:
        told = (await browser.get(f"/api/v1/jobs/{job.id}")).json()
        assert "state" in told, told
        assert (told["state"], told["row"], told["standing"]["place"]) == ("queued", None, "ready")
        assert "No worker receives" in told["standing"]["why"]
        page = await browser.get(f"/jobs/{job.id}")
        assert "does not know this job" in page.text


@pytest.mark.parametrize(("ahead", "told"), [(0.0, False), (30.0, True)])
async def test_a_job_sent_by_a_host_whose_clock_is_ahead_has_no_wait_and_says_why(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, ahead: float, told: bool
) -> None:
    @stage.app.task(name="shop.pay")
    def pay() -> None:
        return None

    class Ahead:
        @staticmethod
        def time() -> float:
            return time.time() + ahead

    with monkeypatch.context() as there:
        there.setattr("umbel.task.time", Ahead)
        there.setattr("umbel.telling.time", Ahead)
        job = pay.delay()
    await stage.arun(job.id)
    async with stage.browsing() as browser:
        found = (await browser.get(f"/api/v1/jobs/{job.id}")).json()
        page = (await browser.get(f"/jobs/{job.id}")).text
    assert (found["row"]["wait"] is None, found["apart"] > 0, "clocks of two hosts differ" in page) == (
        told,
        told,
        told,
    )


async def test_why_a_job_waits_is_told(stage: Stage) -> None:
    app = stage.app

    @app.task(name="shop.pay")
    def pay(order: int) -> int:
        return order

    waiting, later = pay.delay(1), pay.apply_async((2,), countdown=3_600)
    await stage.arecord()
    async with stage.browsing() as browser:
        await app.queues.apause("default")
        page = await browser.get(f"/jobs/{waiting.id}")
        assert "default, is paused" in page.text
        assert "waits until" in (await browser.get(f"/jobs/{later.id}")).text


async def test_ids_that_users_chose_have_a_page(stage: Stage) -> None:
    @stage.app.task(name="shop.pay")
    def pay(order: int) -> int:
        return order

    odd = "a/b?c=%2F&d<e>"
    pay.apply_async((1,), task_id=odd)
    await stage.arecord()
    async with stage.browsing() as browser:
        (row,) = [
            each for each in (await browser.get("/jobs")).text.split("<tr") if "shop.pay" in each and "href" in each
        ][1:]
        address = row.partition('data-href="')[2].partition('"')[0]
        page = await browser.get(address)
        assert page.status_code == 200
        assert "a/b?c=%2F&amp;d&lt;e&gt;" in page.text


async def test_long_values_are_shortened_until_all_is_asked_for(stage: Stage) -> None:
    @stage.app.task(name="shop.pay")
    def pay(order: object, number: int) -> None:
        if number:
            boom(10_000)

    def boom(depth: int) -> None:
        error: Exception = ValueError("x" * 1024 * 1024)
        for _ in range(30):
            error.add_note("line\n" * 400)
        raise error

    large, exact = pay.delay("y" * 900_000, 1), pay.delay({"n": [2**60 + 1, 1.5, "z" * 1_000]}, 0)
    await asyncio.to_thread(stage.run, large.id, exact.id)
    async with stage.browsing() as browser:
        page = await browser.get(f"/jobs/{large.id}")
        assert page.status_code == 200
        assert len(page.content) < 600_000
        assert str(2**60 + 1) in (await browser.get(f"/jobs/{exact.id}")).text
        assert (await browser.get(f"/jobs/{exact.id}?full=result")).status_code == 200
        assert (await browser.get(f"/jobs/{exact.id}?full=all")).status_code == 400


async def test_of_what_is_too_long_to_be_kept_its_beginning_or_its_end_is_shown(tmp_path: Path) -> None:
    stage = Stage(tmp_path, message_max_bytes=2 * MEBIBYTE)

    @stage.app.task(name="shop.pay")
    def pay(order: str) -> None:
        error = ValueError("no")
        error.add_note("\n".join(f"note {n}" for n in range(10_000)))
        raise error

    with pytest.raises(EncodeError, match="take") as refused:
        pay.delay("y" * 2 * MEBIBYTE)
    (told,) = re.findall(r"take ([\d,]+) bytes", str(refused.value))
    fits = 4 * MEBIBYTE - int(told.replace(",", ""))
    just, large = pay.delay("y" * fits), pay.delay("z" * MEBIBYTE)
    await stage.arun(just.id, large.id)
    async with stage.browsing() as browser:
        for job, letter, size in ((just.id, "y", fits), (large.id, "z", MEBIBYTE)):
            page = await browser.get(f"/jobs/{job}?full=args")
            assert page.status_code == 200
            assert len(page.content) < 600_000
            ((head, told),) = re.findall(f"({letter}+)… ([\\d,]+) more bytes", unescape(page.text))[:1]
            assert len(head) + int(told.replace(",", "")) == size
            assert len(head) > 900  # what can be read of it
            assert "Only the beginning of it is kept" in page.text
            assert "As Python" not in page.text
            assert "lines before these are left out" in page.text
            assert "note 9999" in page.text
            assert "its envelope is not kept: it was larger than 256 KiB" in page.text
            refused_retry = await browser.post("/api/v1/jobs/retry", data={"ids": job})
            assert "256 KiB" in refused_retry.text
    stage.close()


async def test_a_job_leads_to_its_trace(stage: Stage) -> None:
    @stage.app.task(name="shop.pay")
    def pay() -> None:
        return None

    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    traced = pay.apply_async(headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    other = pay.apply_async(headers={"traceparent": '"><script>'})
    await stage.arecord()
    async with stage.browsing(Options(trace_url="https://traces.example.com/trace/{trace_id}?view=all")) as browser:
        told = (await browser.get(f"/api/v1/jobs/{traced.id}")).json()
        assert (told["trace_id"], told["trace_url"]) == (trace, f"https://traces.example.com/trace/{trace}?view=all")
        assert f'href="{told["trace_url"]}" rel="noreferrer"' in (await browser.get(f"/jobs/{traced.id}")).text
        assert (await browser.get(f"/api/v1/jobs/{other.id}")).json()["trace_url"] == ""
    async with stage.browsing(Options(show_args=False)) as browser:
        assert (await browser.get(f"/api/v1/jobs/{traced.id}")).json()["trace_id"] == ""


async def test_a_result_is_hidden_from_whoever_may_not_see_it(shop: Shop) -> None:
    async with shop.stage.browsing(Options(show_args=False)) as browser:
        told = (await browser.get(f"/api/v1/jobs/{shop.paid[2]}")).json()
        assert told["hidden"] == ["args", "kwargs", "headers"]
        assert (told["args"], told["python"]) == (None, "")


async def test_whoever_may_see_neither_arguments_nor_results_sees_and_finds_none(shop: Shop) -> None:
    station = Station(shop.stage.app, Options(), shop.stage.history)
    visit = Visit(station, User("guest"), frozenset({"jobs.view"}))
    found = await job_page.show(visit, job_page.Asks(shop.paid[2]))
    assert found.hidden == ("args", "kwargs", "headers", "result")
    assert (found.args, found.kwargs, found.headers, found.result, found.python) == (None, None, None, None, "")
    assert found.row is not None
    assert (found.row.args, found.row.kwargs) == ("", "")
    reader = Visit(station, User("reader"), frozenset({"jobs.view", "jobs.view_args"}))
    assert whole(reader, "args.0:1") == "args.0:1"
    for user, q in ((visit, "args.0:1"), (visit, "word"), (reader, "word")):
        with pytest.raises(FilterError, match="hidden"):
            whole(user, q)
