"""What happens to calls when Redis goes away, comes back, freezes or forgets, and who shares connections with whom."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.patient import PATIENT, UNREACHED, at_last
from tests.servers import Redis, Server, Service
from tests.servers.redis import command
from umbel.brokers.redis import RedisBroker
from umbel.contracts.broker import Beat, Settlement
from umbel.contracts.powers import Record
from umbel.engines.redis import Engine
from umbel.engines.redis_address import parse
from umbel.engines.redis_command import Command, Word
from umbel.exceptions import BrokerError, BrokerUnavailable
from umbel.model.ids import new_id
from umbel.model.job import Counts, Delivery, Job
from umbel.settings import Settings
from umbel.stores.redis import RedisResultStore
from umbel.testing.conformance.eventually import eventually, soon
from umbel.testing.conformance.results import PROMPT_SECONDS

QUEUE = "q"
HASTY = Settings(broker_send_deadline=0.5, broker_connection_timeout=0.4)
TWICE_THE_DEFAULT = 9.5
"""Seconds: two calls with the deadline that nobody has set would take longer."""


class Operator:
    """Somebody else at the server."""

    def __init__(self, url: str) -> None:
        self._engine = Engine(parse(url + "?client_name=operator", timeout=30.0, connect_timeout=30.0), 30.0)

    def do(self, *words: Word) -> Any:
        return self._engine.call([Command(words)])[0]

    def clients(self) -> int:
        """How many connections the code under test has."""
        return sum(b"name=umbel" in line for line in self.do("CLIENT", "LIST").splitlines())

    def blocked(self) -> bool:
        """Whether a command waits for the end of a pause."""
        return b"blocked_clients:0" not in self.do("INFO", "clients")

    def close(self) -> None:
        self._engine.close()


@pytest.fixture
def operator(redis_url: str) -> Iterator[Operator]:
    operator = Operator(redis_url)
    yield operator
    operator.do("CLIENT", "UNPAUSE")
    operator.close()


@pytest.fixture
async def broker(redis_url: str) -> AsyncIterator[RedisBroker]:
    broker = RedisBroker(redis_url, PATIENT)
    yield broker
    await broker.aclose()
    broker.close()


def job() -> Job:
    return Job(new_id(), QUEUE, b"envelope")


async def ready(broker: RedisBroker) -> int:
    return (await broker.counts([QUEUE]))[0].ready


# --- no server


async def test_without_a_server_a_send_fails_within_its_deadline_and_names_the_url_without_its_password() -> None:
    broker = RedisBroker("redis://user:secret@127.0.0.1:1/0", HASTY)
    begun = time.monotonic()
    with pytest.raises(BrokerUnavailable, match=r"redis://user:\*\*\*@127\.0\.0\.1:1/0") as failed:
        broker.send([job()])
    with pytest.raises(BrokerUnavailable, match=UNREACHED):
        await broker.asend([job()])
    assert 0.9 < time.monotonic() - begun < TWICE_THE_DEFAULT
    assert isinstance(failed.value.__cause__, OSError)


async def test_a_frozen_server_holds_nobody_beyond_the_deadline(launch: Callable[[Service], Server]) -> None:
    server = launch(Redis())
    broker = RedisBroker(server.url, HASTY)
    await soon(at_last(lambda: asyncio.to_thread(broker.send, [job()])))
    await soon(at_last(lambda: broker.asend([job()])))
    server.pause()
    begun = time.monotonic()
    with pytest.raises(BrokerUnavailable):
        await asyncio.to_thread(broker.send, [job()])
    with pytest.raises(BrokerUnavailable):
        await broker.asend([job()])
    assert time.monotonic() - begun < TWICE_THE_DEFAULT
    server.resume()
    await soon(at_last(lambda: broker.asend([job()])))
    await soon(at_last(lambda: asyncio.to_thread(broker.send, [job()])))
    await broker.aclose()
    broker.close()


async def test_after_a_restart_the_next_call_finds_the_server_again(launch: Callable[[Service], Server]) -> None:
    server = launch(Redis(appendonly="always"))
    broker = RedisBroker(server.url, PATIENT)
    for _ in range(2):
        broker.send([job()])
        await broker.asend([job()])
        server.kill()
        server.start()
    assert await ready(broker) == 4
    await broker.aclose()
    broker.close()


async def test_a_server_that_comes_back_within_the_deadline_was_never_away(launch: Callable[[Service], Server]) -> None:
    server = launch(Redis())
    broker = RedisBroker(server.url, PATIENT)
    server.kill()
    sending = [asyncio.create_task(broker.asend([job()])), asyncio.create_task(asyncio.to_thread(broker.send, [job()]))]
    await asyncio.sleep(0.3)  # into the pauses between their tries
    await asyncio.to_thread(server.start)
    await soon(asyncio.gather(*sending))
    assert await ready(broker) == 2
    await broker.aclose()
    broker.close()


async def test_a_password_that_is_wrong_is_said_at_once(launch: Callable[[Service], Server]) -> None:
    server = launch(Redis())
    operator = Operator(server.url)
    operator.do("ACL", "SETUSER", "worker", "on", ">right", "~*", "&*", "+@all")
    operator.do("ACL", "SETUSER", "default", "resetpass", ">other")
    for user in ("worker:wrong@", "worker:@", ""):
        broker = RedisBroker(server.url.replace("127", f"{user}127", 1), PATIENT)
        with pytest.raises(BrokerError, match=r"WRONGPASS|NOAUTH") as failed:
            broker.send([job()])
        assert not isinstance(failed.value, BrokerUnavailable)
        with pytest.raises(BrokerError, match=r"WRONGPASS|NOAUTH"):
            await broker.asend([job()])
        await broker.aclose()
    operator.close()
    broker = RedisBroker(server.url.replace("127", "worker:right@127", 1), PATIENT)
    broker.send([job()])
    broker.close()


async def test_a_unix_socket_will_do(launch: Callable[[Service], Server], tmp_path: Path) -> None:
    launch(Redis(config=(f"unixsocket {tmp_path}/redis.sock",)))
    broker = RedisBroker(f"redis+socket://{tmp_path}/redis.sock?db=3", PATIENT)
    broker.send([job()])
    await broker.asend([job()])
    assert await ready(broker) == 2
    await broker.aclose()
    broker.close()


# --- lost connections


async def test_a_lost_connection_is_replaced_unseen(broker: RedisBroker, operator: Operator) -> None:
    for _ in range(3):
        broker.send([job()])
        await broker.asend([job()])
        operator.do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert await ready(broker) == 6


async def test_a_receive_without_an_answer_is_not_asked_again(broker: RedisBroker, operator: Operator) -> None:
    broker.send([job()])
    await broker.heartbeat([Beat("s")], [QUEUE], 60.0, opening=True)
    operator.do("CLIENT", "PAUSE", 60_000, "WRITE")
    receiving = asyncio.create_task(broker.receive("s", [QUEUE], 1, wait=0))
    await eventually(operator.blocked)
    operator.do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    with pytest.raises(BrokerUnavailable, match="gave no answer"):
        await soon(receiving)
    operator.do("CLIENT", "UNPAUSE")
    await broker.reconcile("s", [QUEUE], [])
    assert len(await broker.receive("s", [QUEUE], 1, wait=0)) == 1


async def test_a_send_without_an_answer_is_repeated(broker: RedisBroker, operator: Operator) -> None:
    broker.send([job()])
    operator.do("CLIENT", "PAUSE", 60_000, "WRITE")
    sending = asyncio.create_task(broker.asend([job()]))
    await eventually(operator.blocked)
    operator.do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    operator.do("CLIENT", "UNPAUSE")
    await soon(sending)
    assert await ready(broker) == 2


async def test_the_answer_to_a_cancelled_call_is_given_to_nobody_else(broker: RedisBroker, operator: Operator) -> None:
    await broker.asend([job()])
    operator.do("CLIENT", "PAUSE", 60_000, "WRITE")
    cancelled = asyncio.create_task(broker.asend([job(), job()]))
    await eventually(operator.blocked)
    cancelled.cancel()
    asking = asyncio.create_task(broker.counts([QUEUE]))
    await asyncio.sleep(0)
    operator.do("CLIENT", "UNPAUSE")
    assert [each.queue for each in await soon(asking)] == [QUEUE]
    assert await broker.queues() == [QUEUE]
    assert cancelled.cancelled()


async def test_a_wait_that_is_cancelled_gives_up_its_connection(broker: RedisBroker, operator: Operator) -> None:
    await broker.heartbeat([Beat("s")], [QUEUE], 60.0, opening=True)
    waiting = asyncio.create_task(broker.receive("s", [QUEUE], 1, wait=60))
    await eventually(lambda: operator.clients() == 2)
    waiting.cancel()
    await eventually(lambda: operator.clients() == 1)
    await broker.asend([job()])
    assert len(await soon(broker.receive("s", [QUEUE], 1, wait=30))) == 1


async def test_a_wait_for_a_record_outlives_its_connection(redis_url: str, operator: Operator) -> None:
    store = RedisResultStore(redis_url, PATIENT)
    waiting = [
        asyncio.create_task(store.awatch("id", QUEUE, 60.0)),
        asyncio.create_task(asyncio.to_thread(store.watch, "id", QUEUE, 60.0)),
    ]
    for _ in range(2):
        await eventually(lambda: b"umbel:0:e:id" in operator.do("PUBSUB", "CHANNELS"))
        operator.do("CLIENT", "KILL", "TYPE", "pubsub")
    await eventually(lambda: operator.clients() == 2)
    operator.do("SET", "umbel:{q}:r:id", "record")
    operator.do("PUBLISH", "umbel:0:e:id", "record")
    assert await soon(asyncio.gather(*waiting), PROMPT_SECONDS) == [b"record"] * 2
    await store.aclose()
    store.close()


async def test_a_record_of_another_database_wakes_nobody(redis_url: str) -> None:
    store, other = RedisResultStore(redis_url, PATIENT), RedisResultStore(redis_url[:-1] + "1", PATIENT)
    waiting = asyncio.create_task(store.awatch("id", QUEUE, 0.3))
    await asyncio.sleep(0.1)
    await other.put([Record("id", QUEUE, b"foreign", 60.0)])
    assert await waiting is None
    for each in (store, other):
        await each.aclose()
        each.close()


# --- scripts


async def test_a_server_that_forgot_the_scripts_is_given_them_again(broker: RedisBroker, operator: Operator) -> None:
    for _ in range(2):
        broker.send([job() for _ in range(1200)])
        operator.do("SCRIPT", "FLUSH")
        await broker.asend([job() for _ in range(1200)])
        operator.do("SCRIPT", "FLUSH")
    assert await ready(broker) == 4800


# --- who shares what


async def test_threads_share_a_broker_and_close_gives_all_back(broker: RedisBroker, operator: Operator) -> None:
    def work() -> None:
        for _ in range(50):
            broker.send([job()])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert await ready(broker) == 400
    assert operator.clients() <= 9
    broker.close()
    await broker.aclose()
    await eventually(lambda: operator.clients() == 0)
    broker.send([job()])


def test_each_event_loop_has_a_connection_of_its_own(redis_url: str) -> None:
    broker = RedisBroker(redis_url, PATIENT)

    async def work() -> int:
        await asyncio.gather(*(broker.asend([job()]) for _ in range(20)))
        count = await ready(broker)
        await broker.aclose()
        return count

    assert [asyncio.run(work()) for _ in range(3)] == [20, 40, 60]


FORKING = """
import os, sys
from umbel.brokers.redis import RedisBroker
from umbel.model.ids import new_id
from umbel.model.job import Counts, Job
from umbel.settings import Settings

broker = RedisBroker(sys.argv[1], Settings())
broker.send([Job(new_id(), "q", b"envelope")])
child = os.fork()
for _ in range(100):
    broker.send([Job(new_id(), "q", b"envelope")])
sys.exit(os.waitpid(child, 0)[1] if child else 0)
"""


def test_a_forked_child_uses_no_connection_of_its_parent(redis_url: str, operator: Operator) -> None:
    # In a process of its own, because this one may have threads.
    subprocess.run([sys.executable, "-W", "error", "-c", FORKING, redis_url], check=True, timeout=120)
    assert operator.do("HLEN", "umbel:{q}:jobs") == 201


async def test_a_call_about_no_queue_has_an_answer(broker: RedisBroker) -> None:
    assert await soon(broker.counts([])) == []
    assert (await soon(broker.reclaim([], 10.0))).returned == 0
    await soon(broker.asend([]))
    broker.send([])


# --- a server that forgot


async def test_what_a_server_acknowledged_and_lost_in_a_restart_is_sent_again(
    launch: Callable[[Service], Server],
) -> None:
    server = launch(Redis())  # it keeps nothing: a restart loses all that it has acknowledged
    broker = RedisBroker(server.url, PATIENT)
    for _ in range(3):
        broker.send([job()])
        await broker.asend([job(), Job(new_id(), "other", b"envelope", delay=60.0)])
    server.kill()
    server.start()
    found = await broker.counts([QUEUE, "other"])
    assert [(each.ready, each.delayed) for each in found] == [(6, 0), (0, 3)]
    assert await broker.queues() == ["other", QUEUE]
    await broker.aclose()
    broker.close()


async def test_verdicts_that_a_server_acknowledged_and_lost_are_carried_out_again_before_anything_else(
    launch: Callable[[Service], Server],
) -> None:
    server = launch(Redis())
    broker, store = RedisBroker(server.url, PATIENT), RedisResultStore(server.url, PATIENT)
    await broker.asend([Job("ended", QUEUE, b"envelope"), Job("retried", QUEUE, b"envelope")])
    await broker.heartbeat([Beat("s")], [QUEUE], 60.0, opening=True)
    ended, retried = await broker.receive("s", [QUEUE], 10, wait=0)
    assert command(server.port, "SAVE") == "+OK"
    verdicts = [Settlement(ended, "end", record=b"record"), Settlement(retried, "retry", counts=Counts(retries=1))]
    assert await broker.settle("s", verdicts) == [True, True]
    server.kill()
    server.start()  # with what it held when it was saved: both jobs are running
    assert await broker.reconcile("s", [QUEUE], []) == 0
    assert await store.afetch("ended", QUEUE) == b"record"
    (again,) = await broker.receive("s", [QUEUE], 10, wait=0)
    assert (again.id, again.counts.retries) == ("retried", 1)
    for each in (broker, store):
        await each.aclose()
        each.close()


async def test_a_server_that_may_not_be_asked_who_it_is_is_served_all_the_same(
    launch: Callable[[Service], Server],
) -> None:
    server = launch(Redis())
    assert command(server.port, "ACL SETUSER default -info") == "+OK"
    broker = RedisBroker(server.url, PATIENT)
    broker.send([job()])
    await broker.asend([job()])
    server.kill()
    server.start()
    broker.send([job()])
    assert await ready(broker) == 1
    await broker.aclose()
    broker.close()


# --- waiting


async def test_a_receiver_that_is_cancelled_with_a_token_in_its_hand_passes_it_on(
    operator: Operator, redis_url: str
) -> None:
    leaver, sleeper = RedisBroker(redis_url, PATIENT), RedisBroker(redis_url, PATIENT)
    pop, popped = leaver._engine.pop, asyncio.Event()

    async def pop_and_stop(keys: Sequence[bytes], seconds: float) -> bytes | None:
        await pop(keys, seconds)
        popped.set()
        await asyncio.Event().wait()
        return None

    leaver._engine.pop = pop_and_stop  # type: ignore[method-assign]
    receiving: list[asyncio.Task[list[Delivery]]] = []
    for number, each in enumerate((leaver, sleeper), 1):
        await each.heartbeat([Beat(str(number))], [QUEUE], 60.0, opening=True)
        receiving.append(asyncio.create_task(each.receive(str(number), [QUEUE], 1, wait=300.0)))
        await eventually(lambda: f"blocked_clients:{number}".encode() in operator.do("INFO", "clients"))  # noqa: B023
    await sleeper.asend([job()])
    await soon(popped.wait())
    receiving[0].cancel()
    assert len(await soon(receiving[1])) == 1
    for each in (leaver, sleeper):
        await each.aclose()
        each.close()
