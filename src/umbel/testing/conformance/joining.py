"""What an engine guarantees about the ends of members: each counts once, and the last one opens its node, once."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from umbel.contracts.broker import Settlement
from umbel.contracts.capabilities import Power
from umbel.model.flow import Input, Join
from umbel.testing.conformance.flow_stage import FLOW, FlowStage, a_job, at, member_of
from umbel.testing.conformance.stage import QUEUE, ids

PAST_FIRST_PORTION = 600


class JoiningConformance(FlowStage):
    """Joins in settles, failed members, opening in portions, and members that are added."""

    power: ClassVar = Power.FLOWS

    # --- joins

    async def test_a_chain_goes_on_with_each_join(self) -> None:
        await self.start({0: ["a"], 1: ["b"], 2: ["c"]}, {1: 1, 2: 1, 3: 1})
        session = await self.open()
        for node, name in enumerate("abc"):
            delivery = await self.take_one(session, name)
            assert await self.take(session) == []
            assert await self.state() == "running"
            await self.join(session, delivery, at(node + 1))
        assert await self.state() == "succeeded"

    async def test_a_node_opens_with_its_last_member(self) -> None:
        await self.start({0: ["a", "b", "c"], 1: ["body"]}, {1: 3, 2: 1})
        session = await self.open()
        deliveries = await self.take(session)
        for number in (2, 0):
            await self.join(session, deliveries[number], at(1, number, b"%d" % number))
            assert await self.take(session) == []
        await self.join(session, deliveries[1], at(1, 1, b"1"))
        await self.take_one(session, "body")
        assert (await self.standing(1)).inputs == [Input(number, b"%d" % number, False) for number in range(3)]

    async def test_all_members_may_end_in_one_settle(self) -> None:
        await self.start({0: ["a", "b"], 1: ["body"]}, {1: 2, 2: 1})
        session = await self.open()
        pairs = enumerate(await self.take(session))
        ends = [Settlement(each, "end", joins=(at(1, number),)) for number, each in pairs]
        assert await self.settle(session, *ends) == [True, True]
        await self.take_one(session, "body")
        assert await self.take(session) == []

    async def test_one_member_may_join_several_nodes(self) -> None:
        await self.start({0: ["a"], 1: ["b"], 2: ["c"]}, {1: 1, 2: 1, 3: 2})
        session = await self.open()
        await self.join(session, await self.take_one(session, "a"), at(1), at(2))
        assert ids(await self.take(session)) == ["b", "c"]

    async def test_a_dead_letter_joins_too(self) -> None:
        await self.start({0: ["a"], 1: ["b"]}, {1: 1, 2: 1})
        session = await self.open()
        dead = Settlement(await self.take_one(session, "a"), "dead", joins=(at(1, failed=True),))
        assert await self.settle(session, dead) == [True]
        await self.take_one(session, "b")

    async def test_a_member_that_joins_again_counts_once_and_its_first_value_stays(self) -> None:
        await self.start({0: ["a", "b"], 1: ["body"]}, {1: 2, 2: 1})
        session = await self.open()
        await self.send("stranger")
        first, second, stranger = await self.take(session)
        await self.join(session, first, at(1, 0, b"first"))
        await self.join(session, stranger, at(1, 0, b"second", failed=True))
        assert await self.take(session) == []
        await self.join(session, second, at(1, 1, b"other"))
        await self.take_one(session, "body")
        standing = await self.standing(1)
        assert (standing.failed, standing.inputs) == (None, [Input(0, b"first", False), Input(1, b"other", False)])

    async def test_a_join_of_a_node_that_has_opened_changes_nothing(self) -> None:
        await self.start({0: ["a"], 1: ["body"]}, {1: 1, 2: 1})
        session = await self.open()
        await self.send("stranger")
        first, stranger = await self.take(session)
        await self.join(session, first, at(1))
        await self.join(session, stranger, at(1, 5, failed=True))
        await self.take_one(session, "body")
        assert await self.take(session) == []
        assert len((await self.standing(1)).inputs) == 1

    async def test_a_settle_that_is_refused_joins_nothing(self) -> None:
        await self.start({0: ["a"], 1: ["b"]}, {1: 1, 2: 1})
        session = await self.open()
        old = await self.take_one(session, "a")
        await self.settle(session, Settlement(old, "release"))
        new = await self.take_one(session, "a")
        assert not await self.join(session, old, at(1, 0, b"old"))
        assert await self.take(session) == []
        assert await self.join(session, new, at(1, 0, b"new"))
        await self.take_one(session, "b")
        assert (await self.standing(1)).inputs == [Input(0, b"new", False)]

    async def test_a_settle_that_is_repeated_changes_nothing(self) -> None:
        await self.start({0: ["a"], 1: ["b"]}, {1: 1, 2: 1})
        session = await self.open()
        delivery = await self.take_one(session, "a")
        assert await self.join(session, delivery, at(1))
        following = await self.take_one(session, "b")
        await self.join(session, following, at(2))
        assert not await self.join(session, delivery, at(1))
        assert await self.take(session) == []

    async def test_a_join_of_an_unknown_flow_or_node_ends_the_job_all_the_same(self) -> None:
        await self.start({0: ["a"]}, {1: 1})
        session = await self.open()
        delivery = await self.take_one(session, "a")
        assert await self.join(session, delivery, Join("unknown", QUEUE, 1, 0, b""), at(7))
        assert await self.state() == "running"

    async def test_members_that_end_at_the_same_time_open_the_node_once(self) -> None:
        names = [f"{number:02}" for number in range(24)]
        await self.start({0: names, 1: ["body"]}, {1: len(names), 2: 1})
        clients = [self.client() for _ in range(3)]
        sessions = [await self.open(broker=client) for client in clients]
        ends: list[tuple[int, Settlement]] = []
        for index, (client, session) in enumerate(zip(clients, sessions, strict=True)):
            found = await client.receive(session, [QUEUE], 8, wait=0)
            ends += [(index, Settlement(each, "end", joins=(member_of(each),))) for each in found]
        assert len(ends) == len(names)
        await asyncio.gather(*(clients[index].settle(sessions[index], [end]) for index, end in ends))
        session = await self.open()
        assert ids(await self.awaited(session)) == ["body"]
        assert await self.take(session) == []
        assert len((await self.standing(1)).inputs) == len(names)

    # --- failure

    async def test_a_failed_member_counts_as_any_other_and_the_first_in_order_is_told(self) -> None:
        await self.start({0: ["a", "b", "c"], 1: ["body"]}, {1: 3, 2: 1})
        session = await self.open()
        first, second, third = await self.take(session)
        await self.join(session, third, at(1, 2, b"later", failed=True))
        await self.join(session, second, at(1, 1, b"why", failed=True))
        await self.join(session, first, at(1, 0))
        following = await self.take_one(session, "body")
        assert (await self.standing(1, count=0)).failed == Input(1, b"why", True)
        await self.join(session, following, at(2, failed=True))
        assert await self.state() == "failed"

    async def test_why_a_member_failed_is_kept_also_where_nobody_takes_it(self) -> None:
        await self.start({0: ["a", "b"]}, {1: 2})
        session = await self.open()
        first, second = await self.take(session)
        await self.join(session, first, at(1, 0))
        await self.join(session, second, at(1, 1, b"why", failed=True))
        standing = await self.standing(1)
        assert standing.failed == Input(1, b"why", True)
        assert standing.inputs[1:] == [Input(1, b"why", True)]

    async def test_a_failure_that_reaches_no_end_fails_no_flow(self) -> None:
        await self.start({0: ["a"], 1: ["b"]}, {1: 1, 2: 1})
        session = await self.open()
        await self.join(session, await self.take_one(session, "a"), at(1, failed=True))
        await self.join(session, await self.take_one(session, "b"), at(2))
        assert await self.state() == "succeeded"

    # --- many

    async def test_three_thousand_members_are_sent_in_order_and_joined_once_each(self) -> None:
        names = [f"{number:04}" for number in range(3000)]
        await self.start({0: names, 1: ["body"]}, {1: 3000, 2: 1})
        session, seen = await self.open(), list[str]()
        while found := await self.take(session, 250):
            seen += ids(found)
            ends = [Settlement(each, "end", joins=(member_of(each),)) for each in found]
            assert all(await self.settle(session, *ends))
        assert seen == [*names, "body"]
        values = list[bytes]()
        while page := (await self.standing(1, len(values) - 1)).inputs:
            assert len(page) == 1000
            values += [each.value for each in page]
        assert values == [name.encode() for name in names]

    async def test_a_node_with_many_jobs_is_opened_in_portions_in_order(self) -> None:
        names = [f"{number:04}" for number in range(PAST_FIRST_PORTION)]
        await self.start({0: ["a"], 1: names}, {1: 1, 2: len(names)})
        session = await self.open()
        await self.join(session, await self.take_one(session, "a"), at(1))
        assert ids(await self.every(session)) == names

    async def test_reclaim_sends_what_an_opened_node_has_left(self) -> None:
        names = [f"{number:04}" for number in range(PAST_FIRST_PORTION)]
        await self.start({0: names}, {1: len(names)})
        assert (await self.reclaim()).promoted == len(names) - 256
        assert (await self.reclaim()).promoted == 0
        assert ids(await self.every(await self.open())) == names

    # --- added members

    async def test_a_node_waits_for_a_member_that_was_added(self) -> None:
        await self.start({0: ["a"], 1: ["body"]}, {1: 1, 2: 1})
        session = await self.open()
        end = Settlement(
            await self.take_one(session, "a"),
            "end",
            follow_ups=(a_job("more"),),
            added=((FLOW, QUEUE, 1),),
            joins=(at(1),),
        )
        assert await self.settle(session, end) == [True]
        more = await self.take_one(session, "more")
        assert await self.take(session) == []
        assert await self.settle(session, end) == [False]
        await self.join(session, more, at(1, 2**52 + 1, b"more"))
        await self.take_one(session, "body")
        standing = await self.standing(1)
        assert standing.inputs == [Input(0, b"value", False), Input(2**52 + 1, b"more", False)]
        assert (await self.standing(1, 0)).inputs == standing.inputs[1:]

    async def test_a_refused_settle_adds_no_member(self) -> None:
        await self.start({0: ["a"], 1: ["body"]}, {1: 1, 2: 1})
        session = await self.open()
        old = await self.take_one(session, "a")
        await self.settle(session, Settlement(old, "release"))
        new = await self.take_one(session, "a")
        added = Settlement(old, "end", added=((FLOW, QUEUE, 1), ("unknown", QUEUE, 1)))
        assert await self.settle(session, added) == [False]
        await self.join(session, new, at(1))
        await self.take_one(session, "body")
