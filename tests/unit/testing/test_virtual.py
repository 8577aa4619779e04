"""Virtual time: delays, retries, schedules and flows in order, and no sleep."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from umbel import Umbel, chain, chord
from umbel.exceptions import TimeoutError
from umbel.schedules import crontab
from umbel.testing import VirtualClock, virtual

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Project:
    """An app whose tasks note the virtual time at which they run."""

    def __init__(self) -> None:
        self.app = Umbel("virtual", broker="memory://virtual", set_as_current=False)
        self.clock: VirtualClock | None = None
        self.lines: list[tuple[str, float]] = []
        self.note = self.app.task(name="note")(self._note)
        self.anote = self.app.task(name="anote")(self._anote)
        self.add = self.app.task(name="add")(_add)
        self.total = self.app.task(name="total")(_total)
        self.flaky = self.app.task(
            name="flaky", autoretry_for=(ValueError,), retry_backoff=10, retry_jitter=False, max_retries=3
        )(self._flaky)
        self.again = self.app.task(name="again")(self._again)
        self.jittery = self.app.task(name="jittery", autoretry_for=(ValueError,), retry_backoff=60, max_retries=2)(
            self._flaky
        )

    def write(self, name: str) -> None:
        """Note *name* and how many seconds have passed."""
        assert self.clock is not None
        self.lines.append((name, round(self.clock() - START.timestamp(), 3)))

    def _note(self, name: str) -> None:
        self.write(name)

    async def _anote(self, name: str) -> None:
        await asyncio.sleep(0)
        self.write(name)

    def _flaky(self, fails: int) -> int:
        self.write("flaky")
        if len(self.lines) <= fails:
            raise ValueError("not yet")
        return len(self.lines)

    def _again(self) -> None:
        self.again.delay()


def _add(x: int, y: int) -> int:
    return x + y


def _total(values: list[int]) -> int:
    return sum(values)


@pytest.fixture
def project() -> Project:
    return Project()


@pytest.fixture
def clock(project: Project) -> Iterator[VirtualClock]:
    with virtual(project.app, start=START) as made:
        project.clock = made
        yield made


def test_nothing_runs_before_the_clock_moves(project: Project, clock: VirtualClock) -> None:
    handle = project.note.delay("a")
    assert (project.lines, handle.place) == ([], "ready")
    assert clock.run() == 1
    assert project.lines == [("a", 0.0)]


def test_delayed_jobs_run_in_order_each_at_its_time(project: Project, clock: VirtualClock) -> None:
    project.note.apply_async(("late",), countdown=3600)
    project.anote.apply_async(("early",), countdown=60)
    project.note.apply_async(("eta",), eta=START + timedelta(minutes=30))
    assert clock.advance("59s") == 0
    assert clock.advance("1h") == 3
    assert project.lines == [("early", 60.0), ("eta", 1800.0), ("late", 3600.0)]
    assert clock.now == START + timedelta(hours=1, seconds=59)


def test_a_retry_comes_after_its_delay(project: Project, clock: VirtualClock) -> None:
    handle = project.flaky.delay(2)
    clock.advance("1h")
    assert [at for _, at in project.lines] == [0.0, 10.0, 30.0]
    assert handle.get() == 3


def test_the_same_seed_gives_the_same_jitter() -> None:
    def times(seed: int) -> list[float]:
        project = Project()
        with virtual(project.app, start=START, seed=seed) as clock:
            project.clock = clock
            project.jittery.delay(2)
            clock.advance("1h")
        return [at for _, at in project.lines]

    assert times(1) == times(1)
    assert len({tuple(times(seed)) for seed in range(5)}) > 1


def test_schedules_tick_each_at_its_time(project: Project, clock: VirtualClock) -> None:
    project.app.schedules.add("m", 60.0, project.note, args=("m",))
    project.app.schedules.add("noon", crontab(hour="0", minute="0"), project.note, args=("night",))
    clock.advance("1d")
    assert len([name for name, _ in project.lines if name == "m"]) == 24 * 60
    assert [at for name, at in project.lines if name == "night"] == [12 * 3600.0]


def test_the_schedules_of_the_code_tick_too(project: Project) -> None:
    project.app.add_periodic_task(3600.0, project.note, args=("h",), name="h")
    with virtual(project.app, start=START) as clock:
        project.clock = clock
        clock.advance("3h")
    assert project.lines == [("h", 3600.0), ("h", 7200.0), ("h", 10_800.0)]


def test_flows_run_through(project: Project, clock: VirtualClock) -> None:
    handle = chord([project.add.s(number, number) for number in range(10)])(project.total.s())
    both = chain(project.add.s(1, 1), project.add.s(5)).delay()
    clock.run()
    assert (handle.get(), both.get()) == (90, 7)


def test_waiting_for_a_result_moves_the_clock_no_further_than_it_must(project: Project, clock: VirtualClock) -> None:
    handle = project.add.apply_async((1, 2), countdown=60)
    project.note.apply_async(("later",), countdown=90)
    assert handle.get(timeout=3600) == 3
    assert clock.now == START + timedelta(seconds=60)
    assert project.lines == []


def test_a_wait_that_ends_too_early_has_passed_in_virtual_time_only(project: Project, clock: VirtualClock) -> None:
    handle = project.add.apply_async((1, 2), countdown=7200)
    before = time.monotonic()
    with pytest.raises(TimeoutError):
        handle.get(timeout=3600)
    assert time.monotonic() - before < 60
    assert clock.now == START + timedelta(hours=1)


def test_a_job_expires_by_the_virtual_clock(project: Project, clock: VirtualClock) -> None:
    clock.advance("1d")
    late = project.note.apply_async(("late",), countdown=100, expires=50)
    early = project.note.apply_async(("early",), countdown=100, expires=150)
    clock.advance("200s")
    assert (late.state, early.state) == ("REVOKED", "SUCCESS")


def test_drain_runs_until_nothing_is_left_and_raises_the_first_error(project: Project, clock: VirtualClock) -> None:
    project.note.apply_async(("in a year",), countdown=365 * 86_400)
    assert clock.drain() == 1
    project.flaky.delay(100)
    with pytest.raises(ValueError, match="not yet"):
        clock.drain()
    assert clock.drain() == 0


def test_a_task_that_sends_itself_again_for_ever_is_told(
    project: Project, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("umbel.testing.stepping.MAX_JOBS", 50)
    project.again.delay()
    with pytest.raises(RuntimeError, match="send itself again"):
        clock.run()


def test_what_tasks_send_is_captured_as_well(project: Project, clock: VirtualClock) -> None:
    chain(project.add.s(1, 1), project.add.s(5)).delay()
    clock.sent.assert_sent(project.add, times=1)
    clock.run()
    clock.sent.assert_sent(project.add, times=2)


def test_a_revoked_job_does_not_run(project: Project, clock: VirtualClock) -> None:
    handle = project.note.apply_async(("a",), countdown=60)
    handle.revoke()
    clock.advance("1h")
    assert (project.lines, handle.state) == ([], "REVOKED")


def test_your_own_code_keeps_the_real_time(project: Project, clock: VirtualClock) -> None:
    assert abs(time.time() - START.timestamp()) > 86_400
    assert clock() == START.timestamp()


def test_the_real_time_is_back_when_the_block_ends(project: Project) -> None:
    with virtual(project.app, start=START):
        pass
    before = time.time()
    with virtual(project.app) as clock:
        assert before - 2 <= clock() <= time.time()


async def test_a_test_that_is_a_coroutine_can_wait_and_move(project: Project, clock: VirtualClock) -> None:
    handle = await project.add.aapply_async((1, 2), countdown=60)
    assert await handle.aget(timeout=3600) == 3
    await project.anote.adelay("a")
    assert await clock.aadvance("1m") == 1
    assert await clock.adrain() == 0
    assert project.lines == [("a", 60.0)]


# --- limits


def test_jobs_under_a_rate_start_one_after_the_other(project: Project, clock: VirtualClock) -> None:
    slow = project.app.task(name="slow", rate_limit="2/m")(project._note)
    slow.delay_many([(name,) for name in "abcd"])
    project.note.delay("free")
    assert clock.run() == 2
    assert clock.advance("1m") == 2
    clock.drain()
    assert sorted(project.lines) == [("a", 0.0), ("b", 30.0), ("c", 60.0), ("d", 90.0), ("free", 0.0)]


def test_turns_follow_each_other_and_unique_jobs_are_one(project: Project, clock: VirtualClock) -> None:
    fair = project.app.task(name="fair", fair_key="name")(project._note)
    once = project.app.task(name="once", unique=True)(project._note)
    fair.delay_many([("flood",)] * 20)
    fair.delay("other")
    assert once.delay("same").id == once.delay("same").id
    assert clock.drain() == 22
    names = [name for name, _ in project.lines]
    assert names.index("other") <= 2
    assert names.count("same") == 1
