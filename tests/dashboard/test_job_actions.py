"""What can be done to jobs: sent again, cancelled, terminated, their records deleted; and what the engine says then."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.dashboard.stage import DEADLINE_SECONDS, Stage
from umbel import chain
from umbel.dashboard.options import Options
from umbel.testing import worker


class Till:
    """A stage with a task that fails while the till is *closed*; *paid* are the orders that were paid."""

    def __init__(self, folder: Path) -> None:
        self.stage = Stage(folder)
        self.closed = True
        self.paid: list[int] = []

        @self.stage.app.task(name="till.pay")
        def pay(order: int) -> int:
            if self.closed:
                raise ValueError("the till is closed")
            self.paid.append(order)
            return order

        @self.stage.app.task(name="till.secret", redact=("card",))
        def secret(card: str) -> None:
            raise ValueError("no")

        @self.stage.app.task(name="till.note")
        def note(text: str) -> None:
            raise ValueError("no")

        self.pay, self.secret, self.note = pay, secret, note


@pytest.fixture
def till(tmp_path: Path) -> Iterator[Till]:
    made = Till(tmp_path)
    yield made
    made.stage.close()


async def act(browser: httpx.AsyncClient, path: str, **takes: object) -> httpx.Response:
    """Post *takes* as JSON."""
    return await browser.post(f"/api/v1{path}", json=takes)


async def test_a_retry_sends_the_job_again_as_a_new_one_and_leaves_the_old_record(till: Till) -> None:
    failed = till.pay.apply_async((7,), headers={"tenant": "acme"}, priority=4, expires=3_600)
    await asyncio.to_thread(till.stage.run, failed.id)
    before = till.stage.history.job(failed.id)
    till.closed = False
    async with till.stage.browsing() as browser:
        done = (await act(browser, "/jobs/retry", ids=[failed.id])).json()
        (new,) = done["ids"]
        await asyncio.to_thread(till.stage.run, new)
        assert till.paid == [7]
        told = (await browser.get(f"/api/v1/jobs/{new}")).json()
        assert told["state"] == "succeeded"
        assert told["row"]["retry_of"] == failed.id
        assert (told["row"]["priority"], told["row"]["attempt"], told["expires"]) == (4, 1, None)
        assert "acme" in told["headers"]["text"]
        old = (await browser.get(f"/api/v1/jobs/{failed.id}")).json()
        assert [each["id"] for each in old["retries"]] == [new]
    after = till.stage.history.job(failed.id)
    assert before is not None
    assert after is not None
    assert after.job == before.job
    assert after.attempts == before.attempts


async def test_a_double_click_sends_once(till: Till) -> None:
    failed = till.pay.delay(7)
    await asyncio.to_thread(till.stage.run, failed.id)
    till.closed = False
    async with till.stage.browsing() as browser, till.stage.browsing() as another:
        action = (await browser.get(f"/api/v1/jobs/{failed.id}")).json()["action"]
        clicks = [act(each, "/jobs/retry", ids=[failed.id], action=action) for each in (browser, browser, another)]
        answers = [each.json() for each in await asyncio.gather(*clicks)]
        (new,) = {job for each in answers for job in each["ids"]}
        await asyncio.to_thread(till.stage.run, new)
        assert till.paid == [7]
        later = (await browser.get(f"/api/v1/jobs/{failed.id}")).json()["action"]
        assert later != action
        (again,) = (await act(browser, "/jobs/retry", ids=[failed.id], action=later)).json()["ids"]
        assert again != new


async def test_what_cannot_be_sent_again_is_refused_with_the_reason(till: Till) -> None:
    secret, waiting, large = till.secret.delay("4111"), till.pay.delay(1), till.note.delay("x" * 300_000)
    flow = chain(till.pay.s(1), till.pay.s()).delay()
    head = flow.parent
    await asyncio.to_thread(till.stage.run, secret.id, large.id, head.id)
    still = till.pay.apply_async((2,), countdown=3_600)
    await till.stage.arecord()
    async with till.stage.browsing() as browser:
        for job, reason in (
            (secret.id, "its envelope is not kept"),
            (large.id, "its envelope is not kept"),
            (head.id, "retry the flow"),
            (still.id, "it has not ended"),
        ):
            answer = await act(browser, "/jobs/retry", ids=[job])
            assert answer.status_code == 409, answer.text
            assert reason in answer.json()["error"]
        assert (await act(browser, "/jobs/retry", ids=["nobody"])).status_code == 404
        some = (await act(browser, "/jobs/retry", ids=[secret.id, waiting.id])).json()
        assert (some["count"], len(some["ids"])) == (1, 1)
        assert "not kept" in some["text"]


async def test_a_job_with_a_unique_key_that_another_one_has_is_not_sent(till: Till) -> None:
    @till.stage.app.task(name="till.once", unique=True)
    def once(order: int) -> None:
        raise ValueError("no")

    failed = once.delay(1)
    await asyncio.to_thread(till.stage.run, failed.id)
    holder = await once.adelay(1)
    async with till.stage.browsing() as browser:
        answer = await act(browser, "/jobs/retry", ids=[failed.id])
        assert answer.status_code == 409
        assert f"job {holder.id} has its unique key" in answer.json()["error"]


async def test_cancelling_ends_what_waits_in_the_engine(till: Till) -> None:
    waiting = [till.pay.delay(n) for n in range(3)]
    await till.stage.arecord()
    async with till.stage.browsing() as browser:
        done = (await act(browser, "/jobs/cancel", ids=[each.id for each in waiting])).json()
        assert done["count"] == 3
        assert {each.state for each in waiting} == {"REVOKED"}
        again = await act(browser, "/jobs/cancel", ids=[waiting[0].id])
        assert again.status_code == 404
        assert "it had ended" in again.json()["error"]
        assert (await act(browser, "/jobs/cancel", ids=["a b"])).status_code == 400
        assert (await act(browser, "/jobs/cancel", ids=[])).status_code == 400
        assert (await act(browser, "/jobs/cancel", ids=["x"] * 1_001)).status_code == 400


async def test_terminating_tells_the_worker_of_what_runs(till: Till) -> None:
    started, over = threading.Event(), threading.Event()

    @till.stage.app.task(name="till.hang")
    def hang() -> None:
        started.set()
        over.wait(600)

    job = hang.delay()
    try:
        with worker(till.stage.app):
            assert await asyncio.to_thread(started.wait, DEADLINE_SECONDS)
            await till.stage.arecord()
            async with till.stage.browsing() as browser:
                told = (await browser.get(f"/api/v1/jobs/{job.id}")).json()
                assert (told["state"], told["standing"]["place"]) == ("running", "running")
                done = (await act(browser, "/jobs/terminate", ids=[job.id], signal="SIGTERM")).json()
                assert "1 running told to end" in done["text"]
                assert (await browser.get(f"/api/v1/jobs/{job.id}")).json()["state"] == "cancelling"
                assert (await act(browser, "/jobs/terminate", ids=[job.id], signal="SIGBUS")).status_code == 400
            over.set()
            await asyncio.to_thread(till.stage.until, job.ready)
    finally:
        over.set()


async def test_deleting_forgets_the_record_and_not_the_job(till: Till) -> None:
    waiting = till.pay.delay(1)
    await till.stage.arecord()
    async with till.stage.browsing() as browser:
        for typed in ({}, {"typed": "Delete"}):
            refused = await act(browser, "/jobs/delete", ids=[waiting.id], **typed)
            assert (refused.status_code, refused.json()["field"]) == (400, "typed")
        assert till.stage.history.job(waiting.id) is not None
        for _ in range(2):  # a slow double click
            done = await act(browser, "/jobs/delete", ids=[waiting.id], typed="delete", action="one")
            assert done.json()["count"] == 1
        assert till.stage.history.job(waiting.id) is None
        gone = await act(browser, "/jobs/delete", ids=[waiting.id], typed="delete", action="another")
        assert gone.status_code == 404
    assert waiting.place == "ready"


async def test_whoever_only_reads_changes_nothing(till: Till) -> None:
    waiting = till.pay.delay(1)
    await till.stage.arecord()
    async with till.stage.browsing(Options(read_only=True)) as browser:
        for verb in ("retry", "cancel", "terminate", "delete"):
            assert (await act(browser, f"/jobs/{verb}", ids=[waiting.id])).status_code == 403
        page = await browser.get("/jobs")
        assert "/api/v1/jobs/" not in page.text
    assert waiting.place == "ready"
    assert till.stage.history.job(waiting.id) is not None
