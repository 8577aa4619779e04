"""The API: described as it is, and what is asked in a wrong way is refused where it is wrong."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from itertools import product
from urllib.parse import quote

import httpx
import msgspec
import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

# Imported here: else a thread imports it first, while pytest rewrites another one.
import umbel.telemetry.app_families  # noqa: F401  # pyright: ignore[reportUnusedImport]
from tests.dashboard.people import filled, guarded
from tests.dashboard.shop import Shop
from tests.dashboard.stage import HOST, OURS, Stage
from umbel.dashboard.answering import API
from umbel.dashboard.options import Options
from umbel.dashboard.page import Nothing
from umbel.dashboard.routes import ACTIONS, PAGES, SHOWN
from umbel.dashboard.site import site
from umbel.dashboard.station import Station
from umbel.worker.supervisor.health import Verdict
from umbel.worker.supervisor.health_server import HealthServer

ABSURD = ("99999999999999999999999999", "-1", "0", "1e999", "nan", "\x00", "x" * 5_000, "\u202e\u2028", "' OR 1=1 --")
BODIES: tuple[tuple[bytes, str], ...] = (
    (b"{", "application/json"),
    (b"[]", "application/json"),
    (b'{"\\ud800": 1}', "application/json"),
    (b"[" * 60_000, "application/json"),
    (b"%ff=%ff", "application/x-www-form-urlencoded"),
    (b"&".join([b"a=1"] * 2_000), "application/x-www-form-urlencoded"),
    (b"name=a\x00b&id=a%00b&ids=%00&queue=%00&fingerprint=%00", "application/x-www-form-urlencoded"),
    (b"<a/>", "text/xml"),
    (b'{"name": "a\\u0000b"}', "application/json"),
)


@pytest.fixture
async def caller(shop: Shop) -> AsyncIterator[httpx.AsyncClient]:
    """A program that asks the dashboard of `shop`; an error that nobody foresaw fails the test."""
    made = site(Station(shop.stage.app, Options(), shop.stage.history))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(made), base_url=HOST, headers=OURS) as client:
        yield client


async def test_the_description_is_valid_and_complete(caller: httpx.AsyncClient) -> None:
    told = (await caller.get(f"{API}/openapi.json")).json()
    validate(told)
    found = {(verb, path) for path, verbs in told["paths"].items() for verb in verbs}
    assert found == {("get", plain(each.path)) for each in SHOWN} | {("post", each.path) for each in ACTIONS}
    operations = [each for verbs in told["paths"].values() for each in verbs.values()]
    assert len({each["operationId"] for each in operations}) == len(operations)
    assert [each["operationId"] for each in operations if "None" in each["description"]] == []
    for path, verbs in told["paths"].items():
        if "get" in verbs:
            inside = {each["name"] for each in verbs["get"]["parameters"] if each["in"] == "path"}
            assert inside == set(re.findall(r"{(\w+)}", path))


async def test_answers_are_as_they_are_described(caller: httpx.AsyncClient, shop: Shop) -> None:
    told = (await caller.get(f"{API}/openapi.json")).json()
    paths = {each.path: each.path for each in SHOWN if each.asks is Nothing}
    paths |= {"/jobs": "/jobs", "/jobs/{id}": f"/jobs/{shop.failed[0]}", "/flows/{id}": f"/flows/{shop.chord}"}
    paths |= {"/": "/", "/autoscale": "/autoscale?queue=default", "/tasks": "/tasks", "/flows": "/flows"}
    for path, asked in paths.items():
        answer = await caller.get(API + asked)
        assert answer.status_code == 200, (asked, answer.text)
        reference = told["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
        schema = {**told, "$ref": reference}
        problems = [error.message for error in OAS31Validator(schema).iter_errors(answer.json())]
        assert problems == [], asked
    problem = told["components"]["schemas"]["Problem"]
    OAS31Validator({**told, **problem}).validate((await caller.get(f"{API}/jobs?limit=x")).json())


async def test_absurd_parameters_are_refused_with_their_names(caller: httpx.AsyncClient) -> None:
    wrong: list[str] = []
    for each, value in product(SHOWN, ABSURD):
        for name in (field.encode_name for field in msgspec.structs.fields(each.asks)):
            path = plain(each.path).replace(f"{{{name}}}", quote(value, safe=""))
            query = filled(each.asks) if path != plain(each.path) else {**filled(each.asks), name: value}
            answer = await caller.get(API + re.sub(r"{\w+}", "1", path), params=query)
            told = answer.json()
            if answer.status_code not in {200, 400, 404, 409} or (answer.status_code == 400 and name not in str(told)):
                wrong.append(f"{each.path} {name}={value[:30]!r}: {answer.status_code} {told}")
    assert wrong == []


async def test_bodies_that_are_no_forms_are_refused(caller: httpx.AsyncClient) -> None:
    wrong: list[str] = []
    for action in ACTIONS:
        for body, kind in BODIES:
            answer = await caller.post(API + action.path, content=body, headers={"Content-Type": kind})
            if answer.status_code not in {400, 404, 409}:
                wrong.append(f"{action.path} {body[:30]!r}: {answer.status_code} {answer.text[:100]}")
    assert wrong == []


@pytest.mark.parametrize("form", [True, False])
async def test_absurd_values_are_done_nothing_with(stage: Stage, form: bool) -> None:
    wrong: list[str] = []
    async with stage.browsing() as client:
        for action, value in product(ACTIONS, ABSURD):
            for name in (field.encode_name for field in msgspec.structs.fields(action.takes)):
                given = {**filled(action.takes), name: value}
                to = API + action.path
                answer = await (client.post(to, data=given) if form else client.post(to, json=given))
                if answer.status_code not in {200, 400, 404, 409}:
                    wrong.append(f"{action.path} {name}={value[:30]!r}: {answer.status_code} {answer.text[:200]}")
    assert wrong == []


async def test_a_body_that_is_too_large_is_not_read(caller: httpx.AsyncClient) -> None:
    read = 0

    async def parts() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(1_000):
            read += 1
            yield b"x" * 10_000

    for action in ACTIONS:
        answer = await caller.post(API + action.path, content=b"x" * 70_000)
        assert answer.status_code == 413, action.path
    answer = await caller.post(f"{API}/queues/pause", content=parts())
    assert (answer.status_code, "65536 bytes" in answer.json()["error"]) == (413, True)
    assert read < 20


async def test_what_there_is_not_is_told_to_people_and_to_programs(caller: httpx.AsyncClient) -> None:
    program, person = await caller.get(f"{API}/nothing"), await caller.get("/nothing")
    assert (program.status_code, program.json()["error"]) == (404, "There is nothing here.")
    assert (person.status_code, person.headers["content-type"]) == (404, "text/html; charset=utf-8")
    changed = await caller.post(f"{API}/queues")
    asked = await caller.get(f"{API}/queues/pause")
    deleted = await caller.delete("/queues")
    assert [each.status_code for each in (changed, asked, deleted)] == [405, 405, 405]
    assert (set(changed.headers["allow"].split(", ")), asked.headers["allow"]) == ({"GET", "HEAD"}, "POST")
    assert changed.json() == {"status": 405, "error": "POST cannot be done here."}


async def test_every_page_answers_head(caller: httpx.AsyncClient) -> None:
    for page in PAGES:
        if "{" not in page.path:
            full, head = await caller.get(page.path), await caller.head(page.path)
            assert head.status_code == full.status_code, page.path


def plain(path: str) -> str:
    """*path* as the description of the API writes it."""
    return re.sub(r"{(\w+):\w+}", r"{\1}", path)


async def test_big_integers_come_through_exactly(stage: Stage) -> None:
    @stage.app.task(name="shop.count")
    def count(number: int) -> int:
        return number

    number = 2**63 - 25
    job = count.delay(number)
    await asyncio.to_thread(stage.run, job.id)
    async with stage.browsing() as client:
        told = await client.get(f"{API}/jobs/{job.id}")
        page = await client.get(f"/jobs/{job.id}")
    assert str(number) in told.text
    assert str(number) in page.text


async def test_without_prometheuss_client_both_who_give_out_metrics_say_what_to_install(
    caller: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("umbel.dashboard.exporting.installed", lambda: False)
    told = await caller.get("/metrics")
    server = HealthServer(("", 0), lambda: Verdict(True, True))
    head, _, body = (await server.metrics()).partition(b"\r\n\r\n")
    assert (told.status_code, head.split()[1]) == (501, b"501")
    assert told.content.strip() == body.strip()
    assert b'pip install "umbel[prometheus]"' in body


async def test_autoscalers_are_told_the_backlog_and_scrapers_the_metrics(caller: httpx.AsyncClient) -> None:
    backlog = await caller.get(f"{API}/autoscale?queue=default")
    assert backlog.json()["backlog"] == 0
    assert backlog.json()["delayed"] == 3
    assert (await caller.get(f"{API}/autoscale?queue=nothing")).status_code == 404
    metrics = await caller.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    assert 'umbel_queue_jobs{queue="default",state="delayed"} 3.0' in metrics.text


async def test_a_scraper_comes_in_with_a_token(stage: Stage) -> None:
    async with stage.browsing(guarded()) as client:
        client.headers.clear()
        closed = await client.get("/metrics")
        opened = await client.get("/metrics", headers={"Authorization": "Bearer token-viewer"})
        alive = await client.get("/livez", headers={"Host": "10.1.2.3:5555"})
    assert (closed.status_code, opened.status_code) == (401, 200)
    assert (alive.status_code, alive.text) == (200, "ok")


def test_every_page_says_what_it_answers() -> None:
    for each in SHOWN:
        assert each.show.__doc__, each.path
    for action in ACTIONS:
        assert action.do.__doc__, action.path
        assert json.dumps(filled(action.takes))
