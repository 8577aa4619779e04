"""Tasks: what each costs and how often it fails."""

from __future__ import annotations

import httpx

from tests.dashboard.test_overview import line, read


async def test_tasks_are_listed_with_waits_and_runs_apart(visitor: httpx.AsyncClient) -> None:
    told = await read(visitor, "/tasks")
    by_name = {each["name"]: each for each in told["tasks"]}
    assert set(by_name) == {"shop.pay", "shop.refuse", "shop.label", "shop.pack"}
    pay = by_name["shop.pay"]
    assert (pay["ended"], pay["failed"]) == (4, 0)
    assert pay["wait"][0] <= pay["wait"][1] <= pay["wait"][2]
    assert pay["run"][2] < 30
    assert by_name["shop.refuse"]["failing"] == 1.0
    assert sum(told["pulse"]["tasks"]["shop.pay"]) == 4
    page = await visitor.get("/tasks")
    assert "shop.refuse" in page.text


async def test_tasks_are_put_in_order_and_are_not_too_many(visitor: httpx.AsyncClient) -> None:
    told = await read(visitor, "/tasks?order=failed&limit=2")
    assert [(each["name"], each["failed"]) for each in told["tasks"]] == [("shop.refuse", 3), ("shop.label", 1)]
    assert told["count"] == 4
    assert set(told["pulse"]["tasks"]) == {"shop.refuse", "shop.label"}
    page = await visitor.get("/tasks?limit=2")
    assert "All 4 tasks" in page.text
    waits = [each["wait"][1] or 0 for each in (await read(visitor, "/tasks?order=wait"))["tasks"]]
    assert waits == sorted(waits, reverse=True)


async def test_one_task_has_its_figures_jobs_and_code(visitor: httpx.AsyncClient) -> None:
    told = await read(visitor, "/task?name=shop.pay")
    assert told["figures"]["ended"] == 4
    assert sum(value or 0 for value in line(told["throughput"], "succeeded")) * told["throughput"]["span"] == 4
    assert {job["task"] for job in told["slowest"]} == {"shop.pay"}
    runs = [job["run"] for job in told["slowest"]]
    assert runs == sorted(runs, reverse=True)
    assert told["failed"] == []
    assert told["code"] == {
        "signature": "shop.pay(order: int, currency: str = 'EUR') -> int",
        "doc": "Take the money for an order.\n\nTells how much.",
        "options": {"queue": "default", "max_retries": "2"},
    }
    page = await visitor.get("/task?name=shop.pay")
    assert "Take the money for an order." in page.text


async def test_failures_of_a_task_are_shown_on_its_page(visitor: httpx.AsyncClient) -> None:
    told = await read(visitor, "/task?name=shop.refuse")
    assert [job["error"] for job in told["failed"]] == ["ValueError"] * 3
    assert sum(value or 0 for value in line(told["failures"], "failed")) == 3
    assert all(value == 0 for value in line(told["throughput"], "succeeded"))


async def test_a_task_that_nobody_knows_is_missing(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.get("/api/v1/task?name=shop.nothing")
    assert answer.status_code == 404
    assert "shop.nothing" in answer.json()["error"]


async def test_a_name_with_any_characters_has_a_page(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.get("/task", params={"name": 'a/b"<script>alert(1)</script> c'})
    assert answer.status_code == 404
    assert "<script>alert" not in answer.text
