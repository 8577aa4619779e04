from __future__ import annotations

import asyncio
import gc
import threading

import pytest

from umbel import brokers, stores
from umbel.contracts.broker import Beat, Broker, Settlement
from umbel.contracts.powers import Inspector, Record, ResultStore
from umbel.engines.memory import Bell, Ear, Space, space
from umbel.exceptions import ImproperlyConfigured
from umbel.model.job import Job
from umbel.settings import Settings
from umbel.testing import Clock


def test_one_address_is_one_space() -> None:
    assert space("memory://") is space("memory://")
    assert space("memory://one") is space("memory://one")
    assert space("memory://one") is not space("memory://two")
    assert space("memory:") is space("memory://")


@pytest.mark.parametrize("url", ["memory://a/b", "memory://a?b=c", "memory:///a", "redis://host", "memory"])
def test_a_wrong_address_is_refused(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="use memory:// or memory://name"):
        space(url)


def test_the_engine_has_all_powers() -> None:
    broker, store = (each("memory://powers", Settings()) for each in (brokers.connect, stores.connect))
    assert isinstance(broker, Broker)
    assert isinstance(broker, Inspector)
    assert isinstance(store, ResultStore)


async def test_a_broker_and_a_store_of_one_address_share_records() -> None:
    broker = brokers.connect("memory://shared", Settings())
    store = stores.connect("memory://shared", Settings())
    broker.send([Job("job", "queue", b"")])
    await broker.heartbeat([Beat("session")], ["queue"], 10.0, opening=True)
    (delivery,) = await broker.receive("session", ["queue"], 1, wait=0)
    await broker.settle("session", [Settlement(delivery, "end", b"record", 60.0)])
    assert store.fetch("job", None) == b"record"


def test_a_bell_wakes_everybody_once() -> None:
    bell, woken = Bell(), list[str]()
    bell.join(["a", "b"], lambda: woken.append("first"))
    bell.join(["a"], lambda: woken.append("second"))
    bell.ring("a")
    bell.ring("a")
    assert sorted(woken) == ["first", "second"]
    bell.ring("b")
    assert sorted(woken) == ["first", "first", "second"]


def test_whoever_left_is_not_woken_and_leaves_nothing() -> None:
    bell, woken = Bell(), list[str]()
    wake = lambda: woken.append("late")  # noqa: E731 - the same object twice
    bell.join(["a", "b"], wake)
    bell.leave(["a", "b", "c"], wake)
    bell.ring("a")
    assert woken == []
    assert not bell.waiting


async def test_an_ear_is_woken_from_another_thread() -> None:
    ear = Ear()
    threading.Thread(target=ear.wake).start()
    async with asyncio.timeout(30):
        await ear.wait(None)


async def test_an_ear_waits_no_longer_than_asked() -> None:
    async with asyncio.timeout(30):
        await Ear().wait(0.01)


def test_an_ear_whose_loop_is_gone_disturbs_nobody() -> None:
    async def leave() -> Ear:
        return Ear()

    asyncio.run(leave()).wake()
    gc.collect()


def test_expired_records_are_removed_by_later_ones() -> None:
    clock, here = Clock(), Space()
    for number in range(100):
        here.keep(str(number), b"record", 1.0, clock())
        clock.advance(1)
    assert len(here.records) == 1


def test_a_record_that_was_forgotten_and_stored_again_lives_its_own_time() -> None:
    here = Space()
    here.keep("job", b"first", 10.0, 0.0)
    del here.records["job"]
    here.keep("job", b"second", 100.0, 1.0)
    here.keep("other", b"", 10.0, 50.0)
    assert here.record("job", 50.0) == b"second"


def test_a_record_ends_the_claim_on_it() -> None:
    here = Space()
    here.claims["job"] = ("owner", 100.0)
    here.keep("job", b"record", 10.0, 0.0)
    assert not here.claims


async def test_a_cancelled_wait_leaves_nothing_behind() -> None:
    here = space("memory://cancelled")
    broker, store = brokers.connect("memory://cancelled", Settings()), stores.connect("memory://cancelled", Settings())
    await broker.heartbeat([Beat("session")], ["queue"], 10.0, opening=True)
    receiving = asyncio.create_task(broker.receive("session", ["queue"], 1, wait=30))
    watching = asyncio.create_task(store.awatch("job", None, 30.0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert here.work.waiting
    assert here.news.waiting
    receiving.cancel()
    watching.cancel()
    await asyncio.wait([receiving, watching])
    assert not here.work.waiting
    assert not here.news.waiting


async def test_inspecting_makes_no_queue() -> None:
    broker = brokers.connect("memory://inspected", Settings())
    assert isinstance(broker, Inspector)
    await broker.counts(["queue"])
    await broker.sessions(["queue"])
    broker.locate("job", "queue")
    assert await broker.queues() == []


async def test_a_claim_that_nobody_used_expires() -> None:
    store = stores.connect("memory://claims", Settings())
    await store.claim([Record("job", "queue", b"", 0.0, "first")])
    assert await store.put([Record("job", "queue", b"record", 60.0, "second")]) == [True]
