"""What the watchdog does about jobs that go on beyond their limits, or after they were revoked."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence

import pytest

from umbel.model.job import Doom
from umbel.model.presence import RunningJob
from umbel.worker.board import Board, boot_seconds
from umbel.worker.messages import Why
from umbel.worker.supervisor.watchdog import Watchdog


class Recorded:
    """A child that writes down what is done to it."""

    def __init__(self) -> None:
        self.board = Board.create(4)
        self.pid = os.getpid()
        self.stopped = False
        self.asked: list[tuple[str, Why, int]] = []
        self.dooms: dict[str, Doom] = {}
        self.frozen = False

    def running(self) -> list[RunningJob]:
        """What is on its board."""
        return self.board.started()

    def interrupt(self, jobs: Sequence[str], why: Why, number: int = 0) -> None:
        """Write it down."""
        for job in jobs:
            self.asked.append((job, why, number))

    def doom(self, job: str, doom: Doom) -> None:
        """Write it down."""
        self.dooms[job] = doom

    def freeze(self) -> None:
        """Write it down."""
        self.frozen = True

    def thaw(self) -> None:
        """Write it down."""
        self.frozen = False

    def retire(self) -> None:
        """Write it down."""
        self.stopped = True


@pytest.fixture
def child() -> Iterator[Recorded]:
    made = Recorded()
    yield made
    made.board.close()


@pytest.fixture
def watchdog(child: Recorded) -> Watchdog:
    return Watchdog(lambda: [child])


def limited(child: Recorded, soft: float | None, hard: float | None, *, isolated: bool = False) -> float:
    """Let a job begin under these limits; answers when, about."""
    child.board.take("job", "t", (soft, hard), isolated=isolated)
    return boot_seconds()


def test_a_job_within_its_limits_is_left_alone(child: Recorded, watchdog: Watchdog) -> None:
    began = limited(child, 50.0, 60.0)
    child.board.take("free", "t")
    watchdog.look(began + 49.0)
    assert (child.asked, child.dooms, child.frozen) == ([], {}, False)


def test_the_soft_limit_is_told_once_and_then_the_hard_one(child: Recorded, watchdog: Watchdog) -> None:
    began = limited(child, 5.0, 6.0)
    for late in (5.1, 5.2, 6.1, 6.15):
        watchdog.look(began + late)
    assert child.asked == [("job", "soft", 0), ("job", "timeout", 0)]
    assert child.dooms == {}


def test_a_job_that_goes_on_half_a_second_after_its_hard_limit_dies_with_its_child(
    child: Recorded, watchdog: Watchdog
) -> None:
    began = limited(child, None, 6.0)
    watchdog.look(began + 6.1)
    assert not child.frozen
    watchdog.look(began + 6.3)
    assert (child.frozen, child.dooms) == (True, {})
    watchdog.look(began + 6.6)
    assert child.dooms == {"job": "timeout"}


def test_a_child_whose_job_ends_at_last_starts_jobs_again(child: Recorded, watchdog: Watchdog) -> None:
    slot = child.board.take("job", "t", (None, 1.0))
    now = boot_seconds() + 1.3
    watchdog.look(now)
    assert child.frozen
    child.board.give(slot)
    watchdog.look(now + 10.0)
    assert (child.frozen, child.dooms) == (False, {})


def test_a_child_has_time_to_end_a_job_that_has_a_process_of_its_own(child: Recorded, watchdog: Watchdog) -> None:
    began = limited(child, None, 6.0, isolated=True)
    watchdog.look(began + 7.9)
    assert child.dooms == {}
    watchdog.look(began + 8.1)
    assert child.dooms == {"job": "timeout"}


def test_a_job_that_is_revoked_is_asked_first_and_dies_with_its_child_a_second_later(
    child: Recorded, watchdog: Watchdog
) -> None:
    child.board.take("job", "t")
    child.board.take("beside", "t")
    watchdog.terminate(["job", "elsewhere"], signal.SIGINT)
    now = boot_seconds()
    assert child.asked == [("job", "revoked", signal.SIGINT), ("elsewhere", "revoked", signal.SIGINT)]
    watchdog.look(now + 0.9)
    assert child.dooms == {}
    watchdog.look(now + 1.1)
    assert child.dooms == {"job": "revoked"}


def test_a_job_that_begins_after_it_was_named_is_asked_then(child: Recorded, watchdog: Watchdog) -> None:
    watchdog.terminate(["job"])
    child.asked.clear()
    child.board.take("job", "t")
    watchdog.look(boot_seconds() + 0.5)
    assert child.asked == [("job", "revoked", 0)]


def test_a_job_that_is_killed_at_once_is_asked_nothing(child: Recorded, watchdog: Watchdog) -> None:
    child.board.take("job", "t")
    watchdog.terminate(["job"], at_once=True)
    assert child.dooms == {"job": "revoked"}


def test_an_order_is_forgotten_when_nobody_can_be_meant_any_more(child: Recorded, watchdog: Watchdog) -> None:
    watchdog.terminate(["job"])
    watchdog.look(boot_seconds() + 60.0)
    child.board.take("job", "t")
    watchdog.look(boot_seconds() + 61.0)
    assert child.dooms == {}


def test_jobs_that_are_withdrawn_are_named_to_each_child_and_never_killed(child: Recorded, watchdog: Watchdog) -> None:
    child.board.take("job", "t")
    watchdog.withdraw(["job"])
    watchdog.look(boot_seconds() + 2.0)
    assert child.asked == [("job", "withdrawn", 0)]
    assert child.dooms == {}


@pytest.mark.parametrize(("most", "retires"), [(1, True), (2**50, False)])
def test_a_child_that_has_grown_too_large_is_replaced(child: Recorded, most: int, retires: bool) -> None:
    Watchdog(lambda: [child], most).look(boot_seconds())
    assert child.stopped == retires
