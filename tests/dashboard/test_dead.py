"""Dead letters: shown page by page, run again, and deleted, some or all that are meant."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.dashboard.stage import Stage
from tests.dashboard.test_bulk import over
from umbel.dashboard.options import Options
from umbel.exceptions import Reject
from umbel.testing import worker


class Morgue:
    """A stage on which `dead` jobs of two tasks in two queues were given up, while it was *closed*."""

    def __init__(self, folder: Path) -> None:
        self.stage = Stage(folder)
        self.closed = True
        self.paid: list[int] = []
        app = self.stage.app

        @app.task(name="till.pay")
        def pay(order: int, token: str = "") -> None:
            del token
            if self.closed:
                raise Reject(f"no till for order {order}")
            self.paid.append(order)

        @app.task(name="till.ship", queue="ships")
        def ship(order: int) -> None:
            raise Reject("the ship is <b>gone</b>")

        self.dead = [pay.delay(n, token="s3cret").id for n in range(5)]
        self.sunk = ship.delay(1).id
        with worker(app, queues=("default", "ships")):
            self.stage.until(lambda: all(app.AsyncResult(job).ready() for job in (*self.dead, self.sunk)))
        self.stage.record()


@pytest.fixture
def morgue(tmp_path: Path) -> Iterator[Morgue]:
    made = Morgue(tmp_path)
    yield made
    made.stage.close()


async def listed(browser: httpx.AsyncClient, **query: object) -> dict[str, Any]:
    """The page of dead letters as JSON."""
    page = await browser.get("/api/v1/dead", params=query)  # type: ignore[arg-type]
    assert page.status_code == 200, page.text
    found: dict[str, Any] = page.json()
    return found


async def test_they_are_shown_with_the_reason_page_by_page(morgue: Morgue) -> None:
    async with morgue.stage.browsing() as browser:
        found = await listed(browser, q="queue:default", limit=3)
        assert [each["id"] for each in found["letters"]] == morgue.dead[:3]
        assert found["counts"] == {"default": 5, "ships": 1}
        rest = await listed(browser, q="queue:default", limit=3, after=found["after"])
        assert [each["id"] for each in rest["letters"]] == morgue.dead[3:]
        first = found["letters"][0]
        assert first["reason"].endswith("no till for order 0")
        assert (first["attempts"], first["crashes"], first["args"]) == (1, 0, "[0]")
        assert "s3cret" not in first["kwargs"]
        assert [each["id"] for each in (await listed(browser, q="task:till.ship"))["letters"]] == [morgue.sunk]
        assert [each["id"] for each in (await listed(browser, q='"ORDER 4"'))["letters"]] == [morgue.dead[4]]
        html = (await browser.get("/dead")).text
        assert "the ship is &lt;b&gt;gone&lt;/b&gt;" in html
        assert "s3cret" not in html
        assert (await listed(browser, q="queue:nowhere"))["letters"] == []
        for query in ({"limit": 201}, {"colour": "red"}, {"after": "x" * 600}):
            assert (await browser.get("/dead", params=query)).status_code == 400
    async with morgue.stage.browsing(Options(show_args=False)) as browser:
        assert {each["args"] for each in (await listed(browser))["letters"]} == {""}


async def test_they_are_filtered_as_jobs_are_and_wrong_filters_are_told_at_their_place(morgue: Morgue) -> None:
    async with morgue.stage.browsing() as browser:
        for q, found in (
            ("arg.order:3 error:Reject since:1h", [morgue.dead[3]]),
            ("task:till.* -queue:default", [morgue.sunk]),
            ("args.0:1 (queue:ships OR no_till)", [morgue.sunk]),
            ("arg.token:s3cret", []),
        ):
            assert [each["id"] for each in (await listed(browser, q=q))["letters"]] == found
        assert (await listed(browser, q="until:1h"))["letters"] == []
        assert len((await listed(browser, range="1h"))["letters"]) == 6
        for path in ("/dead", "/dead/all"):
            query = {"q": "task:a run>5s", "range": "24h", **({"what": "retry"} if path == "/dead/all" else {})}
            wrong = await browser.get(f"/api/v1{path}", params=query)
            assert (wrong.status_code, wrong.json()["position"]) == (400, 7)
            assert "<mark>r</mark>" in (await browser.get(path, params=query)).text
        page = (await browser.get("/dead", params={"q": "queue:ships"})).text
        assert "q=queue%3Aships" in page
    async with morgue.stage.browsing(Options(show_args=False)) as browser:
        hidden = await browser.get("/api/v1/dead", params={"q": "arg.order:3"})
        assert (hidden.status_code, hidden.json()["position"]) == (400, 0)


async def test_an_error_that_the_engine_has_forgotten_is_found_by_what_the_history_knows(morgue: Morgue) -> None:
    await morgue.stage.app.store.aforget(morgue.dead[2], "default")
    async with morgue.stage.browsing() as browser:
        found = await listed(browser, q="error:Reject args.0:2")
        assert [each["id"] for each in found["letters"]] == [morgue.dead[2]]


async def test_every_page_together_is_the_whole_list(morgue: Morgue) -> None:
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        page = await morgue.stage.app.dead.apage(after, limit=2)
        found += [letter.id for letter in page.letters]
        after = page.after
    assert found == [letter.id for letter in await morgue.stage.app.dead.alist()]
    assert set(found) == {*morgue.dead, morgue.sunk}


async def test_one_runs_again_under_its_id_and_another_is_deleted(morgue: Morgue) -> None:
    app = morgue.stage.app
    async with morgue.stage.browsing() as browser:
        again = {"ids": [morgue.dead[0]], "action": "a"}
        clicks = await asyncio.gather(*(browser.post("/api/v1/dead/retry", json=again) for _ in range(2)))
        assert [each.json()["ids"] for each in clicks] == [[morgue.dead[0]]] * 2
        assert (await browser.post("/api/v1/dead/delete", json={"ids": morgue.dead[1:3]})).json()["field"] == "typed"
        deleted = await browser.post("/api/v1/dead/delete", json={"ids": morgue.dead[1:3], "typed": "delete"})
        assert deleted.json()["count"] == 2
        gone = await browser.post("/api/v1/dead/retry", json={"ids": morgue.dead[1:2]})
        assert (gone.status_code, "any more" in gone.json()["error"]) == (404, True)
    morgue.closed = False
    with worker(app):
        await asyncio.to_thread(morgue.stage.until, lambda: morgue.paid == [0])
    assert {letter.id for letter in await app.dead.alist()} == {*morgue.dead[3:], morgue.sunk}


async def test_a_dead_letter_is_not_sent_as_another_job_beside_it(morgue: Morgue) -> None:
    async with morgue.stage.browsing() as browser:
        one = morgue.dead[0]
        refused = await browser.post("/api/v1/jobs/retry", json={"ids": [one]})
        assert (refused.status_code, "it is a dead letter" in refused.json()["error"]) == (409, True)
        page = (await browser.get(f"/jobs/{one}")).text
        assert "/api/v1/dead/retry" in page
        assert "/api/v1/jobs/retry" not in page
        await morgue.stage.app.dead.adelete(await morgue.stage.app.dead.alist(ids=(one,)))
        assert "/api/v1/jobs/retry" in (await browser.get(f"/jobs/{one}")).text
        assert (await browser.post("/api/v1/jobs/retry", json={"ids": [one]})).json()["count"] == 1


async def test_all_that_are_meant_are_confirmed_and_carried_out(morgue: Morgue) -> None:
    app = morgue.stage.app
    async with morgue.stage.browsing() as browser:
        seen = (await browser.get("/api/v1/dead/all", params={"what": "delete", "q": "task:till.pay"})).json()
        assert (seen["count"], seen["typed"]) == (5, True)
        page = await browser.get("/dead/all", params={"what": "delete", "q": "task:till.pay"})
        assert 'data-must-type="5"' in page.text
        form = {"q": "task:till.pay", "count": 5, "at": seen["at"], "id": "d"}
        refused = await browser.post("/api/v1/dead/all/delete", json={**form, "typed": 4})
        assert (refused.status_code, refused.json()["field"]) == (400, "typed")
        assert len(await app.dead.alist()) == 6
        assert (await browser.post("/api/v1/dead/all/delete", json={**form, "typed": 5})).status_code == 200
        done = await over(browser, "d")
        assert (done["state"], done["done"], done["filter"]) == ("done", 5, "task:till.pay")
        assert [letter.id for letter in await app.dead.alist()] == [morgue.sunk]
        seen = (await browser.get("/api/v1/dead/all", params={"what": "retry"})).json()
        assert (seen["count"], seen["typed"]) == (1, False)
        again = {"count": 1, "at": seen["at"], "id": "r"}
        assert (await browser.post("/api/v1/dead/all/retry", json=again)).status_code == 200
        assert (await over(browser, "r"))["done"] == 1
    assert await app.dead.alist() == []
    assert app.AsyncResult(morgue.sunk).place == "ready"


async def test_without_the_engine_the_page_says_so(morgue: Morgue, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object, **__: object) -> None:
        raise OSError("nobody answers")

    monkeypatch.setattr(morgue.stage.app.dead, "apage", away)
    async with morgue.stage.browsing() as browser:
        page = await browser.get("/dead")
        assert (page.status_code, "nobody answers" in page.text) == (200, True)
