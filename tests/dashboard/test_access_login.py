"""Coming in: passwords, sessions, tokens, proxies, and the application that the dashboard is part of."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.dashboard.people import PASSWORD, guarded
from tests.dashboard.stage import HOST, OURS, Stage
from umbel.dashboard import User, asgi
from umbel.dashboard.access.passwords import hashed_token
from umbel.dashboard.options import Options, options_of
from umbel.exceptions import ImproperlyConfigured
from umbel.settings import Settings

FORM = {"Sec-Fetch-Site": "same-origin", "Umbel-Request": ""}


async def log_in(client: httpx.AsyncClient, name: str, password: str = PASSWORD, following: str = "") -> httpx.Response:
    return await client.post("/login", data={"name": name, "password": password, "next": following}, headers=FORM)


async def test_a_password_opens_a_session_until_it_is_left(stage: Stage) -> None:
    async with stage.browsing(guarded()) as client:
        asked = await client.get("/queues?a=b")
        entered = await log_in(client, "operator", following="/queues?a=b")
        seen = await client.get("/queues")
        stolen = dict(client.cookies)
        left = await client.post("/logout", headers=FORM)
        after = await client.get("/queues")
        client.cookies.update(stolen)
        replayed = await client.get("/queues")
    assert (asked.status_code, 'value="/queues?a=b"' in asked.text) == (401, True)
    assert (entered.status_code, entered.headers["location"]) == (303, "/queues?a=b")
    cookie = entered.headers["set-cookie"].lower()
    assert all(each in cookie for each in ("httponly", "samesite=strict", "path=/", "max-age=43200"))
    assert "secure" not in cookie
    assert [each.status_code for each in (seen, left, after, replayed)] == [200, 303, 401, 401]
    noted = [(each.who, each.what, each.outcome) for each in stage.history.audits()]
    assert noted == [("operator", "logout", "done"), ("operator", "login", "done")]


async def test_over_tls_the_cookie_is_of_this_host_alone(stage: Stage) -> None:
    options = guarded(trusted_proxies=("127.0.0.1",), allowed_hosts=("jobs.example.com",))
    async with stage.browsing(options) as client:
        client.headers.update({"Host": "jobs.example.com", "X-Forwarded-Proto": "https"})
        cookie = (await log_in(client, "viewer")).headers["set-cookie"]
    assert cookie.startswith("__Host-umbel-")
    assert "secure" in cookie.lower()
    assert "domain" not in cookie.lower()


@pytest.mark.parametrize("name", ["operator", "nobody", "", "\u202e", "x" * 5_000])
async def test_a_wrong_password_is_refused_in_the_same_words_for_everybody(stage: Stage, name: str) -> None:
    async with stage.browsing(guarded()) as client:
        answer = await log_in(client, name, "wrong")
    assert (answer.status_code, "Name or password is wrong." in answer.text) == (401, True)
    assert "set-cookie" not in answer.headers
    assert [(each.what, each.outcome) for each in stage.history.audits()] == [
        ("login", "refused: Name or password is wrong.")
    ]


async def test_who_guesses_has_to_wait_and_who_is_in_stays_in(stage: Stage) -> None:
    async with stage.browsing(guarded()) as client:
        await log_in(client, "viewer")
        wrong = [await client.get("/api/v1/queues", headers={"Authorization": f"Bearer {n}"}) for n in range(10)]
        blocked = await client.get("/api/v1/queues", headers={"Authorization": "Bearer token-admin"})
        login = await log_in(client, "admin")
        inside = await client.get("/api/v1/queues")
    assert {each.status_code for each in wrong} == {401}
    assert (blocked.status_code, login.status_code, inside.status_code) == (429, 429, 200)
    assert 0 < int(blocked.headers["retry-after"]) <= 60


async def test_a_form_of_another_site_logs_nobody_in_or_out(stage: Stage) -> None:
    async with stage.browsing(guarded()) as client:
        client.headers.clear()
        given = {"name": "admin", "password": PASSWORD}
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://other.example"}, {}):
            assert (await client.post("/login", data=given, headers=headers)).status_code == 403
            assert (await client.post("/logout", headers=headers)).status_code == 403


@pytest.mark.parametrize(
    "address", ["https://other.example/", "//other.example", "/\\other.example", "javascript:x", ""]
)
async def test_a_login_leads_nowhere_else(stage: Stage, address: str) -> None:
    async with stage.browsing(guarded()) as client:
        answer = await log_in(client, "viewer", following=address)
    assert answer.headers["location"] == "/"


async def test_a_cookie_that_was_changed_is_nobodys(stage: Stage) -> None:
    async with stage.browsing(guarded()) as client:
        await log_in(client, "viewer")
        (name, value), *_ = client.cookies.items()
        for wrong in (value[:-1], f"{value}x", value.swapcase(), "", ".", "x.y", "é.é"):
            answer = await client.get("/queues", headers={b"Cookie": f"{name}={wrong}".encode()})
            assert answer.status_code == 401, wrong


async def test_a_proxy_that_is_trusted_names_the_user_and_no_other(stage: Stage) -> None:
    options = Options(users={"ada": {"role": "admin"}}, user_header="X-Remote-User", trusted_proxies=("127.0.0.0/8",))
    async with stage.browsing(options) as client:
        ada = await client.get("/queues", headers={"X-Remote-User": "ada"})
        bob = await client.get("/api/v1/queues", headers={"X-Remote-User": "bob"})
        purge = await client.post("/api/v1/queues/pause", data={"name": "q"}, headers={"X-Remote-User": "bob"})
        nobody = await client.get("/queues")
    transport = httpx.ASGITransport(asgi(stage.app, **_given(options)), client=("203.0.113.9", 4242))
    async with httpx.AsyncClient(transport=transport, base_url=HOST) as client:
        forged = await client.get("/queues", headers={"X-Remote-User": "ada"})
    assert [each.status_code for each in (ada, bob, purge, nobody, forged)] == [200, 200, 403, 401, 401]
    assert "ada, admin" in ada.text
    assert stage.history.audits()[0].who == "bob"


async def test_the_application_says_who_comes(stage: Stage) -> None:
    async def who(request: Any) -> User | None:
        name = request.headers.get("x-session")
        return User(name, "operator") if name else None

    users = {"ci": {"token": hashed_token("token-ci")}}
    transport = httpx.ASGITransport(asgi(stage.app, resolve_user=who, users=users), client=("203.0.113.9", 1))
    async with httpx.AsyncClient(transport=transport, base_url=HOST, headers=OURS) as client:
        known = await client.get("/queues", headers={"X-Session": "ada"})
        unknown = await client.get("/queues")
        program = await client.get("/queues", headers={"Authorization": "Bearer token-ci"})
        silent = await client.post("/api/v1/queues/pause", headers={"X-Session": "ada", "Sec-Fetch-Site": "cross-site"})
    assert [each.status_code for each in (known, unknown, program, silent)] == [200, 401, 200, 403]


@pytest.mark.parametrize("prefix", ["/umbel", "/a/b"])
async def test_mounted_in_an_application_it_lives_under_its_prefix(stage: Stage, prefix: str) -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    mounted = asgi(stage.app)
    web = Starlette(routes=[Mount(prefix, app=mounted)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(web), base_url=HOST, headers=OURS) as client:
        page = await client.get(f"{prefix}/queues")
        told = await client.get(f"{prefix}/api/v1/queues")
        astray = await client.get(f"{prefix}/api/v1/nothing")
        style = page.text.partition('<link rel="stylesheet" href="')[2].partition('"')[0]
        asset = await client.get(style)
    await mounted.aclose()
    assert [each.status_code for each in (page, told, astray, asset)] == [200, 200, 404, 200]
    assert style.startswith(f"{prefix}/static/")
    assert astray.json()["error"] == "There is nothing here."
    assert 'href="/' not in page.text.replace(f'href="{prefix}/', "")


async def test_a_proxy_may_take_the_prefix_away_or_leave_it(stage: Stage) -> None:
    async with stage.browsing(Options(prefix="/umbel")) as client:
        answers = [await client.get(path) for path in ("/umbel/queues", "/queues", "/umbel/livez", "/umbelx")]
        answers.append(await client.get("/umbel/jobs?q=(("))
    assert [each.status_code for each in answers] == [200, 200, 200, 404, 400]
    assert 'href="/umbel/queues"' in answers[1].text
    assert 'action="/umbel/jobs"' in answers[-1].text


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"users": {"ada": {"password": "secret"}}}, "the password of ada is not kept as a hash: make one with"),
        ({"users": {"ada": {"token": "secret"}}}, "the token of ada is not kept as a hash"),
        ({"users": {"ada": {"role": "root"}}}, "give role, password and token"),
        ({"users": {"ada": {"role": "admin"}}}, "nobody could come in"),
        ({"user_header": "X-User"}, "name dashboard_trusted_proxies"),
        ({"allowed_hosts": ["jobs.example.com"]}, "must ask who comes"),
        ({"allowed_hosts": ["https://x"]}, "is no name of a host"),
        ({"trace_url": "javascript:alert({trace_id})"}, "give an address with {trace_id} in it"),
        ({"trace_url": "https://traces.example.com/"}, "give an address with {trace_id} in it"),
        ({"trusted_proxies": ["nginx"]}, "is no address, no network"),
        ({"prefix": "umbel/"}, "give a path such as /umbel"),
        ({"session_secret": "short"}, "is too short"),
        ({"colour": "red"}, "has no option 'colour'"),
    ],
)
def test_options_that_are_wrong_are_refused_with_the_cure(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=words) as caught:
        options_of(Settings(), given)
    assert "secret" not in str(caught.value).replace("session_secret", "")


def test_settings_say_who_may_come_and_show_no_secret() -> None:
    settings = Settings()
    kept = "sha256:" + "0" * 64
    users = json.dumps({"ada": {"role": "admin", "token": kept}})
    settings.assign({"dashboard_users": users}, "UMBEL_DASHBOARD_USERS", text=True)
    settings.dashboard_session_secret = "s" * 16
    assert options_of(settings, {}).users == {"ada": {"role": "admin", "token": kept}}
    assert kept not in repr(settings)
    assert "ssss" not in repr(settings)
    with pytest.raises(ImproperlyConfigured) as caught:
        settings.dashboard_users = {"ada": "plain password"}  # type: ignore[dict-item]
    assert "plain" not in str(caught.value)


def _given(options: Options) -> dict[str, Any]:
    return {name: getattr(options, name) for name in ("users", "user_header", "trusted_proxies")}
