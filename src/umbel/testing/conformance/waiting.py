"""What a broker guarantees about waiting: nobody sleeps while there is work, and nobody who goes away takes any."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial

from umbel.contracts.broker import Broker, Ended, Settlement
from umbel.contracts.capabilities import Power
from umbel.model.job import Counts, Delivery, Job
from umbel.testing.conformance.eventually import soon
from umbel.testing.conformance.stage import OTHER, QUEUE, BrokerStage, ids

PROMPT_SECONDS = 25.0
"""Before it any receiver is woken, however busy the machine; one that was forgotten looks again no sooner."""
SETTLING_SECONDS = 0.1
"""How long a test lets a receiver fall asleep; it passes as well when the receiver is not asleep yet."""


class WaitingStage(BrokerStage):
    """Wake-ups, on the real clock. A receiver may answer an empty list early, so each asks again as a worker does."""

    def real_time(self) -> None:
        """Use a client whose clock runs."""
        self.broker = self.through(self.client(time.time))

    async def wait_for(self, session: str, count: int = 1, queues: Sequence[str] = (QUEUE,)) -> list[Delivery]:
        """Receive until *count* jobs are here, one at a time."""
        received: list[Delivery] = []
        while len(received) < count:
            received += await self.broker.receive(session, queues, 1, wait=30)
        return received

    async def woken_by(self, act: Callable[[], Awaitable[object]], session: str | None = None) -> Delivery:
        """What a sleeping receiver gets, promptly, after *act*."""
        waiting = asyncio.create_task(self.wait_for(session or await self.open()))
        await asyncio.sleep(SETTLING_SECONDS)
        await act()
        return (await soon(waiting, PROMPT_SECONDS))[0]


class WaitingConformance(WaitingStage):
    """Wake-ups by what is sent or comes back."""

    async def test_a_receiver_that_waits_is_woken_by_a_send(self) -> None:
        self.real_time()
        assert (await self.woken_by(lambda: self.send("job"))).id == "job"

    async def test_a_receiver_that_waits_is_woken_by_a_send_of_another_client(self) -> None:
        self.real_time()
        other = self.client(time.time)
        assert (await self.woken_by(lambda: other.asend([Job("job", QUEUE, b"1")]))).id == "job"

    async def test_a_receiver_that_waits_is_woken_by_a_sync_send_in_a_thread(self) -> None:
        self.real_time()
        delivery = await self.woken_by(lambda: asyncio.to_thread(self.broker.send, [Job("job", QUEUE, b"1")]))
        assert delivery.id == "job"

    async def test_every_sleep_is_ended_by_its_own_send(self) -> None:
        self.real_time()
        session = await self.open()
        for number in range(5):
            assert (await self.woken_by(partial(self.send, str(number)), session)).id == str(number)

    async def test_a_receiver_that_waits_is_woken_on_each_of_its_queues(self) -> None:
        self.real_time()
        session = await self.open(QUEUE, OTHER)
        for queue in (OTHER, QUEUE):
            waiting = asyncio.create_task(self.wait_for(session, 1, (QUEUE, OTHER)))
            await asyncio.sleep(SETTLING_SECONDS)
            await self.send(f"in-{queue}", queue=queue)
            assert ids(await soon(waiting, PROMPT_SECONDS)) == [f"in-{queue}"]

    async def test_a_wait_without_work_ends_in_time_with_an_empty_list(self) -> None:
        self.real_time()
        session = await self.open()
        begun = time.monotonic()
        assert await soon(self.broker.receive(session, [QUEUE], 1, wait=0.2)) == []
        assert time.monotonic() - begun < 0.2 + PROMPT_SECONDS

    async def test_no_wait_means_no_wait(self) -> None:
        self.real_time()
        session = await self.open()
        await self.send("later", delay=10.0)
        assert await soon(self.broker.receive(session, [QUEUE], 1, wait=0), PROMPT_SECONDS) == []

    async def test_a_receiver_that_waits_is_woken_by_a_release(self) -> None:
        self.real_time()
        session, delivery = await self.started()
        assert (await self.woken_by(lambda: self.settle(session, Settlement(delivery, "release")))).id == "job"

    async def test_a_receiver_that_waits_is_woken_by_a_follow_up(self) -> None:
        self.real_time()
        session, delivery = await self.started()
        end = Settlement(delivery, "end", follow_ups=(Job("next", QUEUE, b"1"),))
        assert (await self.woken_by(lambda: self.settle(session, end))).id == "next"

    async def test_a_receiver_that_waits_is_woken_by_an_unparked_job(self) -> None:
        self.real_time()
        session, delivery = await self.started()
        await self.settle(session, Settlement(delivery, "park", task="unknown"))
        assert (await self.woken_by(lambda: self.broker.unpark([QUEUE], ["unknown"]))).id == "job"

    # --- several receivers

    async def test_two_sleepers_and_two_sends_serve_both(self) -> None:
        self.real_time()
        waiting = [asyncio.create_task(self.wait_for(await self.open())) for _ in range(2)]
        await asyncio.sleep(SETTLING_SECONDS)
        await self.send("1")
        await self.send("2")
        received = await soon(asyncio.gather(*waiting), PROMPT_SECONDS)
        assert sorted(each.id for batch in received for each in batch) == ["1", "2"]

    async def test_two_sleepers_and_one_batch_serve_both(self) -> None:
        self.real_time()
        waiting = [asyncio.create_task(self.wait_for(await self.open())) for _ in range(2)]
        await asyncio.sleep(SETTLING_SECONDS)
        await self.send("1", "2")
        received = await soon(asyncio.gather(*waiting), PROMPT_SECONDS)
        assert sorted(each.id for batch in received for each in batch) == ["1", "2"]

    async def test_many_clients_sleep_and_none_oversleeps(self) -> None:
        self.real_time()
        clients = [self.client(time.time) for _ in range(6)]
        waiting = [asyncio.create_task(_first(each, await self.open(broker=each))) for each in clients]
        await asyncio.sleep(SETTLING_SECONDS)
        await self.send(*"123456")
        received = await soon(asyncio.gather(*waiting), PROMPT_SECONDS)
        assert sorted(each.id for each in received) == list("123456")

    async def test_a_cancelled_wait_loses_no_job(self) -> None:
        self.real_time()
        session = await self.open()
        for number in range(5):
            await self.cancelled(session)
            await self.send(str(number))
            assert ids(await soon(self.wait_for(session), PROMPT_SECONDS)) == [str(number)]

    async def test_a_receiver_that_was_cancelled_takes_no_wake_up_with_it(self) -> None:
        self.real_time()
        sleeper = asyncio.create_task(self.wait_for(await self.open()))
        leaver = await self.open()
        await self.cancelled(leaver)
        await self.send("job")
        assert ids(await soon(sleeper, PROMPT_SECONDS)) == ["job"]

    async def cancelled(self, session: str) -> None:
        """Begin to wait and give up."""
        waiting = asyncio.create_task(self.broker.receive(session, [QUEUE], 1, wait=30))
        await asyncio.sleep(SETTLING_SECONDS / 2)
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting


class DueWaitingConformance(WaitingStage):
    """Wake-ups at due times, to the millisecond."""

    power = Power.EXACT_DELAYS

    async def test_a_receiver_wakes_when_a_delayed_job_is_due(self) -> None:
        self.real_time()
        session = await self.open()
        due = time.monotonic() + 0.3
        await self.send("job", delay=0.3)
        deliveries = await soon(self.wait_for(session), 0.3 + PROMPT_SECONDS)
        assert ids(deliveries) == ["job"]
        assert time.monotonic() >= due - 0.05

    async def test_a_receiver_that_waits_hears_of_a_delayed_job_that_is_sent(self) -> None:
        self.real_time()
        waiting = asyncio.create_task(self.wait_for(await self.open()))
        await asyncio.sleep(SETTLING_SECONDS)
        await self.send("job", delay=0.3)
        assert ids(await soon(waiting, 0.3 + PROMPT_SECONDS)) == ["job"]

    async def test_a_receiver_that_waits_hears_of_an_earlier_due_time(self) -> None:
        self.real_time()
        session = await self.open()
        await self.send("late", delay=60.0)
        waiting = asyncio.create_task(self.wait_for(session))
        await asyncio.sleep(SETTLING_SECONDS)
        await self.send("early", delay=0.3)
        assert ids(await soon(waiting, 0.3 + PROMPT_SECONDS)) == ["early"]

    async def test_a_receiver_that_waits_hears_of_a_retry(self) -> None:
        self.real_time()
        session, delivery = await self.started()
        retry = Settlement(delivery, "retry", delay=0.2, counts=Counts(retries=1))
        assert (await self.woken_by(lambda: self.settle(session, retry))).counts.retries == 1

    async def test_two_sleepers_and_two_due_times_serve_both(self) -> None:
        self.real_time()
        waiting = [asyncio.create_task(self.wait_for(await self.open())) for _ in range(2)]
        await asyncio.sleep(SETTLING_SECONDS)
        await self.send("1", delay=0.2)
        await self.send("2", delay=0.4)
        received = await soon(asyncio.gather(*waiting), 0.4 + PROMPT_SECONDS)
        assert sorted(each.id for batch in received for each in batch) == ["1", "2"]


class ReturnWaitingConformance(WaitingStage):
    """Wake-ups by what comes back from another session."""

    power = Power.LEASES

    async def test_a_receiver_that_waits_is_woken_by_the_jobs_of_an_ended_session(self) -> None:
        self.real_time()
        session, _ = await self.started()
        assert (await self.woken_by(lambda: self.reclaim(Ended(session)))).id == "job"

    async def test_a_receiver_that_waits_is_woken_by_a_reconcile(self) -> None:
        self.real_time()
        session, _ = await self.started()
        assert (await self.woken_by(lambda: self.broker.reconcile(session, [QUEUE], []))).id == "job"

    async def test_a_receive_cancelled_beside_a_send_loses_no_job(self) -> None:
        self.real_time()
        session = await self.open()
        for number in range(10):
            waiting = asyncio.create_task(self.broker.receive(session, [QUEUE], 1, wait=30))
            await asyncio.sleep(0.001 * number)
            sending = asyncio.create_task(self.send(str(number)))
            await asyncio.sleep(0)
            waiting.cancel()
            held: list[Delivery] = []
            with suppress(asyncio.CancelledError):
                held = await waiting
            await sending
            await self.broker.reconcile(session, [QUEUE], held)
            held = held or await soon(self.wait_for(session), PROMPT_SECONDS)
            assert ids(held) == [str(number)]
            assert await self.end(session, *held) == [True]


async def _first(broker: Broker, session: str) -> Delivery:
    while True:
        for delivery in await broker.receive(session, [QUEUE], 1, wait=30):
            return delivery
