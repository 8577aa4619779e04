"""Whatever names, arguments and errors say, pages show it as text: nothing runs, nothing is loaded, nothing breaks."""

from __future__ import annotations

import json
import time
from typing import Final
from urllib.parse import quote

import pytest
from playwright.async_api import Browser, Page, expect

from tests.dashboard.browser.chrome import watched
from tests.dashboard.browser.served import served
from tests.dashboard.stage import Stage
from umbel.model.event import Batch, Event, Tally

pytestmark = pytest.mark.asyncio(loop_scope="session")

WORDS: Final = (
    "<script>alert(1)</script>",
    "\"><img src=/xss onerror=alert(1)>'",
    "' autofocus onfocus='alert(1)' x='",
    "</script><script>alert(1)</script>",
    '<div hx-get="/xss" hx-trigger="load" data-hx-get="/xss"></div>',
    "{{ 7 * 7 }}{% include 'base.html' %}${alert(1)}",
    "<svg><foreignObject><iframe src=/xss></iframe></foreignObject></svg>",
    "</title></textarea><style>body{display:none}</style>",
    "javascript:alert(1)//",
    "\x1b[31mred\x00\u202egpj.exe\u2028\u2066",
    "a/b?c=d&e=f#g%2Fh..%00",
    "n" * 5_000,
)
INJECTED: Final = (
    "#main :is(script, iframe, img, style, svg foreignObject, [onerror], [onfocus], [hx-get], [data-hx-get])"
)


def past(stage: Stage) -> None:
    """Write a history of jobs for which everything that a user can name is one of `WORDS`."""
    now = time.time()
    batches = []
    for number, word in enumerate(WORDS):
        body = {
            "args": json.dumps([word]),
            "kwargs": json.dumps({word: {"deep": [word, 12345678901234567890]}}),
            "headers": json.dumps({word: word}),
            "flow": f"flow-{number}",
            "schedule": word,
        }
        trace = f'Traceback (most recent call last):\n  File "/app/{word}.py", line 1, in {word}\n    {word}\n{word}'
        failure = {
            "error": word,
            "message": word,
            "traceback": trace,
            "run": 0.1,
            "wait": 0.1,
            "result": json.dumps(word),
        }
        events = (
            Event("worker-online", now, word, body={"host": word, "pid": 1, "version": word, "queues": [word]}),
            Event("flow-started", now, f"flow-{number}", body={"root": f"job-{number}", "total": 1}),
            Event("task-sent", now - 5, f"job-{number}", word, word, 0, body, b"\x80"),
            Event("task-failed", now - 4, f"job-{number}", word, word, 1, failure),
            Event("task-sent", now - 3, f"run-{number}", word, word, 0, body),
            Event("task-progress", now - 2, f"run-{number}", word, word, 1, _progress(word)),
            Event("schedule-tick", now, word, body={"job": f"job-{number}", "tick": now}),
        )
        tally = Tally(word, word, now, 2, 1, 1, runs={3: 2}, waits={3: 2})
        batches.append(Batch(f"s{number}", 1, now, events, (tally,), worker=word))
        stage.history.audit(word, word, word, word, 1, word)
    stage.history.ingest(batches)


def _progress(word: str) -> dict[str, str]:
    return {"state": "PROGRESS", "meta": json.dumps({"current": 1, "total": 2, "text": word})}


def addresses() -> list[str]:
    """Lists show all of the words; of what has a page for each, some of them."""
    found = ["/", "/jobs", "/tasks", "/errors", "/flows", "/queues", "/schedules", "/workers", "/activity"]
    for number in (1, 9):
        name = quote(WORDS[number], safe="")
        found += [f"/jobs/job-{number}", f"/jobs/run-{number}", f"/task?name={name}", f"/queue?name={name}"]
        found += [f"/schedule?name={name}", f"/errors/{number + 1}", f"/jobs?q=task:{name}", f"/jobs/{name}"]
        found += [f"/flows/flow-{number}", f"/flows?state={name}", f"/jobs?range={name}"]
    return found


async def harmless(page: Page, path: str) -> None:
    """Raise `AssertionError` if a word has become more than text in *page*."""
    await expect(page.locator("h1"), path).to_be_visible()
    assert await page.locator(INJECTED).count() == 0, path
    assert await page.locator("nav.nav li").count() > 5, f"{path} is cut off"


async def test_words_stay_words(chromium: Browser, stage: Stage) -> None:
    past(stage)
    with served(stage) as address:
        async with watched(chromium, address) as browsing:
            browsing.allowed |= {"status of 400", "status of 404"}
            asked: set[str] = set()
            page = await browsing.page()
            page.on("request", lambda request: asked.add(request.url.removeprefix(address)))
            for path in addresses():
                await page.goto(address + path)
                await harmless(page, path)
            assert not {each for each in asked if each.startswith("/xss")}


async def test_a_word_that_becomes_more_is_found(chromium: Browser, stage: Stage) -> None:
    with served(stage) as address:
        async with watched(chromium, address) as browsing:
            page = await browsing.page("/queues")
            await page.evaluate("(word) => main.insertAdjacentHTML('beforeend', word)", WORDS[1])
            with pytest.raises(AssertionError):
                await harmless(page, "/queues")
            await page.wait_for_function("() => document.querySelector('img[onerror]').complete")
            await expect(page.locator("h1")).to_be_visible()
            assert any("policy" in each for each in browsing.wrong)
            browsing.wrong.clear()


async def test_words_are_shown_as_they_are(chromium: Browser, stage: Stage) -> None:
    past(stage)
    with served(stage) as address:
        async with watched(chromium, address) as browsing:
            browsing.allowed.add("status of 400")
            page = await browsing.page("/jobs/job-0")
            shown = await page.inner_text("#main")
            assert shown.count(WORDS[0]) > 5
            assert "12345678901234567890" in shown
            await page.goto(f"{address}/jobs/job-9")
            shown = await page.inner_text("#main")
            assert "\u202e" not in await page.inner_text(".json >> nth=0")
            assert "<U+202E>" in shown
            assert "␛[31mred␀" in shown
            await page.goto(f"{address}/jobs?q={quote(WORDS[1])}")
            await expect(page.get_by_role("searchbox")).to_have_value(WORDS[1])
