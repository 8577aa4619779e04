"""RabbitMQ without a claim store: what it keeps, it keeps; counts and burial by the messages alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from tests.conformance.rabbitmq_stage import unhurried
from tests.patient import PATIENT
from umbel.brokers.rabbitmq import PlainBroker, connect
from umbel.claims.absent import told
from umbel.contracts.broker import Beat, Settlement
from umbel.engines.amqp_connection import Connection
from umbel.model.ids import new_session
from umbel.model.job import Counts, Delivery, Job
from umbel.testing import CarrierConformance
from umbel.testing.conformance.eventually import eventually

QUEUE = "default"


class TestBroker(CarrierConformance):
    url: str

    @pytest.fixture(autouse=True)
    def _server(self, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.url = rabbitmq_url
        unhurried(monkeypatch)

    def make(self, clock: Callable[[], float]) -> PlainBroker:
        del clock  # nothing is decided by it
        return PlainBroker(self.url, PATIENT)


class Rig:
    """Processes, each with a client and a session of its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.made: list[PlainBroker] = []

    def client(self) -> PlainBroker:
        """One more process."""
        made = connect(self.url, PATIENT)
        assert isinstance(made, PlainBroker)
        self.made.append(made)
        return made


@pytest.fixture
async def rig(rabbitmq_url: str) -> AsyncIterator[Rig]:
    made = Rig(rabbitmq_url)
    yield made
    for broker in made.made:
        await broker.aclose()
        broker.close()


class Process:
    """One process with its session."""

    def __init__(self, broker: PlainBroker) -> None:
        self.broker = broker
        self.session = new_session()

    async def take(self, count: int = 1) -> list[Delivery]:
        """Receive *count* jobs."""
        assert await self.broker.heartbeat([Beat(self.session)], [QUEUE], 10.0) == [True]
        received: list[Delivery] = []

        async def enough() -> bool:
            received.extend(await self.broker.receive(self.session, [QUEUE], count - len(received), wait=0.5))
            return len(received) >= count

        await eventually(enough, 60.0)
        return received

    def die(self) -> None:
        """Lose all connections, as by a SIGKILL."""
        desk = self.broker._desk
        assert desk is not None
        connection = desk.intake._connection
        assert isinstance(connection, Connection)
        connection.abort(ConnectionResetError("killed"))


async def test_a_job_of_a_process_that_died_comes_to_another(rig: Rig) -> None:
    await rig.client().asend([Job("job", QUEUE, b"1")])
    first = Process(rig.client())
    (held,) = await first.take()
    assert (held.counts, held.returned) == (Counts(), False)
    first.die()
    (again,) = await Process(rig.client()).take()
    assert (again.counts, again.returned) == (Counts(), True)
    assert await first.broker.settle(first.session, [Settlement(held, "end")]) == [False]


async def test_a_job_that_kills_its_process_again_and_again_has_three_crashes_and_is_buried(rig: Rig) -> None:
    await rig.client().asend([Job("poison", QUEUE, b"1", priority=4)])
    deaths = 0
    while True:
        process = Process(rig.client())
        (delivery,) = await process.take()
        if delivery.counts.crashes >= 3:
            break
        if delivery.counts.crashes and not await process.broker.mark(process.session, delivery):
            (delivery,) = await process.take()
            assert await process.broker.mark(process.session, delivery)
        process.die()
        deaths += 1
    assert deaths == 4
    assert (delivery.envelope, delivery.level) == (b"1", 5)
    assert await process.broker.settle(process.session, [Settlement(delivery, "dead")]) == [True]
    await eventually(lambda: _counted(process.broker, dead=1), 60.0)


async def test_jobs_that_may_have_killed_a_process_are_handed_out_one_at_a_time(rig: Rig) -> None:
    await rig.client().asend([Job(each, QUEUE, b"1") for each in "ab"])
    for _ in range(2):
        process = Process(rig.client())
        await process.take(2)
        process.die()
    process, other = Process(rig.client()), Process(rig.client())
    (first,) = await process.take()
    assert await process.broker.receive(process.session, [QUEUE], 5, wait=0.3) == []
    (second,) = await other.take()
    assert {first.id, second.id} == {"a", "b"}
    assert first.counts == second.counts == Counts(crashes=1)
    assert not await process.broker.mark(process.session, first)  # published anew, to be run alone
    (marked,) = await process.take()
    assert await process.broker.mark(process.session, marked)
    process.die()
    assert await other.broker.settle(other.session, [Settlement(second, "end")]) == [True]
    (again,) = await other.take()
    assert (again.id, again.counts.crashes) == (first.id, 2)


async def test_a_retried_job_carries_its_counts_in_its_message(rig: Rig) -> None:
    process = Process(rig.client())
    await process.broker.asend([Job("job", QUEUE, b"1")])
    (held,) = await process.take()
    retry = Settlement(held, "retry", counts=Counts(retries=2, crashes=1, losses=1))
    assert await process.broker.settle(process.session, [retry]) == [True]
    (again,) = await Process(rig.client()).take()
    assert again.counts == Counts(retries=2, crashes=1, losses=1)


async def test_what_nobody_took_goes_back_as_often_as_it_likes_and_is_charged_nothing(rig: Rig) -> None:
    await rig.client().asend([Job("job", QUEUE, b"1")])
    for _ in range(4):
        process = Process(rig.client())
        (held,) = await process.take()
        assert held.counts == Counts()
        assert await process.broker.settle(process.session, [Settlement(held, "release")]) == [True]
        await process.broker.aclose()


async def test_what_went_back_a_moment_ago_is_found_before_what_is_less_urgent(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    unhurried(monkeypatch, 20.0)
    process = Process(rig.client())
    for _ in range(40):
        await process.broker.asend([Job("urgent", QUEUE, b"1", priority=9), Job("plain", QUEUE, b"1")])
        held = await process.take(2)
        await process.broker.settle(process.session, [Settlement(each, "release") for each in held])
        # What goes back a second time is published anew, beside everything else: its place is not kept.
        again = await process.take(2)
        assert [each.id for each in again] == ["urgent", "plain"]
        await process.broker.settle(process.session, [Settlement(each, "end") for each in again])


async def test_it_says_at_the_start_what_is_not_kept(rig: Rig) -> None:
    (finding,) = [each for each in await rig.client().examine() if each.name == "claims: kept"]
    assert "may run twice" in finding.advice
    assert "set result_backend" in finding.advice


@pytest.mark.parametrize(
    ("counts", "deliveries", "crashes"),
    [
        (Counts(), 0, 0),
        (Counts(), 1, 0),
        (Counts(), 2, 1),
        (Counts(), 9, 1),
        (Counts(crashes=2), 2, 2),
        (Counts(crashes=1, marked=True), 0, 1),
        (Counts(crashes=1, marked=True), 2, 3),
    ],
)
def test_deliveries_are_crashes_only_where_nothing_else_can_be_the_cause(
    counts: Counts, deliveries: int, crashes: int
) -> None:
    assert told(counts, deliveries).crashes == crashes


async def _counted(broker: PlainBroker, dead: int = 0) -> bool:
    (counts,) = await broker.counts([QUEUE])
    return (counts.ready, counts.delayed, counts.dead) == (0, 0, dead)
