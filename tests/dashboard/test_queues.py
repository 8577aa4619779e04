"""The pages of queues: what they show is so, and what is done there happens in the engine."""

from __future__ import annotations

import httpx
import pytest

from tests.dashboard.stage import Stage


@pytest.fixture
def mail(stage: Stage) -> Stage:
    """A stage with a task, three of whose jobs wait in the queue ``mail.out``."""

    @stage.app.task(name="mail.send", queue="mail.out")
    def send(to: str) -> str:
        return to

    for to in ("ada", "grace", "edsger"):
        send.delay(to)
    stage.record()
    return stage


async def test_a_queue_is_shown_as_it_is_now(mail: Stage, browser: httpx.AsyncClient) -> None:
    (queue,) = (await browser.get("/api/v1/queues")).json()["queues"]
    assert (queue["name"], queue["ready"], queue["running"], queue["paused"]) == ("mail.out", 3, 0, False)
    assert queue["oldest"] >= 0
    assert queue["workers"] == []
    assert queue["ready_hour"] == [3]
    page = (await browser.get("/queues")).text
    assert 'href="/queue?name=mail.out"' in page
    assert ">none<" in page


async def test_one_queue_has_its_samples(mail: Stage, browser: httpx.AsyncClient) -> None:
    told = (await browser.get("/api/v1/queue", params={"name": "mail.out", "range": "1h"})).json()
    assert [sample["ready"] for sample in told["samples"]] == [3]
    assert {line["label"]: sum(line["values"]) > 0 for line in told["rates"]["lines"]} == {"in": True, "out": False}
    page = await browser.get("/queue", params={"name": "mail.out"})
    assert page.status_code == 200
    assert "umbel -A tasks worker -Q mail.out" in page.text


@pytest.mark.parametrize(
    ("query", "status"), [({"name": "none"}, 404), ({}, 400), ({"name": "mail.out", "range": "9y"}, 400)]
)
async def test_what_cannot_be_shown_is_refused(
    query: dict[str, str], status: int, mail: Stage, browser: httpx.AsyncClient
) -> None:
    assert (await browser.get("/api/v1/queue", params=query)).status_code == status
    assert (await browser.get("/queue", params=query)).status_code == status


async def test_a_queue_is_paused_and_resumed(mail: Stage, browser: httpx.AsyncClient) -> None:
    assert (await browser.post("/api/v1/queues/pause", data={"name": "mail.out"})).status_code == 200
    assert [queue.paused for queue in mail.app.queues.list()] == [True]
    assert "paused" in (await browser.get("/queue", params={"name": "mail.out"})).text
    assert (await browser.post("/api/v1/queues/resume", json={"name": "mail.out"})).status_code == 200
    assert [queue.paused for queue in mail.app.queues.list()] == [False]


async def test_a_queue_is_purged_by_whoever_types_its_name(mail: Stage, browser: httpx.AsyncClient) -> None:
    refused = await browser.post("/api/v1/queues/purge", data={"name": "mail.out", "typed": "mail"})
    assert (refused.status_code, refused.json()["field"]) == (400, "typed")
    assert [queue.ready for queue in mail.app.queues.list()] == [3]
    done = await browser.post("/api/v1/queues/purge", data={"name": "mail.out", "typed": "mail.out"})
    assert done.json()["count"] == 3
    assert [queue.ready for queue in mail.app.queues.list()] == [0]


@pytest.mark.parametrize("verb", ["pause", "resume", "purge"])
async def test_nothing_is_done_to_a_queue_that_is_not_there(verb: str, mail: Stage, browser: httpx.AsyncClient) -> None:
    given = {"name": "male", **({"typed": "male"} if verb == "purge" else {})}
    refused = await browser.post(f"/api/v1/queues/{verb}", data=given)
    assert refused.status_code == 409
    assert "known are: mail.out" in refused.json()["error"]


async def test_what_is_done_is_noted(mail: Stage, browser: httpx.AsyncClient) -> None:
    await browser.post("/api/v1/queues/pause", data={"name": "mail.out"})
    await browser.post("/api/v1/queues/pause", data={"name": "male"})
    told = (await browser.get("/api/v1/activity")).json()["audits"]
    assert {(row["what"], row["target"]) for row in told} == {("queues.pause", "mail.out"), ("queues.pause", "male")}
    page = (await browser.get("/activity")).text
    assert "mail.out" in page
