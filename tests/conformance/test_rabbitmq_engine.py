"""What is particular to RabbitMQ: lost lines, second messages, the ladder of delays, classes, wrong servers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from pamqp import commands

from tests.conformance.rabbitmq_stage import unhurried
from tests.patient import UNREACHED
from tests.servers import Server, reserve
from tests.servers.rabbitmq import Line, sync
from umbel.brokers.rabbitmq import RabbitMQBroker, connect, posts
from umbel.brokers.rabbitmq.posts import Post
from umbel.claims.redis import RedisClaims
from umbel.contracts.broker import Beat, Ended, Settlement
from umbel.contracts.claims import Verdict
from umbel.exceptions import BrokerError, BrokerUnavailable
from umbel.model.ids import new_session
from umbel.model.job import Counts, Delivery, Job
from umbel.settings import Settings
from umbel.testing.conformance.eventually import eventually

QUEUE = "default"
LEASE = 60.0
SECONDS = 30.0


class Rig:
    """Clients of one RabbitMQ and one Redis."""

    def __init__(self, url: str, claims: str) -> None:
        self.settings = Settings()
        self.settings.update(broker_url=url, result_backend=claims, broker_send_deadline=SECONDS)
        self.made: list[RabbitMQBroker] = []
        self.broker = self.client()

    def client(self) -> RabbitMQBroker:
        """One more client."""
        made = connect(self.settings.broker_url, self.settings)
        self.made.append(made)
        return made

    def claims(self) -> RedisClaims:
        """The claims alone."""
        return RedisClaims(self.settings.result_backend, self.settings)

    async def open(self, broker: RabbitMQBroker | None = None) -> str:
        """Open a new session."""
        session = new_session()
        assert await (broker or self.broker).heartbeat([Beat(session)], [QUEUE], LEASE, opening=True) == [True]
        return session

    async def take(
        self, session: str, count: int = 1, broker: RabbitMQBroker | None = None, seconds: float = SECONDS
    ) -> list[Delivery]:
        """Receive until *count* jobs are here, at most for *seconds*."""
        end = time.monotonic() + seconds
        received: list[Delivery] = []
        while len(received) < count and (left := end - time.monotonic()) > 0:
            received += await (broker or self.broker).receive(session, [QUEUE], count - len(received), wait=left)
        return received


@pytest.fixture
async def rig(rabbitmq_url: str, redis_url: str) -> AsyncIterator[Rig]:
    made = Rig(rabbitmq_url, redis_url)
    yield made
    for broker in made.made:
        await broker.aclose()
        broker.close()


def ids(deliveries: list[Delivery]) -> list[str]:
    return [each.id for each in deliveries]


# --- delays and classes


async def test_a_delay_passes_at_rabbitmq_and_no_worker_holds_the_job(rig: Rig) -> None:
    session = await rig.open()
    sent = time.monotonic()
    await rig.broker.asend([Job("job", QUEUE, b"1", delay=2.5), Job("late", QUEUE, b"1", delay=600.0)])
    assert (await rig.broker.counts([QUEUE]))[0].delayed >= 1  # on a busy machine the first may be due already
    assert ids(await rig.take(session)) == ["job"]
    assert time.monotonic() - sent >= 2.5


async def test_an_eta_is_a_delay(rig: Rig) -> None:
    session = await rig.open()
    eta = time.time() + 1.0
    await rig.broker.asend([Job("job", QUEUE, b"1", eta=eta)])
    assert ids(await rig.take(session)) == ["job"]
    assert time.time() > eta - 0.1


async def test_a_retried_job_comes_back_after_its_delay_with_its_counts(rig: Rig) -> None:
    await rig.broker.asend([Job(each, QUEUE, b"old", priority=5) for each in ("job", "late")])
    session = await rig.open()
    first, late = await rig.take(session, 2)
    retry = Settlement(first, "retry", delay=1.0, counts=Counts(retries=2), envelope=b"new")
    assert await rig.broker.settle(session, [retry, Settlement(late, "retry", delay=600.0)]) == [True, True]
    assert (await rig.broker.alocate("late", QUEUE)).place == "delayed"
    (again,) = await rig.take(session)
    assert (again.envelope, again.counts, again.level) == (b"new", Counts(retries=2), 4)


async def test_thirty_days_are_a_delay_like_any_other(rig: Rig) -> None:
    await rig.broker.asend([Job("job", QUEUE, b"1", delay=30 * 86_400.0)])
    assert (await rig.broker.counts([QUEUE]))[0].delayed == 1


async def test_the_four_classes_come_from_the_most_urgent_on(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    unhurried(monkeypatch)
    for priority in (0, 5, 9, 2):
        await rig.broker.asend([Job(str(priority), QUEUE, b"1", priority=priority)])
    assert ids(await rig.take(await rig.open(), 4)) == ["9", "5", "2", "0"]


# --- second messages


async def test_a_job_that_was_sent_twice_runs_once(rig: Rig) -> None:
    for _ in range(2):
        await rig.broker.asend([Job("job", QUEUE, b"1")])
    session = await rig.open()
    deliveries = await rig.take(session)
    assert ids(deliveries) == ["job"]
    assert await rig.take(session, seconds=0.5) == []
    assert await rig.broker.settle(session, [Settlement(deliveries[0], "end")]) == [True]
    assert await rig.take(session, seconds=2.0) == []
    await eventually(lambda: _is_empty(rig))


async def test_a_job_whose_line_was_lost_goes_on_and_ends_once(rig: Rig, rabbitmq_server: Server) -> None:
    await rig.broker.asend([Job("job", QUEUE, b"1")])
    holder, other = rig.client(), rig.client()
    session = await rig.open(holder)
    (delivery,) = await rig.take(session, broker=holder)
    desk = holder._desk
    assert desk is not None
    assert desk.intake._connection is not None
    desk.intake._connection.abort(ConnectionResetError("cut"))
    elsewhere = await rig.open(other)
    assert await rig.take(elsewhere, broker=other, seconds=0.5) == []
    assert await holder.settle(session, [Settlement(delivery, "end", record=b"record", ttl=60.0)]) == [True]
    assert await rig.take(elsewhere, broker=other, seconds=2.0) == []
    await eventually(lambda: _is_empty(rig))


async def test_a_job_of_a_client_that_is_gone_comes_to_another(rig: Rig) -> None:
    await rig.broker.asend([Job("job", QUEUE, b"1")])
    holder, other = rig.client(), rig.client()
    session = await rig.open(holder)
    await rig.take(session, broker=holder)
    await holder.aclose()
    assert (await other.reclaim([QUEUE], LEASE, [Ended(session, ("job",))])).returned == 1
    (again,) = await rig.take(await rig.open(other), broker=other)
    assert (again.counts, again.returned) == (Counts(crashes=1), True)


async def test_what_a_settle_could_not_publish_any_more_is_published_by_the_next(rig: Rig) -> None:
    await rig.broker.asend([Job("job", QUEUE, b"1")])
    holder = rig.client()
    session = await rig.open(holder)
    (delivery,) = await rig.take(session, broker=holder)
    claims = rig.claims()
    parcel = posts.pack([Post("next", QUEUE, 9, envelope=b"2")])
    assert await claims.settle(session, [Verdict(delivery, "end", ttl=60.0, parcel=parcel)]) == [True]
    await claims.aclose()
    await holder.aclose()  # the process ends here, and its message comes back
    (following,) = await rig.take(await rig.open())
    assert (following.id, following.envelope) == ("next", b"2")


async def test_every_job_parked_under_a_name_is_unparked_and_no_other(rig: Rig) -> None:
    names = [f"{number:02}" for number in range(30)]
    await rig.broker.asend([Job(name, QUEUE, b"1") for name in names])
    session = await rig.open()
    parked = await rig.take(session, 30)
    verdicts = [Settlement(each, "park", task="even" if int(each.id) % 2 == 0 else "odd") for each in parked]
    assert await rig.broker.settle(session, verdicts) == [True] * 30
    assert await rig.broker.unpark([QUEUE], ["even", "other"]) == 15
    assert await rig.broker.unpark([QUEUE], ["even"]) == 0
    assert sorted(ids(await rig.take(session, 15))) == names[::2]
    assert await rig.broker.unpark([QUEUE], ["odd"]) == 15
    assert sorted(ids(await rig.take(session, 15))) == names[1::2]


# --- servers


async def test_a_queue_that_was_deleted_is_declared_again(rig: Rig, rabbitmq_server: Server) -> None:
    session = await rig.open()
    assert await rig.take(session, seconds=0.1) == []
    line = Line(rabbitmq_server.port)
    for rank in range(4):
        line.ask(commands.Queue.Delete(queue=f"umbel.{QUEUE}.c{rank}"))
    line.close()
    await rig.broker.asend([Job("job", QUEUE, b"1")])
    assert ids(await rig.take(session)) == ["job"]


async def test_a_queue_with_other_arguments_is_refused_by_name(rig: Rig, rabbitmq_server: Server) -> None:
    line = Line(rabbitmq_server.port)
    line.ask(commands.Queue.Delete(queue=f"umbel.{QUEUE}.c0"))
    line.ask(commands.Queue.Declare(queue=f"umbel.{QUEUE}.c0", durable=True))
    with pytest.raises(BrokerError, match="x-queue-type"):
        await rig.open()
    line.ask(commands.Queue.Delete(queue=f"umbel.{QUEUE}.c0"))
    line.close()


def test_a_port_where_nothing_listens_is_unavailable_within_the_deadline(rig: Rig) -> None:
    port = reserve()
    settings = Settings()
    settings.update(
        broker_url=f"amqp://user:secret@127.0.0.1:{port.port}", result_backend="redis://", broker_send_deadline=0.5
    )
    begun = time.monotonic()
    broker = connect(settings.broker_url, settings)
    for _ in range(2):
        with pytest.raises(BrokerUnavailable, match=UNREACHED) as told:
            broker.send([Job("job", QUEUE, b"1")])
        assert "secret" not in str(told.value)
    broker.close()
    assert time.monotonic() - begun < 9.5  # and not twice the default of 5 s
    port.release()


def test_a_wrong_password_is_refused_and_not_shown(rig: Rig) -> None:
    url = rig.settings.broker_url.replace("guest:guest", "guest:secret")
    broker = connect(url, rig.settings)
    with pytest.raises(BrokerError, match="ACCESS_REFUSED") as told:
        broker.send([Job("job", QUEUE, b"1")])
    broker.close()
    assert not isinstance(told.value, BrokerUnavailable)
    assert "secret" not in str(told.value)


async def test_a_send_goes_on_after_a_restart_and_nothing_was_lost(rig: Rig, rabbitmq_server: Server) -> None:
    rig.settings.update(broker_send_deadline=90.0)  # it greets long before its queues are open
    broker = rig.client()
    await asyncio.to_thread(broker.send, [Job("before", QUEUE, b"1")])
    sync(rabbitmq_server.folder)
    rabbitmq_server.kill()
    rabbitmq_server.start()  # not in a thread of this loop: the server would end with it
    await asyncio.to_thread(broker.send, [Job("after", QUEUE, b"1")])
    assert sorted(ids(await rig.take(await rig.open(broker), 2, broker, seconds=90.0))) == ["after", "before"]


async def _is_empty(rig: Rig) -> bool:
    (counts,) = await rig.broker.counts([QUEUE])
    return counts.ready + counts.delayed + counts.running == 0
