"""What is told of a call before and after it is sent, and that added headers arrive."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any, cast

import pytest

from umbel import Task, Umbel, chain
from umbel.exceptions import ImproperlyConfigured
from umbel.signals import after_task_publish, before_task_publish
from umbel.testing import worker

SECONDS = 60.0


@pytest.fixture
def app(request: pytest.FixtureRequest) -> Umbel:
    return Umbel("publish", broker=f"memory://{request.function.__name__}{id(request.node)}", set_as_current=False)


@pytest.fixture
def header(app: Umbel) -> Task[[int], Any]:
    @app.task(bind=True, name="header")
    def header(self: Any, x: int) -> Any:
        return x, self.request.headers.get("tenant"), self.request.id

    return cast("Task[[int], Any]", header)


@pytest.fixture
def before() -> Iterator[list[dict[str, Any]]]:
    told: list[dict[str, Any]] = []

    def receiver(**named: Any) -> None:
        told.append({**named, "headers": dict(named["headers"])})
        named["headers"]["tenant"] = "acme"

    before_task_publish.connect(receiver)
    yield told
    before_task_publish.disconnect(receiver)
    assert all(each.keys() == {"signal", "sender", *before_task_publish.providing_args} for each in told)


@pytest.fixture
def after() -> Iterator[list[dict[str, Any]]]:
    told: list[dict[str, Any]] = []

    def receiver(**named: Any) -> None:
        told.append(named)

    after_task_publish.connect(receiver)
    yield told
    after_task_publish.disconnect(receiver)
    assert all(each.keys() == {"signal", "sender", *after_task_publish.providing_args} for each in told)


def test_headers_that_a_receiver_adds_reach_the_job(
    app: Umbel, header: Task[[int], Any], before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> None:
    with worker(app):
        handle = header.apply_async((1,), headers={"own": 2}, queue="default", priority=3)
        assert handle.get(timeout=SECONDS) == [1, "acme", handle.id]
    (first,), (last,) = before, after
    assert first["sender"] == last["sender"] == "header"
    assert first["body"][:2] == last["body"][:2] == ((1,), {})
    assert (first["exchange"], first["routing_key"], first["properties"]["priority"]) == ("", "default", 3)
    assert first["headers"]["id"] == last["headers"]["id"] == handle.id
    assert first["headers"]["own"] == last["headers"]["own"] == 2
    assert last["headers"]["tenant"] == "acme"


async def test_every_way_of_sending_is_told_of(
    app: Umbel, header: Task[[int], Any], before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> None:
    header.delay(1)
    await header.adelay(2)
    header.delay_many([(3,), (4,)])
    app.send_many([header.call(5)])
    app.send_task("header", (6,))
    chain(header.si(7), header.si(8)).delay()
    assert [told["body"][0] for told in before] == [(number,) for number in range(1, 9)]
    assert [told["body"][0] for told in after] == [(number,) for number in range(1, 9)]


async def test_a_coroutine_is_awaited_before_the_job_leaves(app: Umbel, header: Task[[int], Any]) -> None:
    async def receiver(headers: dict[str, Any], **_: Any) -> None:
        headers["tenant"] = "async"

    before_task_publish.connect(receiver)
    try:
        handles = [header.delay(1), await header.adelay(2)]
    finally:
        before_task_publish.disconnect(receiver)
    with worker(app):
        assert [(await handle.aget(timeout=SECONDS))[1] for handle in handles] == ["async", "async"]


def test_what_is_not_a_header_is_not_changed_and_that_is_said(
    app: Umbel, header: Task[[int], Any], caplog: pytest.LogCaptureFixture
) -> None:
    def receiver(headers: dict[str, Any], **_: Any) -> None:
        headers["eta"] = "tomorrow"
        headers["bad"] = object()

    before_task_publish.connect(receiver)
    try:
        with caplog.at_level(logging.WARNING):
            handle = header.apply_async((1,), headers={"tenant": "own"})
    finally:
        before_task_publish.disconnect(receiver)
    assert "changed eta of header: that changes nothing" in caplog.text
    assert "header 'bad'" in caplog.text
    with worker(app):
        assert handle.get(timeout=SECONDS)[1] == "own"


def test_a_connection_of_ones_own_is_refused_by_the_masked_url_of_a_broker_that_takes_none() -> None:
    app = Umbel("x", broker="redis://user:secret@nowhere/0", set_as_current=False)
    with pytest.raises(ImproperlyConfigured, match=re.escape("redis://user:***@nowhere/0 does not, PostgreSQL does")):
        app.send_task("add", connection=object())


def test_what_runs_in_place_is_not_sent(
    app: Umbel, header: Task[[int], Any], before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> None:
    header.apply((1,))
    app.conf.task_always_eager = True
    header.delay(1)
    assert before == after == []
