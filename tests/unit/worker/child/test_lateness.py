"""What a child measures of its event loop, and what its supervisor reads of it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.unit.worker.child.stage import until
from umbel.worker.board import Board
from umbel.worker.child import lateness as module
from umbel.worker.child.lateness import Lateness


@pytest.fixture
def board() -> Iterator[Board]:
    made = Board.create(1)
    yield made
    made.close()


async def test_a_loop_that_was_blocked_is_told_as_late_for_a_while(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PERIOD_SECONDS", 0.01)
    lateness = Lateness(board)
    assert board.lag == 0.0
    lateness.start()
    time.sleep(0.3)  # noqa: ASYNC251 - this is what blocks
    assert board.lag >= 0.2  # also before the loop turns again
    due = board._words[4]
    await until(lambda: board._words[4] != due, "the loop turns again")
    assert 0.2 <= board.lag < 20.0
    lateness.close()
    assert board.lag == 0.0


async def test_a_loop_is_forgiven_when_it_was_in_time_often_enough(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PERIOD_SECONDS", 0.001)
    lateness = Lateness(board)
    lateness.start()
    time.sleep(0.6)  # noqa: ASYNC251 - likewise
    await until(lambda: board.lag < 0.3, "it was in time")
    lateness.close()
