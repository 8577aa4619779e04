"""Hosts whose clocks differ: what they say is on the engine's clock, and a wait is one of one clock."""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec
import pytest

from tests.unit.execution.stage import Stage
from umbel.aligning import aligned, look
from umbel.brokers.memory import MemoryBroker
from umbel.clock import Clock, clock
from umbel.engines.memory import Space
from umbel.execution.executor import Finished, Run
from umbel.model.event import Batch, Event, Runs, Sends, Tally
from umbel.model.flow import Part
from umbel.model.job import Counts
from umbel.model.outcome import Succeeded
from umbel.retelling import read
from umbel.wire.envelope import Envelope, decode, encode
from umbel.wire.events import encode as encoded
from umbel.wire.events import pack

HOUR = 3_600.0
ELSEWHERE = "redis://elsewhere"
NEAR = 60.0


@pytest.fixture(autouse=True)
def agreed() -> Iterator[None]:
    yield
    clock.ahead = 0.0


def add() -> None:
    return None


def created(stage: Stage) -> Envelope:
    """What a call sends now."""
    return decode(stage.delivery(stage.task(add, asynchronous=False), expires=30).envelope)


def wait(stage: Stage, run: Run) -> float:
    """How long *run* has waited that ends now and took no time."""
    stage.executor.watched = True
    return stage.executor.finished(run, Succeeded(b"\xc0", 0.0)).wait


@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
def test_an_engine_elsewhere_tells_its_time(ahead: float) -> None:
    look(MemoryBroker(Space(), clock=lambda: time.time() + ahead), ELSEWHERE)
    assert clock.ahead == pytest.approx(ahead, abs=NEAR)
    assert clock.now() == pytest.approx(time.time() + ahead, abs=NEAR)


def test_nothing_changes_where_clocks_agree_or_there_is_but_one(monkeypatch: pytest.MonkeyPatch) -> None:
    look(MemoryBroker(Space(), clock=lambda: time.time() + 0.5), ELSEWHERE)
    assert clock.ahead == 0.0
    look(MemoryBroker(Space(), clock=lambda: time.time() + HOUR), "memory://test")
    assert clock.ahead == 0.0
    broken = MemoryBroker(Space())
    monkeypatch.setattr(broken.schedule_store, "read", _away)
    look(broken, ELSEWHERE)
    look(object(), ELSEWHERE)
    assert clock.ahead == 0.0


def test_an_answer_that_took_long_teaches_nothing_and_a_clock_that_was_set_right_is_trusted_again() -> None:
    learning = Clock()
    learning.learn(0.0, 100.0, 9.0)
    assert learning.ahead == 0.0
    learning.learn(10.0, 110.1, 10.2)
    assert learning.ahead == pytest.approx(100.0)
    learning.learn(10.0, 110.1, 19.0)
    assert learning.ahead == pytest.approx(100.0)
    learning.learn(110.0, 110.1, 110.2)
    assert learning.ahead == 0.0


def test_a_job_is_made_and_expires_on_the_clock_of_the_engine() -> None:
    clock.ahead = HOUR
    stage = Stage()
    made = created(stage)
    assert made.created == pytest.approx(time.time() + HOUR, abs=NEAR)
    assert made.expires == pytest.approx(made.created + 30, abs=5)
    delivery = stage.delivery(stage.app.tasks["add"], expires=30)
    assert isinstance(stage.executor.prepare(delivery, time.time()), Run)
    clock.ahead = 2 * HOUR  # of a host that is two hours behind, where it looks as if there were time
    assert isinstance(stage.executor.prepare(delivery, time.time() - HOUR + 60), Finished)


def test_a_wait_is_right_whose_host_is_wrong_once_the_engine_has_told_its_time() -> None:
    stage = Stage()
    task = stage.task(add, asynchronous=False)
    clock.ahead = HOUR  # of the host that sends, which is an hour behind
    run = stage.prepared(task)
    assert 0.0 <= wait(stage, run) < NEAR  # on a host that is as wrong, and knows it
    clock.ahead = 0.0
    assert wait(stage, run) == -1.0  # on one that does not know: it cannot have begun before it was sent
    late = msgspec.structs.replace(run, envelope=msgspec.structs.replace(run.envelope, created=time.time() - HOUR))
    assert wait(stage, late) == pytest.approx(HOUR, abs=NEAR)
    clock.ahead = -HOUR  # of the host that runs it, which is an hour ahead of the one that has sent it
    assert 0.0 <= wait(stage, late) < NEAR


def test_a_job_that_follows_in_a_flow_has_waited_since_its_node_opened_whatever_clocks_say() -> None:
    stage = Stage()
    run = stage.prepared(stage.task(add, asynchronous=False))
    follows = msgspec.structs.replace(run.envelope, part=Part("f", "q", 2, 0, ()), created=time.time() + HOUR)
    unknown = msgspec.structs.replace(run, envelope=follows)
    assert wait(stage, unknown) == -1.0
    known = msgspec.structs.replace(unknown, due=time.time() - 5.0)
    clock.ahead = HOUR
    assert 5.0 <= wait(stage, known) < NEAR
    again = msgspec.structs.replace(known.delivery, counts=Counts(retries=1))
    assert wait(stage, msgspec.structs.replace(known, delivery=again)) == -1.0  # no first run


def test_all_moments_of_a_batch_are_on_the_clock_of_the_engine() -> None:
    packed = msgspec.Raw(pack([("ran", 10.0, 0.5, 0.25, b"\x07")]))
    sends = Sends("t", "q", (), [("sent", 11.0, 0, encode(Envelope("t", created=1.0)))])
    batch = Batch(
        "s", 1, 12.0, (Event("task-failed", 13.0, "f"),), (Tally("t", "q", 14.0),),
        runs=(Runs("t", "q", packed),), sends=(sends,),  # type: ignore[arg-type]
    )  # fmt: skip
    found = read(encoded(aligned(batch, HOUR)))
    assert {event.id: event.at - HOUR for event in found.events} == {"ran": 10.0, "sent": 11.0, "f": 13.0}
    assert (found.at - HOUR, found.tallies[0].at - HOUR) == (12.0, 14.0)


def _away(since: int) -> object:
    raise TimeoutError(since)
