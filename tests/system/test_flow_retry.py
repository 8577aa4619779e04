"""Flows that failed and are retried: they go on where they failed, and nothing that has succeeded runs again."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.system.harness import environment, eventually
from umbel import Context, Graph, Umbel, chord, group
from umbel.contracts.flows import FlowHolder
from umbel.exceptions import FlowError, TaskRevokedError
from umbel.model.flow import Page
from umbel.testing import worker

WAIT = 100.0
LONG = 200.0
app = Umbel("retry", broker="memory://flow-retry", set_as_current=False)
returned = Counter[tuple[object, ...]]()
told: list[str] = []
broken = {"flaky": True}


@app.task
def add(x: int, y: int = 0) -> int:
    returned["add", x, y] += 1
    return x + y


@app.task
def total(values: list[int]) -> int:
    returned["total", *values] += 1
    return sum(values)


@app.task
def flaky(x: int) -> int:
    if broken["flaky"]:
        raise ValueError(x)
    returned["flaky", x] += 1
    return x * 10


@app.task
def heavy(text: str) -> int:
    if broken["flaky"]:
        raise ValueError
    return len(text)


@app.task(bind=True)
def becomes(self: Context, x: int) -> Any:
    return self.replace(add.s(x) | flaky.s())


@app.task(bind=True)
def adds_one(self: Context, x: int) -> int:
    self.add_to_chord(add.s(x, 1000))
    return x


@app.task
def note(task_id: str) -> None:
    told.append(task_id)


@pytest.fixture(scope="module", autouse=True)
def _working() -> Iterator[None]:
    with worker(app, threads=4):
        yield


@pytest.fixture(autouse=True)
def _broken() -> None:
    returned.clear()
    told.clear()
    broken["flaky"] = True


def fails(sig: Any) -> str:
    """Send *sig*, which fails; answers the id of a job of its flow, which has ended."""
    handle = sig.delay()
    assert isinstance(handle.get(timeout=WAIT, propagate=False), Exception | list)
    while hasattr(handle, "results"):
        handle = handle.results[0]
    return ended(handle.id)


def ended(job: str) -> str:
    eventually(lambda: app.flows.get(job).ended is not None, "the flow has ended")  # type: ignore[union-attr]
    return job


SHAPES = [
    (add.s(1, 1) | flaky.s() | add.s(1), 21),
    (flaky.s(1) | add.s(1) | add.s(2), 13),
    (chord([add.s(1, 1), flaky.s(2), flaky.s(3) | add.s(1)], total.s()), 53),
    (chord([add.s(1, 1), flaky.s(2)], total.s()) | add.s(100), 122),
    (add.s(1, 1) | group(flaky.s(), add.s(7)) | total.s(), 29),
    (flaky.s(1) | group(add.s(1), add.s(2)) | total.s(), 23),
    (chord([chord([flaky.s(1), add.s(2, 2)], total.s()), add.s(3, 3)], total.s()), 20),
    (chord([add.s(1, 1), add.s(2, 2)], total.s()) | flaky.s(), 60),
    (chord([becomes.s(1), add.s(2, 2)], total.s()), 14),
    (becomes.s(4) | add.s(1), 41),
    (chord([adds_one.s(1), flaky.s(2), adds_one.s(3)], total.s()), 2028),
]


@pytest.mark.parametrize(("sig", "value"), SHAPES, ids=[repr(sig)[:70] for sig, _ in SHAPES])
def test_a_retried_flow_ends_as_if_nothing_had_failed_and_runs_only_the_rest(sig: Any, value: int) -> None:
    job = fails(sig)
    broken["flaky"] = False
    assert app.flows.retry(job).result.get(timeout=WAIT) == value
    assert set(returned.values()) == {1}


def test_the_members_of_a_group_at_the_end_have_their_values() -> None:
    job = fails(add.s(1, 1) | group(flaky.s(), add.s(5), flaky.s()))
    broken["flaky"] = False
    retried = app.flows.retry(job)
    assert [each.get(timeout=WAIT) for each in retried.results] == [20, 20]
    assert (len(retried.jobs), returned["add", 2, 5]) == (2, 1)


def test_a_step_that_several_wait_for_runs_again_once() -> None:
    graph = Graph(app)
    first, second = graph.add(flaky.s(1)), graph.add(add.s(2, 2))
    both = graph.add(total.s(), after=[first, second])
    graph.add(add.s(5), after=[first])
    graph.add(total.s(), after=[both, first, second])
    graph.send()
    job = ended(second.result.id)
    broken["flaky"] = False
    retried = app.flows.retry(job)
    assert [each.get(timeout=WAIT) for each in retried.results] == [15, 28]
    assert set(returned.values()) == {1}
    assert len(retried.jobs) == 4
    found = app.flows.get(ended(retried.id))
    assert found is not None
    assert (found.state, found.done, found.total, found.failed) == ("succeeded", found.total, found.total, 0)


def test_what_fails_again_is_retried_from_there_whichever_id_is_given() -> None:
    job = fails(add.s(1, 1) | flaky.s() | flaky.s())
    again = app.flows.retry(job)
    with pytest.raises(ValueError, match="2"):
        again.result.get(timeout=WAIT)
    ended(again.id)
    broken["flaky"] = False
    last = app.flows.retry(job)
    assert (last.of, last.result.get(timeout=WAIT)) == (again.id, 200)
    assert returned["add", 1, 1] == 1


def test_a_retry_that_is_repeated_is_the_same_flow_and_runs_once() -> None:
    job = fails(add.s(1, 1) | flaky.s())
    broken["flaky"] = False
    first, second = app.flows.retry(job), app.flows.retry(job)
    assert first.id == second.id
    assert first.result.get(timeout=WAIT) == 20
    ended(first.id)
    assert app.flows.retry(job).result.get(timeout=WAIT) == 20
    assert returned["flaky", 2] == 1


async def test_the_async_retry_is_the_same() -> None:
    job = fails(add.s(1, 1) | flaky.s())
    broken["flaky"] = False
    retried = await app.flows.aretry(job)
    assert await retried.result.aget(timeout=WAIT) == 20


def test_a_dry_run_tells_what_would_run_and_starts_nothing() -> None:
    job = fails(chord([add.s(1, 1), flaky.s(2)], total.s()))
    broken["flaky"] = False
    found = app.flows.retry(job, dry_run=True)
    assert [each.task for each in found.jobs] == [flaky.name, total.name]
    assert found.kept == 1
    assert app.flows.get(found.id) is None
    retried = app.flows.retry(job)
    assert retried.id == found.id
    assert retried.result.get(timeout=WAIT) == 22  # or it would go on in the next test


def test_a_revoked_flow_is_retried_as_well() -> None:
    app.queues.pause("default")  # so that nothing of it runs before it is revoked
    handle = (add.s(1, 1) | add.s(1)).apply_async()
    assert app.flows.revoke(handle.id)
    app.queues.resume("default")
    with pytest.raises(TaskRevokedError):
        handle.get(timeout=WAIT)
    assert app.flows.retry(ended(handle.id)).result.get(timeout=WAIT) == 3


def test_a_flow_that_expired_is_retried_without_its_moment_but_may_get_one() -> None:
    handle = (add.s(1, 1) | flaky.s()).apply_async(flow_expires=-1)
    with pytest.raises(TaskRevokedError, match="expired"):
        handle.get(timeout=WAIT)
    late = app.flows.retry(ended(handle.id), expires=-1)
    with pytest.raises(TaskRevokedError, match="expired"):
        late.result.get(timeout=WAIT)
    ended(late.id)
    broken["flaky"] = False
    assert app.flows.retry(handle.id).result.get(timeout=WAIT) == 20


def test_callbacks_and_errbacks_are_told_as_before() -> None:
    job = fails(add.s(1, 1) | flaky.s().on_error(note.s()))
    eventually(lambda: told == [job], "the first failure was told")
    again = app.flows.retry(job)
    eventually(lambda: told == [job, again.result.id], "both failures were told")


def test_a_flow_in_no_state_to_be_retried_says_so() -> None:
    good = add.s(1, 1) | add.s(1)
    waiting = good.apply_async(countdown=60)
    with pytest.raises(FlowError, match="is running: only one that has failed"):
        app.flows.retry(waiting.id)
    app.flows.revoke(waiting.id)
    with pytest.raises(FlowError, match="jobs of it have not ended"):
        app.flows.retry(waiting.id)
    fine = good.delay()
    assert fine.get(timeout=WAIT) == 3
    with pytest.raises(FlowError, match="has succeeded: there is nothing to retry"):
        app.flows.retry(ended(fine.id))
    with pytest.raises(FlowError, match="no flow nothing is known"):
        app.flows.retry("nothing")


def test_a_job_that_is_too_large_to_be_kept_is_named() -> None:
    job = fails(add.s(1, 1) | add.s(1) | heavy.si("x" * 300_000))
    with pytest.raises(FlowError, match=rf"job {job} \(ValueError.* more than 256 KiB"):
        app.flows.retry(job)


@pytest.fixture(params=["sqlite", "redis", "postgres"])
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Umbel]:
    at_file = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/jobs.db" if at_file else request.getfixturevalue(f"{request.param}_url")
    with Umbel("elsewhere", broker=url, set_as_current=False) as made:
        yield made


def test_every_engine_starts_a_flow_with_what_was_brought_before(elsewhere: Umbel) -> None:
    members = [elsewhere.task(name=str(number))(partial(times, number)) for number in range(3)]
    lazy = elsewhere.task(name="adds", bind=True)(lambda self: self.add_to_chord(members[0].s(1000)) and 1)
    whole = elsewhere.task(name="total")(total.run)
    broken_one = elsewhere.task(name="flaky")(flaky.run)
    many = [members[number % 3].s(number) for number in range(1_010)]
    canvas = chord([*many, broken_one.s(5), lazy.s()], whole.s()) | members[2].s()
    with worker(elsewhere, threads=4):
        handle = canvas.delay()
        assert isinstance(handle.get(timeout=LONG, propagate=False), Exception)
        eventually(lambda: elsewhere.flows.get(handle.id).ended is not None, "it has ended", LONG)  # type: ignore[union-attr]
        broken["flaky"] = False
        retried = elsewhere.flows.retry(handle.id)
        assert len(retried.jobs) == 3
        assert retried.kept == 1_012
        assert retried.result.get(timeout=LONG) == 2 * (sum(number % 3 * number for number in range(1_010)) + 51)


def times(factor: int, value: int) -> int:
    return factor * value


def flows(url: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "umbel", "-b", url, "flows", *words]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)


def test_the_command_line_shows_what_would_run_and_retries_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    with Umbel("cli", broker=url, set_as_current=False) as theirs:
        first, second = theirs.task(name="first")(partial(times, 3)), theirs.task(name="second")(flaky.run)
        with worker(theirs, threads=1):
            handle = (first.s(1) | second.s()).delay()
            assert isinstance(handle.get(timeout=WAIT, propagate=False), ValueError)
            eventually(lambda: theirs.flows.get(handle.id).ended is not None, "it has ended")  # type: ignore[union-attr]
            assert "failed  2 of 2 jobs ended, 1 failed" in flows(url, "show", handle.id).stdout
            dry = flows(url, "retry", handle.id, "--dry-run")
            assert [line.split() for line in dry.stdout.splitlines()] == [
                ["TASK", "QUEUE", "JOBS"],
                ["second", "default", "1"],
            ]
            assert "jobs that would run again: 1" in dry.stderr
            broken["flaky"] = False
            retried = flows(url, "retry", handle.id)
            assert theirs.AsyncResult(f"{retried.stdout.strip()[:-8]}00000001").get(timeout=WAIT) == 30
            again = flows(url, "retry", retried.stdout.strip())
            assert (again.returncode, "has succeeded: there is nothing to retry" in again.stderr) == (1, True)


def test_a_job_that_failed_is_kept_once_for_each_that_waits_for_it() -> None:
    job = fails(add.s(1, 1) | flaky.s() | add.s(1))
    found = app.flows.get(job)
    assert isinstance(app.broker, FlowHolder)
    assert found is not None
    pages = [Page(found.id, found.queue, node.key, -1, 10) for node in found.nodes]
    standings = app.broker.flow_store.read_inputs(pages)
    assert sum(each.failed for one in standings if one is not None for each in one.inputs) == 2
