"""What a child lets its supervisor see of the rounds of its loop."""

from __future__ import annotations

import threading

import pytest

from tests.unit.worker.child.stage import DEADLINE_SECONDS, Stage, until
from umbel.worker.child import consumer as module


class Pulse:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.heard = 0
        self.filled = 0

    def hear(self) -> None:
        """The broker has answered."""
        self.heard += 1

    def fill(self) -> None:
        """There is no room."""
        self.filled += 1

    def end(self, jobs: int) -> None:
        """So many jobs have ended."""


async def test_each_answer_of_the_broker_is_told_also_an_empty_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.01)
    stage, pulse = Stage(), Pulse()
    async with stage.child() as child:
        child.consumer.pulse = pulse
        await until(lambda: pulse.heard > 3, "an idle child goes on asking")
    assert pulse.filled == 0


async def test_a_child_without_room_says_so_and_asks_again_when_it_has_some() -> None:
    stage, pulse, let_go = Stage(), Pulse(), threading.Event()

    def block() -> None:
        let_go.wait(DEADLINE_SECONDS)

    blocking = stage.task(block)
    async with stage.child(threads=1) as child:
        child.consumer.pulse = pulse
        await child.ready.wait()
        first = stage.send(blocking, ())
        await until(lambda: pulse.filled > 0, "it is full")
        let_go.set()
        await stage.ended(*first)
        heard = pulse.heard
        await stage.ended(*stage.send(blocking, ()))
        assert pulse.heard > heard


def test_a_receive_ends_well_before_a_child_counts_as_deaf() -> None:
    from umbel.worker.supervisor.health import DEAF_SECONDS

    assert 2 * module.WAIT_SECONDS <= DEAF_SECONDS
