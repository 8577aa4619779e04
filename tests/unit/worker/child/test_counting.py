from __future__ import annotations

import pytest

from umbel.execution.executor import Finished
from umbel.model.failure import Failure
from umbel.model.job import Counts, Delivery
from umbel.model.outcome import Crashed, Failed, Outcome, Parked, Released, Retried, Revoked, Succeeded
from umbel.model.presence import RunningJob
from umbel.worker.channel import ChannelClosed
from umbel.worker.child.counting import Counting
from umbel.worker.figures import OTHER, Figures, Line
from umbel.worker.messages import Counted

WRONG = Failure("ValueError", "builtins", "no")


class Board:
    """Who knows what runs."""

    def __init__(self, *jobs: str) -> None:
        self.jobs = jobs

    def started(self) -> list[RunningJob]:
        return [RunningJob(job, "add", 1.0) for job in self.jobs]


def delivery(job: str = "job") -> Delivery:
    return Delivery(job, "q", 0, 1, b"", Counts())


def finished(outcome: Outcome, *, ran: bool = True, task: str = "add") -> Finished:
    return Finished(delivery(), outcome, task, ended=9.0 if ran else 0.0, wait=0.25 if ran else -1.0)


async def told(counting: Counting) -> list[Line]:
    found = Figures()

    async def tell(counted: Counted) -> None:
        found.add(counted.lines)

    counting.start(tell)
    await counting.aclose()
    return found.lines()


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Succeeded(b"", 0.5), "succeeded"),
        (Failed(WRONG, 0.5), "failed"),
        (Failed(WRONG, 0.5, dead=True), "dead"),
        (Retried(WRONG, 1.0, 0.5), "retried"),
        (Crashed(0.5), "retried"),
    ],
)
async def test_a_run_is_counted_by_its_end_and_measured(outcome: Outcome, state: str) -> None:
    counting = Counting({"add"}, {}, object())
    counting.settled([finished(outcome)], [True])
    (line,) = await told(counting)
    assert (line.task, line.queue, line.jobs) == ("add", "q", {state: 1, "started": 1})
    assert (line.runs.seconds, line.waits.seconds) == (0.5, 0.25)


@pytest.mark.parametrize(("reason", "state"), [("expired", "expired"), ("revoked", "revoked")])
async def test_a_job_that_did_not_run_has_not_started(reason: str, state: str) -> None:
    counting = Counting({"add"}, {}, object())
    counting.settled([finished(Revoked(reason), ran=False)], [True])
    (line,) = await told(counting)
    assert line.jobs == {state: 1}
    assert line.runs.buckets == line.waits.buckets == {}


async def test_what_is_not_ours_or_goes_on_elsewhere_is_not_counted() -> None:
    counting = Counting({"add"}, {}, object())
    counting.settled([finished(Succeeded(b"", 0.5)), finished(Released()), finished(Parked("x"))], [False, True, True])
    assert await told(counting) == []


async def test_names_that_are_no_tasks_here_are_counted_together() -> None:
    counting = Counting({"add"}, {}, object())
    for number in range(50):
        counting.settled([finished(Revoked("expired"), ran=False, task=f"evil-{number}")], [True])
    (line,) = await told(counting)
    assert (line.task, line.jobs) == (OTHER, {"expired": 50})


async def test_what_runs_has_started_and_is_counted_once() -> None:
    board = Board("1", "2")
    counting = Counting({"add"}, {"1": delivery("1"), "2": delivery("2")}, board)
    assert [line.jobs for line in await told(counting)] == [{"started": 2}]
    board.jobs = ("2",)  # the first has ended, and the broker has not answered yet
    assert await told(counting) == []
    counting.settled([finished(Succeeded(b"", 0.5))], [True])
    assert [line.jobs for line in await told(counting)] == [{"succeeded": 1}]


async def test_a_supervisor_that_is_gone_is_no_error() -> None:
    async def tell(counted: Counted) -> None:
        raise ChannelClosed("gone")

    counting = Counting({"add"}, {}, object())
    counting.start(tell)
    await counting.aclose()
