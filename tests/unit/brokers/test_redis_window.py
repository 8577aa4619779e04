"""What is kept of what a server acknowledged, and for how long."""

from __future__ import annotations

import time

import pytest

from umbel.brokers.redis.calls import Calls
from umbel.brokers.redis.window import MAX_KEPT_BYTES, Acknowledged, Window
from umbel.contracts.broker import Settlement
from umbel.model.job import Delivery, Job

MICROSECOND = 1e-6


class Time:
    """A clock that stands still until it is moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("umbel.brokers.redis.window.time.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)


def kept(found: Window[str]) -> list[str]:
    return [item for _, _, items in found.recent() for item in items]


def test_ten_seconds_are_kept(clock: Time) -> None:
    found: Window[str] = Window()
    for name in "abc":
        found.keep([name], 1)
        clock.now += 6.0
    assert kept(found) == ["b", "c"]


def test_an_idle_process_says_nothing_again_that_is_old(clock: Time) -> None:
    found: Window[str] = Window()
    found.keep(["a"], 1)
    clock.now += 29.0
    assert kept(found) == ["a"]
    clock.now += 2.0
    assert kept(found) == []


def test_no_more_than_4_mib_are_kept(clock: Time) -> None:
    found: Window[str] = Window()
    for name in "abcde":
        found.keep([name], MAX_KEPT_BYTES // 4)
    assert kept(found) == ["c", "d", "e"]
    found.keep(["huge"], MAX_KEPT_BYTES)
    assert kept(found) == []


def test_a_delayed_job_has_waited_already(clock: Time) -> None:
    said = Acknowledged(Calls(b"", None))
    said.sent([Job("later", "q", b"", delay=8.0), Job("soon", "q", b"", delay=1.0), Job("now", "q", b"")])
    clock.now += 3.0
    _, send = said.commands()
    assert send.words[6:] == ("later", 9, -5000, b"", "soon", 9, 0, b"", "now", 9, 0, b"")


def test_queues_are_registered_first_and_verdicts_come_last() -> None:
    said = Acknowledged(Calls(b"", None))
    assert said.commands() == []
    delivery = Delivery("id", "q", 9, 1, b"envelope")
    said.settled("s", [Settlement(delivery, "end", follow_ups=(Job("next", "other", b""),))])
    said.sent([Job("first", "q", b"")])
    scripts = [command.script.name for command in said.commands() if command.script is not None]
    assert scripts == ["register", "send", "settle"]
    assert set(said.commands()[0].words[4:]) == {"q", "other"}


def test_keeping_costs_microseconds_a_job_however_many_are_kept() -> None:
    said = Acknowledged(Calls(b"", None))
    jobs = [Job("id", "q", b"x" * 200)]

    def seconds() -> float:
        begun = time.thread_time()
        for _ in range(10_000):
            said.sent(jobs)
        return (time.thread_time() - begun) / 10_000

    assert min(seconds() for _ in range(5)) < 10 * MICROSECOND  # 0.5 on a quiet machine
