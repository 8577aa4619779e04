"""Who comes to which route of the dashboard: everybody, everywhere, from everywhere."""

from __future__ import annotations

from itertools import product
from typing import Any

import httpx
import msgspec
import pytest

from tests.dashboard.people import ROLES, SITUATIONS, Way, cookie, filled, guarded, ways
from tests.dashboard.stage import HOST, Stage
from umbel.dashboard import site as site_module
from umbel.dashboard.access.rights import RIGHTS, rights_of
from umbel.dashboard.access.rights import ROLES as RIGHTS_OF
from umbel.dashboard.answering import API
from umbel.dashboard.options import Options
from umbel.dashboard.page import Done, Missing
from umbel.dashboard.routes import ACTIONS, SHOWN
from umbel.exceptions import UmbelError


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages and actions that come to nothing, once one is let in: what they do is not what is looked at."""

    async def nothing(*_: Any) -> Any:
        raise Missing("There is nothing.")

    for table in ("PAGES", "SHOWN"):
        found = tuple(msgspec.structs.replace(each, show=nothing) for each in getattr(site_module, table))
        monkeypatch.setattr(site_module, table, found)
    monkeypatch.setattr(site_module, "ACTIONS", tuple(msgspec.structs.replace(each, do=nothing) for each in ACTIONS))


@pytest.mark.parametrize("who", ["anonymous", *ROLES, "read-only"])
async def test_every_route_lets_in_whom_it_should_and_nobody_else(stage: Stage, empty: None, who: str) -> None:
    options = guarded(read_only=who == "read-only")
    wrong: list[str] = []
    async with stage.browsing(options) as client:
        client.headers.clear()
        if who != "anonymous":
            client.cookies.update(cookie(options, "admin" if who == "read-only" else who))
        for way, (situation, headers) in product(ways(stage), SITUATIONS.items()):
            answer = await client.request(way.method, way.path, headers=headers)
            astray = answer.status_code == 400 and "is not known as" in answer.text
            found = answer.status_code if answer.status_code in {401, 403} or astray else 0
            if found != (wanted := expected(way, who, situation)):
                wrong.append(f"{way.method} {way.path}, {situation}: {answer.status_code}, not {wanted or 'let in'}")
    assert wrong == []


def expected(way: Way, who: str, situation: str) -> int:
    """With what *way* is refused; 0: it is not."""
    if situation == "wrong Host":
        return 400
    if who == "anonymous":
        return 401
    if situation == "cross-site" or (situation == "no header" and way.changing):
        return 403
    rights = rights_of("admin", read_only=True) if who == "read-only" else RIGHTS_OF[who]  # type: ignore[index]
    return 0 if way.right in rights else 403


def test_viewers_change_nothing_and_a_dashboard_that_is_read_only_neither() -> None:
    changing = {action.right for action in ACTIONS}
    assert {each.right for each in (*SHOWN, *ACTIONS)} <= set(RIGHTS)
    assert changing & RIGHTS_OF["viewer"] == set()
    assert changing & rights_of("admin", read_only=True) == set()
    assert RIGHTS_OF["viewer"] < RIGHTS_OF["operator"] < RIGHTS_OF["admin"]
    assert "queues.purge" not in RIGHTS_OF["operator"]


async def test_what_is_refused_is_noted_with_who_wanted_it_and_to_what(stage: Stage) -> None:
    options = guarded()
    async with stage.browsing(options) as client:
        client.cookies.update(cookie(options, "viewer"))
        for action in ACTIONS:
            await client.post(API + action.path, json=filled(action.takes))
    noted = {(each.who, each.what, each.outcome.partition(":")[0]) for each in stage.history.audits(limit=200)}
    assert noted == {("viewer", action.path.strip("/").replace("/", "."), "refused") for action in ACTIONS}
    targets = {each.what: each.target for each in stage.history.audits(limit=200)}
    assert targets["queues.pause"] == "x"


@pytest.mark.parametrize("fails", [False, True])
async def test_what_is_done_is_noted_before_and_after(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    noted_before: list[int] = []

    async def do(visit: Any, takes: Any) -> Done:
        noted_before.append(len(await visit.read(visit.history.audits, limit=200)))
        if fails:
            raise UmbelError("it cannot be")
        return Done("Done.", 3)

    tried = tuple(msgspec.structs.replace(action, do=do) for action in ACTIONS)
    monkeypatch.setattr(site_module, "ACTIONS", tried)
    async with stage.browsing() as client:
        for action in tried:
            answer = await client.post(API + action.path, json=filled(action.takes))
            assert answer.status_code == (409 if fails else 200), (action.path, answer.text)
    assert noted_before == [2 * place + 1 for place in range(len(tried))]  # "asked" stands there before it is done
    rows = list(reversed(stage.history.audits(limit=200)))
    outcomes = [(each.who, each.origin, each.count, each.outcome) for each in rows[:2]]
    end = (0, "failed: it cannot be") if fails else (3, "done")
    assert outcomes == [("local", "127.0.0.1", 0, "asked"), ("local", "127.0.0.1", *end)]
    assert len(rows) == 2 * len(tried)


async def test_without_users_only_this_machine_is_answered(stage: Stage) -> None:
    async with stage.browsing(Options()) as client:
        assert (await client.get("/api/v1/queues")).status_code == 200
        forwarded = await client.get("/api/v1/queues", headers={"X-Forwarded-For": "203.0.113.9"})
    assert (forwarded.status_code, "only to its own machine" in forwarded.text) == (403, True)
    transport = httpx.ASGITransport(_app(stage, Options()), client=("203.0.113.9", 4242))
    async with httpx.AsyncClient(transport=transport, base_url=HOST) as client:
        assert (await client.get("/api/v1/queues")).status_code == 403


async def test_tokens_need_no_origin_and_cookies_do(stage: Stage) -> None:
    options, bare = guarded(), {"Umbel-Request": "1"}
    async with stage.browsing(options) as client:
        client.headers.clear()
        token = await client.post(
            f"{API}/queues/pause", headers={**bare, "Authorization": "Bearer token-operator"}, data={"name": "default"}
        )
        client.cookies.update(cookie(options, "operator"))
        silent = await client.post(f"{API}/queues/pause", headers=bare, data={"name": "default"})
        own = await client.post(f"{API}/queues/pause", headers={**bare, "Origin": HOST}, data={"name": "default"})
        other = await client.post(f"{API}/queues/pause", headers={**bare, "Origin": "http://127.0.0.1:1"}, data={})
        null = await client.post(f"{API}/queues/pause", headers={**bare, "Origin": "null"}, data={})
    # 409: it is let in, and there is no such queue.
    assert [each.status_code for each in (token, silent, own, other, null)] == [409, 403, 409, 403, 403]


async def test_a_link_on_another_site_leads_here(stage: Stage) -> None:
    options = guarded()
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    async with stage.browsing(options) as client:
        client.headers.clear()
        kept_back = await client.get("/queues?x=1", headers=link)  # the browser sends no cookie yet
        client.cookies.update(cookie(options, "viewer"))
        seen = await client.get("/queues", headers=link)
    assert (kept_back.status_code, kept_back.headers["refresh"]) == (401, "0")
    assert seen.status_code == 200


async def test_headers_of_every_kind_of_answer(stage: Stage) -> None:
    async with stage.browsing() as client:
        page = await client.get("/queues")
        style = page.text.partition('<link rel="stylesheet" href="')[2].partition('"')[0]
        answers = [page, await client.get("/api/v1/queues"), await client.get("/nothing"), await client.get("/livez")]
        asset = await client.get(style)
    common = {
        "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        "x-content-type-options": "nosniff",
        "referrer-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
    }
    own = ("content-length", "content-type")
    for answer in answers:
        found = {name: value for name, value in answer.headers.items() if name not in own}
        assert found == {**common, "cache-control": "no-store"}
    assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert not any(name.startswith("access-control") for each in (*answers, asset) for name in each.headers)


async def test_no_page_answers_a_preflight(stage: Stage) -> None:
    asks = {"Origin": "https://other.example", "Access-Control-Request-Method": "POST"}
    async with stage.browsing() as client:
        for each in (*SHOWN, *ACTIONS):
            answer = await client.options(API + each.path.replace("{id}", "1").replace("{n}", "1"), headers=asks)
            assert answer.status_code == 405
            assert not any(name.startswith("access-control") for name in answer.headers)


def _app(stage: Stage, options: Options) -> Any:
    from umbel.dashboard.station import Station

    return site_module.site(Station(stage.app, options, stage.history))


@pytest.mark.parametrize(
    ("protection", "headers"),
    [
        ("umbel.dashboard.gate.wrong_to_change", SITUATIONS["cross-site"]),
        ("umbel.dashboard.gate.wrong_to_change", SITUATIONS["no header"]),
        ("umbel.dashboard.gate.Gate.demand_host", SITUATIONS["wrong Host"]),
    ],
)
async def test_without_a_protection_the_request_would_pass(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, protection: str, headers: dict[str, str]
) -> None:
    monkeypatch.setattr(protection, lambda *_, **__: "")
    options = guarded()
    async with stage.browsing(options) as client:
        client.headers.clear()
        client.cookies.update(cookie(options, "admin"))
        answer = await client.post(f"{API}/queues/pause", headers=headers, data={"name": "none"})
    assert answer.status_code == 409  # there is no such queue: it was let in
