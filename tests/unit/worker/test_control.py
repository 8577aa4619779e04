"""Orders are heard, obeyed and answered; none of them ends a worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from umbel.brokers.memory import MemoryBroker
from umbel.brokers.memory.mailbox import MemoryMailbox
from umbel.contracts.mailbox import Letter
from umbel.engines.memory import Space
from umbel.exceptions import BrokerUnavailable
from umbel.settings import Settings
from umbel.testing.clock import Clock
from umbel.wire.letters import BOX, RATES, Answer, Doomed, Order, decode_answer, doom_order, encode
from umbel.worker.messages import Loaded
from umbel.worker.options import WorkerOptions
from umbel.worker.supervisor.control import Control
from umbel.worker.supervisor.duties import Duties, Refused
from umbel.worker.supervisor.plan import Plan, make_plan


class Scripted:
    """Duties that note what they are told."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.doomed: list[Doomed] = []

    def __contains__(self, verb: object) -> bool:
        return verb not in ("own", "nobody's", "slow")

    def do(self, verb: str, arguments: Mapping[str, Any]) -> Any:
        if verb == "refused":
            raise Refused("not today")
        if verb == "broken":
            raise KeyError("of our own")
        self.done.append(verb)
        return dict(arguments)

    def look(self) -> None:
        self.done.append("look")

    def doom(self, doomed: Doomed) -> None:
        if not doomed.ids:
            raise KeyError("of our own")
        self.doomed.append(doomed)


class Own:
    """Commands of an app."""

    def __init__(self) -> None:
        self.goes_on = asyncio.Event()

    async def obey(self, name: str, arguments: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        if name == "nobody's":
            raise Refused("unknown")
        if name == "slow":
            await self.goes_on.wait()
        return {"9": [name, dict(arguments), 0 < seconds <= 60]}


class Flaky:
    """A mailbox that is away whenever *away* is set, and forgets its numbers when told to."""

    def __init__(self, inner: MemoryMailbox) -> None:
        self.inner = inner
        self.away = False
        self.looked = 0
        self.refused = 0
        self.fault: Exception = BrokerUnavailable("away")

    async def aposition(self, box: str) -> int:
        self._look()
        self.looked += 1
        return await self.inner.aposition(box)

    async def ahear(self, box: str, after: int, wait: float) -> list[Letter]:
        self._look()
        return await self.inner.ahear(box, after, min(wait, 0.05))

    async def atell(self, box: str, messages: Sequence[bytes], ttl: float) -> None:
        self._look()
        await self.inner.atell(box, messages, ttl)

    def _look(self) -> None:
        if self.away:
            self.refused += 1
            raise self.fault


@pytest.fixture
def plan() -> Plan:
    return make_plan(WorkerOptions(app="a", hostname="w1@here"), Loaded("a", Settings(broker_url="sqlite:///x"), []))


@pytest.fixture
def mailbox() -> Flaky:
    return Flaky(MemoryBroker(Space(), Clock()).mailbox)


@asynccontextmanager
async def hearing(mailbox: Flaky, plan: Plan, duties: Scripted) -> AsyncGenerator[Control]:
    own = Own()
    control = Control(cast("Any", mailbox), plan, cast("Duties", duties), cast("Any", own))
    running = asyncio.create_task(control.run())
    try:
        async with asyncio.timeout(20):
            await control.begun.wait()
            yield control
    finally:
        running.cancel()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.005)


def order(verb: str, *, late: float = 0.0, **more: Any) -> bytes:
    return encode(Order(verb=verb, until=time.time() + 60 - late, **more))


async def answer(mailbox: Flaky) -> Answer:
    return decode_answer((await mailbox.inner.ahear("reply", 0, 20))[0].message)


async def test_an_order_is_obeyed_and_answered_by_name_host_and_process(mailbox: Flaky, plan: Plan) -> None:
    duties = Scripted()
    async with hearing(mailbox, plan, duties):
        await mailbox.atell(BOX, [order("ping", arguments={"n": 3}, reply="reply")], 60)
        told = await answer(mailbox)
    assert (told.worker, told.host, told.value) == ("w1@here", plan.host, {"n": 3})
    assert told.pid > 0


async def test_what_is_no_duty_is_a_command_of_the_app(mailbox: Flaky, plan: Plan) -> None:
    async with hearing(mailbox, plan, Scripted()):
        await mailbox.atell(BOX, [order("own", arguments={"n": 3}, reply="reply")], 60)
        assert (await answer(mailbox)).value == {"9": ["own", {"n": 3}, True]}
        await mailbox.atell(BOX, [order("nobody's", reply="other")], 60)
        (letter,) = await mailbox.inner.ahear("other", 0, 20)
        assert decode_answer(letter.message).error == "unknown"


async def test_a_command_of_the_app_that_takes_its_time_keeps_no_order_waiting(mailbox: Flaky, plan: Plan) -> None:
    duties = Scripted()
    async with hearing(mailbox, plan, duties):
        await mailbox.atell(BOX, [order("slow"), order("last")], 60)
        await until(lambda: duties.done == ["last"])


async def test_that_there_are_other_rates_is_for_every_worker(mailbox: Flaky, plan: Plan) -> None:
    duties = Scripted()
    async with hearing(mailbox, plan, duties):
        await mailbox.atell(BOX, [order(RATES), order("last")], 60)
        await until(lambda: duties.done == ["look", "last"])


async def test_an_order_to_somebody_else_is_passed_over(mailbox: Flaky, plan: Plan) -> None:
    duties = Scripted()
    async with hearing(mailbox, plan, duties):
        await mailbox.atell(BOX, [order("a", to=("w2@here",)), order("b", to=("w2@here", "w1@here"))], 60)
        await until(lambda: duties.done == ["b"])


async def test_an_order_that_comes_too_late_is_not_obeyed(mailbox: Flaky, plan: Plan) -> None:
    duties = Scripted()
    async with hearing(mailbox, plan, duties):
        await mailbox.atell(BOX, [order("shutdown", late=3600), order("last")], 60)
        await until(lambda: duties.done == ["last"])


async def test_what_is_refused_is_told_with_its_reason(mailbox: Flaky, plan: Plan) -> None:
    async with hearing(mailbox, plan, Scripted()):
        await mailbox.atell(BOX, [order("refused", reply="reply")], 60)
        assert (await answer(mailbox)).error == "not today"


async def test_neither_rubbish_nor_a_mistake_of_our_own_ends_the_worker(mailbox: Flaky, plan: Plan) -> None:
    duties = Scripted()
    async with hearing(mailbox, plan, duties):
        rubbish = [
            b"\xff",
            doom_order(Doomed(ids=[]), time.time() + 60),
            encode(Order(verb="doom", arguments={"ids": 3})),
            order("broken"),
            order("last"),
        ]
        await mailbox.atell(BOX, rubbish, 60)
        await until(lambda: duties.done == ["last"])


async def test_jobs_to_be_terminated_are_heard_of_after_an_outage_however_late(mailbox: Flaky, plan: Plan) -> None:
    duties = Scripted()
    async with hearing(mailbox, plan, duties):
        mailbox.away = True
        await until(lambda: mailbox.refused)
        await mailbox.inner.atell(BOX, [doom_order(Doomed(ids=["one"], terminate=True), time.time() - 7200)], 60)
        mailbox.away = False
        await until(lambda: duties.doomed)
    assert duties.doomed == [Doomed(ids=["one"], terminate=True)]


async def test_a_server_that_counts_anew_is_heard_again(mailbox: Flaky, plan: Plan) -> None:
    duties = Scripted()
    async with hearing(mailbox, plan, duties):
        await mailbox.atell(BOX, [order(str(number)) for number in range(9)], 60)
        await until(lambda: len(duties.done) == 9)
        mailbox.away = True
        mailbox.inner = MemoryBroker(Space(), Clock()).mailbox
        await until(lambda: mailbox.refused)
        mailbox.away = False
        await until(lambda: mailbox.looked == 2)
        await mailbox.atell(BOX, [order("anew")], 60)
        await until(lambda: duties.done[-1] == "anew")


async def test_a_fault_of_the_mailbox_ends_no_worker(mailbox: Flaky, plan: Plan) -> None:
    duties = Scripted()
    async with hearing(mailbox, plan, duties):
        mailbox.away, mailbox.fault = True, KeyError("of our own")
        await until(lambda: mailbox.refused)
        mailbox.away = False
        await until(lambda: mailbox.looked == 2)
        await mailbox.atell(BOX, [order("last")], 60)
        await until(lambda: duties.done == ["last"])


async def test_children_may_start_although_the_broker_is_away(mailbox: Flaky, plan: Plan) -> None:
    mailbox.away = True
    async with hearing(mailbox, plan, Scripted()) as control:
        assert control.begun.is_set()
