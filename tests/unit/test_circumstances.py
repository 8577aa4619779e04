"""What a task may ask of its job: Celery's names, and keys that stay the same in every attempt."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from tests.unit.execution.stage import Stage
from umbel import Task
from umbel.model.job import Counts
from umbel.model.outcome import Succeeded
from umbel.request import Request, running

FIELDS = {
    *("id", "root_id", "parent_id", "group", "group_index", "args", "kwargs", "retries", "eta", "expires", "is_eager"),
    *("called_directly", "hostname", "origin", "shadow", "correlation_id", "reply_to", "utc", "loglevel", "logfile"),
    *("ignore_result", "replaced_task_nesting", "children", "properties", "timelimit", "time_limit"),
    *("soft_time_limit", "delivery_info", "headers", "callbacks", "errbacks", "get", "update", "as_execution_options"),
    *("deliveries", "crashes", "flow_id", "deadline", "idempotency_key", "effect_key", "task_id", "task_name", "name"),
}


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def look(stage: Stage) -> Task[..., Any]:
    @stage.app.task(name="look", ignore_result=True)
    def look() -> None:
        seen.append(running.get())

    return look


seen: list[Request | None] = []


def request_of(stage: Stage, task: Task[..., Any], **options: Any) -> Request:
    seen.clear()
    assert isinstance(stage.run(task, **options), Succeeded)
    (request,) = seen
    assert request is not None
    return request


def test_every_name_of_celery_is_there(stage: Stage, look: Task[..., Any]) -> None:
    request = request_of(stage, look)
    assert [name for name in FIELDS if not hasattr(request, name)] == []
    assert (request.utc, request.reply_to, request.shadow, request.task_name) == (True, None, None, "look")
    assert request.task_id == request.correlation_id == request.id == request.properties["correlation_id"]
    assert request.loglevel > 0


def test_limits_are_those_of_the_call_and_the_deadline_counts_all(stage: Stage, look: Task[..., Any]) -> None:
    request = request_of(stage, look, time_limit=30.0, soft_time_limit=20.0)
    assert (request.time_limit, request.soft_time_limit, request.timelimit) == (30.0, 20.0, [30.0, 20.0])
    assert request.deadline == pytest.approx(time.time() + 30, abs=20)
    assert request_of(stage, look).deadline is None
    look.time_limit = 100.0
    unsaid = request_of(stage, look)
    assert unsaid.time_limit is None
    assert unsaid.deadline == pytest.approx(time.time() + 100, abs=20)
    look.time_limit = None
    stage.app.conf.task_time_limit = 200.0
    assert request_of(stage, look).deadline == pytest.approx(time.time() + 200, abs=20)


def test_keys_are_the_same_in_every_attempt_and_others_for_each_job_and_step(
    stage: Stage, look: Task[..., Any]
) -> None:
    first = request_of(stage, look, task_id="one")
    again = request_of(stage, look, task_id="one", counts=Counts(retries=2))
    other = request_of(stage, look, task_id="other")
    assert UUID(first.idempotency_key)
    assert first.idempotency_key == again.idempotency_key
    assert first.effect_key("pay") == again.effect_key("pay")
    keys = {first.idempotency_key, other.idempotency_key, first.effect_key("pay"), first.effect_key("mail")}
    assert len({*keys, other.effect_key("pay")}) == 5


def test_the_same_job_can_be_sent_again(stage: Stage, look: Task[..., Any]) -> None:
    expires = datetime(2030, 1, 1, tzinfo=UTC)
    options: dict[str, Any] = {"task_id": "one", "priority": 3, "expires": expires, "time_limit": 9.0}
    request = request_of(stage, look, **options, headers={"tenant": "acme"}, parent_id="father")
    found = request.as_execution_options()
    assert found == {**options, "headers": {"tenant": "acme"}, "parent_id": "father"}
    assert request_of(stage, look, **found).as_execution_options() == found
