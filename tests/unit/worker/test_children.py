import signal
import socket
from collections.abc import AsyncIterator

import pytest

from umbel.settings import Settings
from umbel.worker.board import Board, boot_seconds
from umbel.worker.channel import Channel
from umbel.worker.messages import LOST_STATUS, Exited, Loaded
from umbel.worker.options import WorkerOptions
from umbel.worker.supervisor.child import Child
from umbel.worker.supervisor.children import cause
from umbel.worker.supervisor.plan import make_plan


@pytest.fixture
async def child() -> AsyncIterator[Child]:
    plan = make_plan(WorkerOptions(app="a"), Loaded("a", Settings(broker_url="sqlite:///x"), []))
    ours, theirs = socket.socketpair()
    made = Child(plan, Board.create(plan.slots), Channel(ours))
    with theirs:
        yield made
    made.close()


@pytest.mark.parametrize(
    ("status", "words"), [(-9, "SIGKILL"), (-6, "SIGABRT"), (-64, "SIGRTMAX"), (-99, "signal 99"), (3, "exit status 3")]
)
def test_the_cause_of_a_death_is_told_in_words(status: int, words: str) -> None:
    assert cause(status) == words


@pytest.mark.parametrize("status", [0, 1, LOST_STATUS, -signal.SIGKILL, -signal.SIGABRT])
async def test_whatever_ends_a_child_that_nobody_told_to_end_is_a_crash(child: Child, status: int) -> None:
    assert not child.asked(Exited(1, status))


async def test_a_child_that_stopped_as_told_is_no_crash(child: Child) -> None:
    child.stop(1.0)
    assert child.asked(Exited(1, 0))
    assert not child.asked(Exited(1, -signal.SIGSEGV))


async def test_a_child_that_ends_with_its_session_is_no_crash(child: Child) -> None:
    child.lose()
    assert child.asked(Exited(1, LOST_STATUS))


async def test_a_child_that_the_supervisor_killed_is_no_crash(child: Child) -> None:
    child.killed = True
    assert child.asked(Exited(1, -signal.SIGKILL))
    assert not child.asked(Exited(1, -signal.SIGABRT))


async def test_a_lost_session_is_never_trusted_again(child: Child) -> None:
    child.trust(boot_seconds() + 60)
    assert child.board.trusted()
    child.lose()
    assert not child.board.trusted()
    child.trust(boot_seconds() + 60)
    assert not child.board.trusted()
