"""What an engine guarantees that carries messages: in order, to everybody who listens, without polling."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import ClassVar

from umbel.contracts.broker import Broker
from umbel.contracts.capabilities import Power
from umbel.contracts.mailbox import MAX_HEARD, Letter, Mailbox, MailboxHolder
from umbel.testing.conformance.eventually import eventually, soon
from umbel.testing.conformance.stage import BrokerStage

BOX = "box"
TTL = 60.0
WAIT_SECONDS = 30.0
PROMPT_SECONDS = 25.0
"""Before it any listener is woken, however busy the machine; one that was forgotten looks again no sooner."""
SETTLING_SECONDS = 0.05
"""How long a test lets a listener fall asleep; it passes as well when the listener is not asleep yet."""


class MailboxConformance(BrokerStage):
    """The verbs of boxes. The hook is ``make(clock)``, see `BrokerStage.make`."""

    power: ClassVar = Power.MAILBOX

    @property
    def box(self) -> Mailbox:
        """The boxes of the broker under test."""
        return _mailbox(self.broker)

    async def hear(self, after: int = 0, box: str = BOX) -> list[Letter]:
        """What is in the box above *after*, without waiting."""
        return await self.box.ahear(box, after, 0.0)

    async def until(self, count: int, after: int, mailbox: Mailbox | None = None) -> list[bytes]:
        """Listen until *count* messages are heard: a call may answer early."""
        heard: list[Letter] = []
        while len(heard) < count:
            heard += await (mailbox or self.box).ahear(BOX, heard[-1].number if heard else after, WAIT_SECONDS)
        return texts(heard)

    # --- what is in a box

    async def test_it_is_found_by_isinstance(self) -> None:
        assert isinstance(self.broker, MailboxHolder)

    async def test_messages_are_heard_in_the_order_they_were_told(self) -> None:
        await self.box.atell(BOX, [b"\x00one\xff", b"two"], TTL)
        await self.box.atell(BOX, [b"", b"four"], TTL)
        heard = await self.hear()
        assert texts(heard) == [b"\x00one\xff", b"two", b"", b"four"]
        numbers = [each.number for each in heard]
        assert numbers == sorted(set(numbers))
        assert numbers[0] > 0

    async def test_hearing_takes_nothing_away(self) -> None:
        await self.box.atell(BOX, [b"one", b"two"], TTL)
        one, two = await self.hear()
        assert await self.hear() == [one, two]
        assert await self.hear(one.number) == [two]
        assert await _mailbox(self.client()).ahear(BOX, one.number, 0.0) == [two]
        assert await self.hear(two.number) == []

    async def test_a_box_that_nobody_told_anything_is_empty(self) -> None:
        assert await self.hear(box="unknown") == []
        assert await self.hear(await self.box.aposition("unknown"), "unknown") == []
        assert self.box.hear("unknown", 0, 0.0) == []

    async def test_to_tell_nothing_is_nothing(self) -> None:
        await self.box.atell(BOX, [], TTL)
        assert await self.hear() == []

    async def test_each_box_has_its_own_messages(self) -> None:
        await self.box.atell(BOX, [b"here"], TTL)
        await self.box.atell("other", [b"there"], TTL)
        assert texts(await self.hear()) == [b"here"]
        assert texts(await self.hear(box="other")) == [b"there"]

    async def test_from_a_position_on_only_what_is_new_is_heard(self) -> None:
        await self.box.atell(BOX, [b"old"], TTL)
        position = await self.box.aposition(BOX)
        assert await self.hear(position) == []
        await self.box.atell(BOX, [b"new"], TTL)
        assert texts(await self.hear(position)) == [b"new"]
        assert self.box.position(BOX) > position

    async def test_the_position_of_an_empty_box_misses_nothing(self) -> None:
        position = await self.box.aposition(BOX)
        await self.box.atell(BOX, [b"first"], TTL)
        assert texts(await self.hear(position)) == [b"first"]

    async def test_no_more_than_a_thousand_messages_are_heard_at_once(self) -> None:
        messages = [b"%d" % number for number in range(MAX_HEARD + 2)]
        await self.box.atell(BOX, messages, TTL)
        first = await self.hear()
        assert texts(first) == messages[:MAX_HEARD]
        assert texts(await self.hear(first[-1].number)) == messages[MAX_HEARD:]

    async def test_the_sync_verbs_are_the_same(self) -> None:
        position = self.box.position(BOX)
        self.box.tell(BOX, [b"one", b"two"], TTL)
        assert texts(self.box.hear(BOX, position, 0.0)) == [b"one", b"two"]
        assert texts(self.box.hear(BOX, position, WAIT_SECONDS)) == [b"one", b"two"]

    async def test_hostile_names_are_only_names(self) -> None:
        for name in ("'; drop table letter; --", "{x}:jobs *", "täsk ☃", "x" * 255):
            await self.box.atell(name, [name.encode()], TTL)
            assert texts(await self.hear(box=name)) == [name.encode()]

    async def test_large_messages_arrive_whole(self) -> None:
        message = bytes(range(256)) * 1024
        await self.box.atell(BOX, [message], TTL)
        assert texts(await self.hear()) == [message]

    # --- forgotten

    async def test_messages_are_heard_as_long_as_their_time_is_not_over(self) -> None:
        await self.box.atell(BOX, [b"stays"], 100.0)
        await self.advance(50.0)
        await self.box.atell(BOX, [b"more"], 10.0)
        assert texts(await self.hear()) == [b"stays", b"more"]

    async def test_messages_are_forgotten_when_their_time_is_over_and_numbers_grow_on(self) -> None:
        seconds, heard = 0.05, list[Letter]()
        while not heard:  # on a busy machine its time may be over before it is heard
            seconds *= 2
            await self.box.atell(BOX, [b"old"], seconds)
            heard = await self.hear()

        async def forgotten() -> bool:
            await self.advance(0.1)
            return not await self.hear()

        await eventually(forgotten, 20.0)
        await self.box.atell(BOX, [b"new"], TTL)
        (new,) = await self.hear(heard[-1].number)
        assert (new.message, new.number > heard[-1].number) == (b"new", True)

    # --- waiting

    async def test_who_waits_hears_what_is_told(self) -> None:
        waiting = asyncio.create_task(self.until(1, 0))
        await asyncio.sleep(SETTLING_SECONDS)
        await self.box.atell(BOX, [b"hello"], TTL)
        assert await soon(waiting, PROMPT_SECONDS) == [b"hello"]

    async def test_everybody_who_waits_hears_what_another_client_tells(self) -> None:
        boxes = [_mailbox(self.client()) for _ in range(3)]
        position = await self.box.aposition(BOX)
        waiting = [asyncio.create_task(self.until(2, position, each)) for each in boxes]
        await asyncio.sleep(SETTLING_SECONDS)
        for message in (b"one", b"two"):
            await self.box.atell(BOX, [message], TTL)
        assert await soon(asyncio.gather(*waiting), PROMPT_SECONDS) == [[b"one", b"two"]] * 3

    async def test_a_thread_that_waits_hears_what_is_told(self) -> None:
        other = _mailbox(self.client())

        def listen() -> list[bytes]:
            heard: list[Letter] = []
            while not heard:
                heard = other.hear(BOX, 0, WAIT_SECONDS)
            return texts(heard)

        waiting = asyncio.create_task(asyncio.to_thread(listen))
        await asyncio.sleep(SETTLING_SECONDS)
        await asyncio.to_thread(self.box.tell, BOX, [b"hello"], TTL)
        assert await soon(waiting, PROMPT_SECONDS) == [b"hello"]

    async def test_a_conversation_of_two_goes_on(self) -> None:
        other = _mailbox(self.client())

        async def answer() -> None:
            after = 0
            for _ in range(5):
                while not (heard := await other.ahear("questions", after, WAIT_SECONDS)):
                    pass
                after = heard[-1].number
                await other.atell(BOX, [b"answer to " + heard[-1].message], TTL)

        async def ask() -> list[bytes]:
            answers: list[bytes] = []
            for number in range(5):
                position = await self.box.aposition(BOX)
                await self.box.atell("questions", [b"%d" % number], TTL)
                answers += await self.until(1, position)
            return answers

        answers, _ = await soon(asyncio.gather(ask(), answer()), PROMPT_SECONDS)
        assert answers == [b"answer to %d" % number for number in range(5)]

    async def test_what_is_told_to_another_box_wakes_with_nothing(self) -> None:
        waiting = asyncio.create_task(self.until(1, 0))
        await asyncio.sleep(SETTLING_SECONDS)
        await self.box.atell("other", [b"not this"], TTL)
        await self.box.atell(BOX, [b"this"], TTL)
        assert await soon(waiting, PROMPT_SECONDS) == [b"this"]

    async def test_who_waits_in_vain_is_told_so_in_time(self) -> None:
        begun = time.monotonic()
        assert await soon(self.box.ahear(BOX, 0, 0.05), PROMPT_SECONDS) == []
        assert await asyncio.to_thread(self.box.hear, BOX, 0, 0.05) == []
        assert time.monotonic() - begun < PROMPT_SECONDS

    async def test_one_who_gives_up_leaves_nothing_behind(self) -> None:
        for _ in range(3):
            waiting = asyncio.create_task(self.until(1, 0))
            await asyncio.sleep(SETTLING_SECONDS / 5)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        waiting = asyncio.create_task(self.until(1, 0))
        await asyncio.sleep(0)
        await self.box.atell(BOX, [b"hello"], TTL)
        assert await soon(waiting, PROMPT_SECONDS) == [b"hello"]


def texts(letters: Sequence[Letter]) -> list[bytes]:
    """The messages of *letters*, in their order."""
    return [each.message for each in letters]


def _mailbox(broker: Broker) -> Mailbox:
    assert isinstance(broker, MailboxHolder)
    return broker.mailbox
