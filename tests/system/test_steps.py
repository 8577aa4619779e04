"""Durable steps: what a run has done is not done again by those that follow, whatever became of it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.harness import Workers, eventually, kill
from umbel import Context, Umbel
from umbel.brokers.memory.broker import MemoryBroker
from umbel.contracts.capabilities import MEMORY, Power
from umbel.exceptions import EncodeError, ImproperlyConfigured, LeaseLost
from umbel.testing import worker

WAIT = 100.0
app = Umbel("steps", broker="memory://steps", set_as_current=False)
ran = Counter[str]()


def noted(name: str, value: Any = None) -> Any:
    ran[name] += 1
    return value


async def anoted(name: str, value: Any = None) -> Any:
    await asyncio.sleep(0)
    return noted(name, value)


def fails_once(name: str) -> str:
    if noted(name) is None and ran[name] == 1:
        raise ConnectionResetError(name)
    return name


@app.task(bind=True, max_retries=3, autoretry_for=(ConnectionResetError,), default_retry_delay=0, retry_backoff=False)
def order(self: Context, item: str) -> list[Any]:
    number = self.step("number", noted, "number", (7, item))
    paid = self.step("pay", fails_once, "pay")
    sent = self.step("send", fails_once, name="send")
    return [number, paid, sent, self.request.retries]


@app.task(bind=True, max_retries=3, autoretry_for=(ConnectionResetError,), default_retry_delay=0, retry_backoff=False)
async def aorder(self: Context) -> list[Any]:
    both = await asyncio.gather(self.astep("a", anoted, "a", 1), self.astep("b", noted, "b", 2))
    paid = await self.astep("pay", fails_once, "pay")
    return [*both, paid, self.request.retries]


@app.task(bind=True)
def changes(self: Context, value: int) -> list[int]:
    first = self.step("first", noted, "first", value)
    if value < 3:
        raise self.retry(args=(value + 1,), countdown=0)
    return [first, value]


@app.task(bind=True)
def wrong(self: Context, what: str) -> Any:
    match what:
        case "twice":
            return [self.step("same", noted, "same"), self.step("same", noted, "same")]
        case "unnamed":
            return self.step("", noted, "unnamed")
        case "object":
            return self.step("object", noted, "object", object())
        case _:
            return [self.step("half", noted, "half", "x" * 600_000), self.step("more", noted, "more", "x" * 600_000)]


@app.task(bind=True)
async def blocks(self: Context) -> Any:
    return self.step("one", noted, "one")


@app.task(bind=True)
def caught(self: Context) -> list[str]:
    with pytest.raises(ConnectionResetError):
        self.step("flaky", fails_once, "flaky")
    return [self.step("flaky", fails_once, "flaky")]


@pytest.fixture(autouse=True)
def _working() -> Iterator[None]:
    ran.clear()
    with worker(app, threads=2):
        yield


def test_steps_that_are_done_are_not_done_again_by_a_retry() -> None:
    assert order.delay("shelf").get(timeout=WAIT) == [[7, "shelf"], "pay", "send", 2]
    assert ran == {"number": 1, "pay": 2, "send": 2}


def test_steps_of_an_async_task_may_run_side_by_side() -> None:
    assert aorder.delay().get(timeout=WAIT) == [1, 2, "pay", 1]
    assert ran == {"a": 1, "b": 1, "pay": 2}


def test_a_retry_with_other_arguments_keeps_the_steps() -> None:
    assert changes.delay(1).get(timeout=WAIT) == [1, 3]
    assert ran == {"first": 1}


def test_a_step_that_fails_is_not_kept_and_may_be_taken_again_in_the_same_run() -> None:
    assert caught.delay().get(timeout=WAIT) == ["flaky"]


@pytest.mark.parametrize(
    ("what", "error", "words"),
    [
        ("twice", ValueError, "step 'same' was taken in this run already"),
        ("unnamed", ValueError, "a step has a name of up to 200 characters"),
        ("object", EncodeError, "step 'object': "),
        ("large", EncodeError, r"step 'more': arguments and steps of .* more than message_max_bytes"),
    ],
)
def test_a_step_that_cannot_be_kept_says_why(what: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        wrong.delay(what).get(timeout=WAIT)


def test_a_step_that_would_block_the_loop_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"write await self\.astep"):
        blocks.delay().get(timeout=WAIT)


def test_where_there_is_no_job_a_step_just_runs() -> None:
    assert wrong.apply(("other",), throw=True).get()[0] == "x" * 600_000
    assert order.apply(("shelf",)).get() == [[7, "shelf"], "pay", "send", 2]


def test_a_retried_flow_goes_on_behind_the_steps_of_the_job_that_failed() -> None:
    @app.task(bind=True, name="half_done")
    def half_done(self: Context) -> int:
        first = self.step("first", noted, "first", 1)
        if ran["broken"] == 0:
            ran["broken"] += 1
            raise ValueError
        return int(first) + 1

    sent = (half_done.si() | half_done.si()).delay()
    with pytest.raises(ValueError, match=r"^$"):
        sent.get(timeout=WAIT)
    deadline = time.monotonic() + WAIT
    while (found := app.flows.get(sent.id)) is not None and found.ended is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert app.flows.retry(sent.id).result.get(timeout=WAIT) == 2
    assert ran["first"] == 2


@pytest.mark.parametrize("engine", ["sqlite", "redis", "postgres"])
def test_every_engine_keeps_steps(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    at_file = engine == "sqlite"
    url = f"sqlite:///{tmp_path}/jobs.db" if at_file else request.getfixturevalue(f"{engine}_url")
    with Umbel("elsewhere", broker=url, set_as_current=False) as elsewhere:
        theirs = elsewhere.task(name="order", bind=True, autoretry_for=(ConnectionResetError,), default_retry_delay=0)(
            lambda self, item: [self.step(name, fails_once, name) for name in ("one", "two", item)]
        )
        with worker(elsewhere, threads=2):
            assert theirs.delay("three").get(timeout=WAIT) == ["one", "two", "three"]
    assert ran == {"one": 2, "two": 2, "three": 2}


def test_whoever_lost_the_job_keeps_no_step() -> None:
    held: list[Any] = []

    @app.task(bind=True, name="loses")
    def loses(self: Context) -> None:
        held.append((self.request.desk, self.request))

    loses.delay().get(timeout=WAIT)
    desk, request = held[0]
    with pytest.raises(LeaseLost, match="its step is not kept"):
        desk.amend(request, b"stale")


def test_a_broker_that_cannot_keep_steps_refuses_the_first_one_before_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryBroker, "powers", MEMORY - {Power.STEPS})
    with pytest.raises(ImproperlyConfigured, match=r"a durable step needs a broker that .*: memory://.* does not"):
        order.delay("shelf").get(timeout=WAIT)
    assert ran == {}


STEPPING = """
import os
import time
from pathlib import Path

from umbel import Umbel

app = Umbel("stepping", broker=os.environ["UMBEL_TEST_BROKER"], backend=os.environ["UMBEL_TEST_BACKEND"])
here = Path(os.environ["UMBEL_TEST_FOLDER"])


def note(name):
    with (here / name).open("a") as file:
        file.write("x")
    return name


def wait():
    note("waiting")
    while not (here / "go on").exists():
        time.sleep(0.01)


@app.task(bind=True, name="stepping", RUNNER)
def stepping(self):
    return [self.step("one", note, "one"), self.step("two", note, "two"), self.step("wait", wait)]
"""


@pytest.mark.parametrize(("runner", "engine"), [("thread", "sqlite"), ("process", "sqlite"), ("process", "rabbitmq")])
def test_steps_outlive_the_process_that_has_taken_them(
    runner: str, engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = backend = f"sqlite:///{tmp_path}/jobs.db"
    if engine == "rabbitmq":
        url, backend = (request.getfixturevalue(name) for name in ("rabbitmq_url", "postgres_results_url"))
    place = {"UMBEL_TEST_BROKER": url, "UMBEL_TEST_BACKEND": backend, "UMBEL_TEST_FOLDER": str(tmp_path)}
    (tmp_path / "stepping_tasks.py").write_text(STEPPING.replace("RUNNER", f"runner={runner!r}"))
    workers = Workers(tmp_path)
    try:
        process = workers.start("--processes=1", "--threads=1", app="stepping_tasks", folder=tmp_path, **place)
        process.wait_ready()
        with Umbel("stepping", broker=url, backend=backend, set_as_current=False) as sender:
            handle = sender.send_task("stepping")
            waits = tmp_path / "waiting"
            eventually(lambda: waits.exists() and waits.read_text() == "x", "it waits in its third step")
            kill(eventually(process.children, "a child")[-1])
            eventually(lambda: waits.read_text() == "xx", "it waits there again")
            (tmp_path / "go on").touch()
            assert handle.get(timeout=WAIT) == ["one", "two", None]
        assert [(tmp_path / name).read_text() for name in ("one", "two")] == ["x", "x"]
    finally:
        workers.end()
