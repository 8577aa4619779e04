"""Dead letters and queues: what is shown of them, and what may be done about them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from umbel import Umbel
from umbel.contracts.broker import Beat
from umbel.exceptions import ImproperlyConfigured, WorkerLostError
from umbel.execution.executor import Finished
from umbel.execution.verdict import settlement_of
from umbel.model.failure import capture
from umbel.model.job import Job
from umbel.model.outcome import Failed
from umbel.result import AsyncResult
from umbel.retelling import read

SESSION = "session-1"


@pytest.fixture
def app(request: pytest.FixtureRequest) -> Umbel:
    return an_app(request.node.originalname)


def an_app(name: str, **settings: Any) -> Umbel:
    return Umbel("shop", broker=f"memory://{name}", set_as_current=False, **settings)


def buried(app: Umbel, error: Exception, task: str = "pay", queue: str = "default") -> AsyncResult[Any]:
    """A dead letter of *task*, which raised *error*."""
    job = app.send_task(task, ("acme", 3), queue=queue)

    async def bury() -> None:
        session = f"{SESSION}-{job.id}"
        await app.broker.heartbeat([Beat(session)], [queue], 60, opening=True)
        (delivery,) = await app.broker.receive(session, [queue], 1, wait=0)
        ended = settlement_of(Finished(delivery, Failed(capture(error), dead=True), task), "w1@here", time.time(), 60)
        await app.broker.settle(session, [ended])

    asyncio.run(bury())
    return job


def test_a_dead_letter_tells_why_where_and_after_how_many_attempts(app: Umbel) -> None:
    job = buried(app, ValueError("no such card"))
    (letter,) = app.dead.list()
    assert (letter.id, letter.queue, letter.task, letter.args) == (job.id, "default", "pay", ["acme", 3])
    assert (letter.reason, letter.worker, letter.attempts) == ("ValueError: no such card", "w1@here", 1)
    assert "ValueError: no such card" in letter.traceback
    assert letter.buried == pytest.approx(time.time(), abs=60)
    assert app.dead.get(job.id) == letter
    assert app.dead.get("stranger") is None


def test_what_is_done_to_dead_letters_is_told_to_the_history(app: Umbel) -> None:
    letters = [buried(app, ValueError("no such card")), buried(app, ValueError("no such card"))]
    first, second = (app.dead.get(job.id) for job in letters)
    assert first is not None
    assert second is not None
    app.dead.retry([first, first])
    app.dead.delete([second])
    app.dead.delete([second])
    assert app.teller is not None
    assert app.teller.journal.flush()
    kept = asyncio.run(app.broker.event_log.read("", 100, 0.0))  # type: ignore[attr-defined]
    told = [event for one in kept for event in read(one.batch).events]
    *sent, again, gone = told
    assert len(sent) == 2
    assert (again.kind, again.id, again.body["revived"], again.envelope) == (
        "task-sent",
        first.id,
        True,
        first.envelope,
    )
    assert (gone.kind, gone.id, gone.attempt, gone.body) == ("task-revoked", second.id, 1, {"reason": "deleted"})


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, 3),
        ({"task": "pay"}, 2),
        ({"queues": ("mails",)}, 1),
        ({"reason": "CARD"}, 1),
        ({"reason": "ValueError"}, 2),
        ({"since": 4e9}, 0),
        ({"until": 1.0}, 0),
        ({"limit": 2}, 2),
        ({"task": "pay", "reason": "timed out"}, 1),
    ],
)
def test_filters_narrow_the_list(wanted: dict[str, Any], found: int) -> None:
    app = an_app(f"filters{len(str(wanted))}_{found}")
    buried(app, ValueError("no such card"))
    buried(app, TimeoutError("timed out"))
    buried(app, ValueError("no such mail"), "mail", "mails")
    assert len(app.dead.list(**wanted)) == found


def test_a_run_that_took_its_process_along_counts_once(app: Umbel) -> None:
    buried(app, WorkerLostError("gone"))
    (letter,) = app.dead.list()
    assert letter.attempts == letter.retries + letter.crashes


@pytest.mark.parametrize("given", ["an-id", ["an-id"], [None]])
def test_what_is_no_dead_letter_is_refused(app: Umbel, given: Any) -> None:
    for verb in (app.dead.retry, app.dead.delete):
        with pytest.raises(TypeError, match="is no dead letter"):
            verb(given)


def test_a_misspelt_filter_is_refused(app: Umbel) -> None:
    with pytest.raises(TypeError, match="tsak"):
        app.dead.list(tsak="pay")


def test_a_revived_letter_keeps_its_id_and_loses_its_record(app: Umbel) -> None:
    job = buried(app, ValueError("no such card"))
    assert job.state == "FAILURE"
    assert app.dead.retry(app.dead.list()) == [job.id]
    assert (app.AsyncResult(job.id).state, job.place) == ("PENDING", "ready")
    assert app.dead.list() == []


def test_a_record_on_another_engine_is_forgotten_before_the_job_may_run_again() -> None:
    app = an_app("dead_a", backend="memory://dead_b")
    job = buried(app, ValueError("no such card"))
    store_job_end(app, job)
    assert app.AsyncResult(job.id).state == "FAILURE"
    app.dead.retry(app.dead.list())
    assert (app.AsyncResult(job.id).state, job.place) == ("PENDING", "ready")


def store_job_end(app: Umbel, job: AsyncResult[Any]) -> None:
    """Put the record into the app's own store, as a worker does that has two engines."""
    from umbel.contracts.powers import Record
    from umbel.model.outcome import Result
    from umbel.wire import record

    ended = record.encode(Result("FAILURE", failure=capture(ValueError("no such card"))))
    asyncio.run(app.store.put([Record(job.id, "default", ended, 60)]))


def test_a_deleted_letter_is_gone_and_its_record_stays(app: Umbel) -> None:
    job = buried(app, ValueError("no such card"))
    letters = app.dead.list()
    assert app.dead.delete(letters) == [job.id]
    assert app.dead.delete(letters) == app.dead.retry(letters) == []
    assert (app.dead.list(), job.state) == ([], "FAILURE")


def test_what_cannot_be_read_is_shown_with_that_reason(app: Umbel) -> None:
    app.broker.send([Job("odd", "default", b"\xff\xff")])
    (info,) = app.queues.jobs("default")
    assert (info.task, info.args) == ("", [])
    assert "not an envelope" in info.error


def test_a_paused_queue_is_shown_as_such_and_nobody_receives_from_it(app: Umbel) -> None:
    app.send_task("pay")

    async def received() -> int:
        session = f"s{time.perf_counter_ns()}"
        await app.broker.heartbeat([Beat(session)], ["default"], 60, opening=True)
        return len(await app.broker.receive(session, ["default"], 1, wait=0))

    app.queues.pause("default")
    assert [(one.queue, one.ready, one.paused) for one in app.queues.list()] == [("default", 1, True)]
    assert asyncio.run(received()) == 0
    app.queues.resume("default")
    assert asyncio.run(received()) == 1


def test_nothing_is_paused_if_one_of_the_queues_is_unknown(app: Umbel) -> None:
    app.send_task("pay")
    with pytest.raises(ImproperlyConfigured, match="'typo' is unknown"):
        app.queues.pause("default", "typo")
    assert not app.queues.list()[0].paused


def test_jobs_are_listed_by_place_and_task(app: Umbel) -> None:
    app.send_task("pay", (1,), {"to": "acme"})
    later = app.send_task("mail", countdown=60)
    (ready,) = app.queues.jobs("default")
    assert (ready.task, ready.args, ready.kwargs, ready.due) == ("pay", [1], {"to": "acme"}, None)
    (delayed,) = app.queues.jobs("default", "delayed", task="mail")
    assert delayed.id == later.id
    assert delayed.due == pytest.approx(time.time() + 60, abs=30)
    assert list(app.queues.jobs("default", "delayed", task="pay")) == []
    with pytest.raises(ValueError, match="cannot be listed"):
        list(app.queues.jobs("default", "ended"))
