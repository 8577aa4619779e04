"""What a broker guarantees about settling: one verdict a delivery, only by its holder, and a repeat changes nothing."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from umbel.contracts.broker import Kind, Settlement
from umbel.model.ids import new_session
from umbel.model.job import Counts, Job
from umbel.testing.conformance.stage import OTHER, QUEUE, BrokerStage, body, ids

KINDS: tuple[Kind, ...] = ("end", "dead", "retry", "release", "park")


class SettlingConformance(BrokerStage):
    """Each kind of verdict, the fence, and follow-ups."""

    async def test_an_ended_job_is_gone(self) -> None:
        session, delivery = await self.started()
        assert await self.end(session, delivery) == [True]
        assert await self.take(session) == []
        assert (await self.lapse()).returned == 0

    async def test_a_dead_letter_is_not_handed_out(self) -> None:
        session, delivery = await self.started()
        assert await self.settle(session, Settlement(delivery, "dead")) == [True]
        assert await self.take(session) == []
        assert (await self.lapse()).returned == 0

    async def test_a_retried_job_carries_its_counts(self) -> None:
        session, delivery = await self.started()
        counts = Counts(retries=3, crashes=1, losses=2)
        await self.settle(session, Settlement(delivery, "retry", counts=counts))
        again = await self.take_one(session, "job")
        assert (again.counts, again.returned) == (counts, True)

    async def test_a_retried_job_keeps_its_priority(self) -> None:
        await self.send("job", priority=7)
        session = await self.open()
        delivery = await self.take_one(session, "job")
        await self.settle(session, Settlement(delivery, "retry", counts=Counts(retries=1)))
        assert (await self.take_one(session, "job")).level == 2

    async def test_a_retry_may_replace_the_envelope(self) -> None:
        session, delivery = await self.started()
        await self.settle(session, Settlement(delivery, "retry", counts=Counts(retries=1), envelope=b"replaced"))
        assert (await self.take_one(session, "job")).envelope == b"replaced"

    async def test_counts_of_a_retry_last_through_a_release(self) -> None:
        session, delivery = await self.started()
        await self.settle(session, Settlement(delivery, "retry", counts=Counts(retries=2)))
        await self.settle(session, Settlement(await self.take_one(session, "job"), "release"))
        assert (await self.take_one(session, "job")).counts.retries == 2

    async def test_a_released_job_returns_to_its_own_level(self) -> None:
        await self.send("urgent", priority=9)
        await self.send("plain")
        session = await self.open()
        deliveries = await self.take(session)
        await self.settle(session, *(Settlement(each, "release") for each in reversed(deliveries)))
        assert ids(await self.take(session)) == ["urgent", "plain"]

    async def test_a_parked_job_waits_for_its_task_name(self) -> None:
        session, delivery = await self.started()
        assert await self.settle(session, Settlement(delivery, "park", task="pkg.task")) == [True]
        assert await self.take(session) == []
        assert (await self.lapse()).returned == 0
        assert await self.broker.unpark([QUEUE], ["pkg.other", "pkg.task.more"]) == 0
        assert await self.broker.unpark([QUEUE], ["pkg.other", "pkg.task"]) == 1
        again = await self.take_one(await self.open(), "job")
        assert (again.envelope, again.counts) == (body("job"), Counts())

    async def test_every_job_parked_under_a_name_is_unparked(self) -> None:
        names = [f"{number:03}" for number in range(300)]
        await self.send(*names)
        session = await self.open()
        while deliveries := await self.take(session, 100):
            await self.settle(session, *(Settlement(each, "park", task="pkg.task") for each in deliveries))
        moved = 0
        while step := await self.broker.unpark([QUEUE], ["pkg.task"]):
            moved += step
        assert moved == 300
        received: list[str] = []
        while deliveries := await self.take(session, 100):
            received += ids(deliveries)
        assert sorted(received) == names

    async def test_unparking_looks_only_into_the_queues_asked_for(self) -> None:
        session, delivery = await self.started()
        await self.settle(session, Settlement(delivery, "park", task="pkg.task"))
        assert await self.broker.unpark([OTHER], ["pkg.task"]) == 0
        assert await self.broker.unpark([QUEUE], ["pkg.task"]) == 1

    async def test_hostile_task_names_are_only_names(self) -> None:
        names = ["'; drop table job; --", "a b", "{x}:jobs", "täsk ☃", "*", "x" * 255]
        await self.send(*(str(number) for number in range(len(names))))
        session = await self.open()
        deliveries = await self.take(session)
        pairs = zip(deliveries, names, strict=True)
        await self.settle(session, *(Settlement(each, "park", task=name) for each, name in pairs))
        for number, name in enumerate(names):
            assert await self.broker.unpark([QUEUE], [name]) == 1
            await self.take_one(session, str(number))

    # --- the fence

    @pytest.mark.parametrize("kind", KINDS)
    async def test_a_repeated_settle_answers_false_and_changes_nothing(self, kind: Kind) -> None:
        session, delivery = await self.started()
        settlement = Settlement(delivery, kind, task="task", counts=Counts(retries=1) if kind == "retry" else None)
        assert await self.settle(session, settlement) == [True]
        assert await self.settle(session, settlement) == [False]
        await self.broker.unpark([QUEUE], ["task"])
        expected = [] if kind in ("end", "dead") else ["job"]
        assert ids(await self.take(session)) == expected

    @pytest.mark.parametrize("kind", KINDS)
    async def test_a_settle_of_an_earlier_receive_leaves_the_later_one_alone(self, kind: Kind) -> None:
        session, old = await self.started()
        await self.settle(session, Settlement(old, "release"))
        new = await self.take_one(session, "job")
        assert await self.settle(session, Settlement(old, kind, task="task")) == [False]
        assert await self.take(session) == []
        assert await self.end(session, new) == [True]

    async def test_a_repeated_retry_leaves_the_next_attempt_alone(self) -> None:
        session, old = await self.started()
        retry = Settlement(old, "retry", counts=Counts(retries=1))
        await self.settle(session, retry)
        new = await self.take_one(session, "job")
        assert await self.settle(session, retry) == [False]
        assert await self.end(session, new) == [True]
        assert await self.take(session) == []

    @pytest.mark.parametrize("kind", KINDS)
    async def test_another_session_cannot_settle(self, kind: Kind) -> None:
        session, delivery = await self.started()
        other = await self.open()
        assert await self.settle(other, Settlement(delivery, kind, task="task")) == [False]
        assert await self.end(session, delivery) == [True]

    async def test_another_session_cannot_settle_under_a_number_of_its_own(self) -> None:
        mine, delivery = await self.started("1")
        theirs, other = await self.started("2")
        assert await self.end(mine, replace(other, number=delivery.number)) == [False]
        assert await self.end(theirs, replace(delivery, number=other.number)) == [False]
        assert await self.end(mine, delivery) == await self.end(theirs, other) == [True]

    async def test_an_unknown_session_settles_nothing(self) -> None:
        session, delivery = await self.started()
        assert await self.end(new_session(), delivery) == [False]
        assert await self.end(session, delivery) == [True]

    async def test_a_job_that_was_never_received_cannot_be_settled(self) -> None:
        session, delivery = await self.started("held")
        await self.send("waiting")
        forged = type(delivery)("waiting", QUEUE, delivery.level, delivery.number, b"")
        unknown = type(delivery)("unknown", QUEUE, delivery.level, delivery.number, b"")
        assert await self.end(session, forged, unknown) == [False, False]
        await self.take_one(session, "waiting")

    async def test_a_delivery_twice_in_one_batch_is_settled_once(self) -> None:
        session, delivery = await self.started()
        first = Settlement(delivery, "retry", counts=Counts(retries=1))
        assert await self.settle(session, first, Settlement(delivery, "end")) == [True, False]
        assert (await self.take_one(session, "job")).counts.retries == 1

    async def test_one_bad_item_of_a_batch_stops_no_other(self) -> None:
        session, old = await self.started("job")
        await self.settle(session, Settlement(old, "release"))
        await self.send("other")
        new, other = await self.take(session)
        assert await self.end(session, other, old, new) == [True, False, True]

    async def test_a_batch_may_mix_kinds_and_queues(self) -> None:
        await self.send("end", "dead", "retry", "release", "park")
        await self.send("there", queue=OTHER)
        session = await self.open(QUEUE, OTHER)
        deliveries = await self.take(session, queues=[QUEUE]) + await self.take(session, queues=[OTHER])
        kinds: tuple[Kind, ...] = (*KINDS, "end")
        pairs = zip(deliveries, kinds, strict=True)
        settlements = [Settlement(each, kind, task="task") for each, kind in pairs]
        assert await self.settle(session, *settlements) == [True] * 6
        assert {each.id for _ in range(2) for each in await self.take(session)} == {"release", "retry"}
        assert await self.broker.unpark([QUEUE, OTHER], ["task"]) == 1

    async def test_an_empty_batch_settles_nothing(self) -> None:
        session, delivery = await self.started()
        assert await self.settle(session) == []
        assert await self.end(session, delivery) == [True]

    async def test_a_thousand_jobs_are_settled_in_one_call(self) -> None:
        await self.send(*(str(number) for number in range(1000)))
        session = await self.open()
        held = [each for _ in range(10) for each in await self.take(session, 100)]
        assert await self.end(session, *held, record=b"record") == [True] * 1000
        assert await self.end(session, *held, record=b"record") == [False] * 1000

    # --- follow-ups

    @pytest.mark.parametrize("kind", ["end", "dead"])
    async def test_follow_ups_are_created_with_the_settle(self, kind: Kind) -> None:
        session, delivery = await self.started()
        follow_ups = (Job("a", QUEUE, b"A", priority=5), Job("b", OTHER, b"B"))
        assert await self.settle(session, Settlement(delivery, kind, follow_ups=follow_ups)) == [True]
        (first,) = await self.take(session)
        assert (first.id, first.envelope, first.level) == ("a", b"A", 4)
        assert ids(await self.take(await self.open(OTHER), queues=[OTHER])) == ["b"]

    async def test_follow_ups_of_a_repeated_settle_are_created_once(self) -> None:
        session, delivery = await self.started()
        end = Settlement(delivery, "end", follow_ups=(Job("next", QUEUE, b"1"),))
        await self.settle(session, end)
        following = await self.take_one(session, "next")
        await self.end(session, following)
        assert await self.settle(session, end) == [False]
        assert await self.take(session) == []

    async def test_follow_ups_of_a_refused_settle_are_not_created(self) -> None:
        session, old = await self.started()
        await self.settle(session, Settlement(old, "release"))
        await self.take_one(session, "job")
        assert await self.settle(session, Settlement(old, "end", follow_ups=(Job("next", QUEUE, b"1"),))) == [False]
        assert await self.take(session) == []
