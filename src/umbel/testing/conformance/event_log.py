"""What an engine guarantees that keeps a log of events: in order, for every reader, bounded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

from umbel.contracts.broker import Broker
from umbel.contracts.capabilities import Power
from umbel.contracts.event_log import NOW, OLDEST, CountedLog, EventLog, EventLogHolder, Kept
from umbel.testing.conformance.eventually import soon
from umbel.testing.conformance.stage import BrokerStage

BOUND = 10_000
WAIT_SECONDS = 30.0
PROMPT_SECONDS = 25.0
SETTLING_SECONDS = 0.05
"""How long a test lets a reader fall asleep; it passes as well when the reader is not asleep yet."""
WRITERS = 8
BATCHES_EACH = 12


class EventLogConformance(BrokerStage):
    """The verbs of the log of events. The hook is ``make(clock)``, see `BrokerStage.make`."""

    power: ClassVar = Power.EVENTS

    @property
    def log(self) -> EventLog:
        """The log of the broker under test."""
        return _log(self.broker)

    async def append(self, *batches: bytes, bound: int = BOUND) -> None:
        """Add *batches* in one call."""
        await self.log.aappend(batches, bound)

    async def read(self, after: str = OLDEST, limit: int = 1000) -> list[Kept]:
        """What is there after the cursor, without waiting, however many calls that takes."""
        found: list[Kept] = []
        while len(found) < limit and (more := await self.log.read(after, limit - len(found), 0.0)):
            found += more
            after = more[-1].cursor
        return found

    async def until(self, count: int, after: str, log: EventLog | None = None) -> list[bytes]:
        """Read until there were *count* batches: a call may answer early."""
        found: list[Kept] = []
        while len(found) < count:
            found += await (log or self.log).read(found[-1].cursor if found else after, 100, WAIT_SECONDS)
        return batches_of(found)

    # --- what is in it

    async def test_it_is_found_by_isinstance(self) -> None:
        assert isinstance(self.broker, EventLogHolder)

    async def test_batches_are_read_in_the_order_in_which_they_were_added(self) -> None:
        await self.append(b"\x00one\xff", b"two")
        await self.append(b"", b"four")
        found = await self.read()
        assert batches_of(found) == [b"\x00one\xff", b"two", b"", b"four"]
        assert len({each.cursor for each in found}) == 4

    async def test_reading_takes_nothing_away_and_goes_on_after_a_cursor(self) -> None:
        await self.append(b"one", b"two", b"three")
        one, two, three = await self.read()
        assert await self.read() == [one, two, three]
        assert await self.read(one.cursor) == [two, three]
        assert await _log(self.client()).read(two.cursor, 10, 0.0) == [three]
        assert await self.read(three.cursor) == []

    async def test_no_more_are_read_than_asked_for(self) -> None:
        await self.append(b"one", b"two", b"three")
        first = await self.log.read(OLDEST, 2, 0.0)
        assert batches_of(first) == [b"one", b"two"]
        assert batches_of(await self.log.read(first[-1].cursor, 2, 0.0)) == [b"three"]

    async def test_an_empty_log_has_nothing_and_no_end(self) -> None:
        assert await self.log.read(OLDEST, 10, 0.0) == []
        assert await self.log.read(NOW, 10, 0.0) == []
        assert await self.log.end() == ""

    async def test_to_add_nothing_is_nothing(self) -> None:
        await self.append()
        self.log.append([], BOUND)
        assert (await self.read(), await self.log.end()) == ([], "")

    async def test_the_end_is_the_cursor_of_the_newest(self) -> None:
        await self.append(b"one", b"two")
        found = await self.read()
        assert await self.log.end() == found[-1].cursor
        await self.append(b"three")
        assert batches_of(await self.read(found[-1].cursor)) == [b"three"]

    async def test_it_tells_how_many_were_ever_added(self) -> None:
        await self.append(b"one", b"two")
        before = await self._added()
        await self.append(b"three")
        await self.append(b"four", b"five")
        assert await self._added() == before + 3

    async def _added(self) -> int:
        assert isinstance(self.log, CountedLog)
        found = await self.log.count()
        assert found is not None
        return found

    async def test_large_batches_arrive_whole(self) -> None:
        batch = bytes(range(256)) * 2048
        await self.append(batch, batch[1:])
        assert batches_of(await self.read()) == [batch, batch[1:]]

    async def test_the_sync_verb_is_the_same(self) -> None:
        await asyncio.to_thread(self.log.append, [b"one", b"two"], BOUND)
        assert batches_of(await self.read()) == [b"one", b"two"]

    async def test_it_is_no_queue_and_no_job(self) -> None:
        await self.append(b"one")
        session = await self.open()
        assert await self.take(session) == []

    # --- bounded

    async def test_about_the_newest_are_kept_and_the_oldest_go_first(self) -> None:
        for start in range(0, 1000, 50):
            await self.append(*(b"%d" % number for number in range(start, start + 50)), bound=100)
        kept = [int(each) for each in batches_of(await self.read())]
        assert kept == list(range(1000))[-len(kept) :]
        assert 100 <= len(kept) <= 400

    async def test_a_cursor_whose_batch_is_gone_goes_on_with_the_oldest(self) -> None:
        await self.append(b"first", bound=100)
        (first,) = await self.read()
        for start in range(0, 1000, 100):
            await self.append(*(b"%d" % number for number in range(start, start + 100)), bound=100)
        everything = await self.read()
        assert everything[0] != first
        assert await self.read(first.cursor) == everything

    async def test_a_cursor_that_the_log_cannot_have_given_begins_with_the_oldest(self) -> None:
        await self.append(b"one", b"two")
        assert batches_of(await self.read("no cursor at all")) == [b"one", b"two"]

    # --- waiting

    async def test_who_waits_is_answered_when_there_is_more(self) -> None:
        waiting = asyncio.create_task(self.until(1, OLDEST))
        await asyncio.sleep(SETTLING_SECONDS)
        await self.append(b"hello")
        assert await soon(waiting, PROMPT_SECONDS) == [b"hello"]

    async def test_who_waits_from_now_on_sees_nothing_older(self) -> None:
        await self.append(b"old")
        waiting = asyncio.create_task(self.log.read(NOW, 10, WAIT_SECONDS))
        found: list[Kept] = []
        while not found:  # until the reader has begun: what comes before that is old, too
            await self.append(b"new")
            done, _ = await asyncio.wait((waiting,), timeout=SETTLING_SECONDS)
            found = waiting.result() if done else []
        assert set(batches_of(found)) == {b"new"}

    async def test_every_reader_sees_what_another_client_adds(self) -> None:
        end = await self.log.end()
        readers = [_log(self.client()) for _ in range(3)]
        waiting = [asyncio.create_task(self.until(2, end, each)) for each in readers]
        await asyncio.sleep(SETTLING_SECONDS)
        for batch in (b"one", b"two"):
            await self.append(batch)
        assert await soon(asyncio.gather(*waiting), PROMPT_SECONDS) == [[b"one", b"two"]] * 3

    async def test_who_waits_in_vain_is_told_so_in_time(self) -> None:
        begun = time.monotonic()
        assert await soon(self.log.read(OLDEST, 10, 0.05), PROMPT_SECONDS) == []
        assert time.monotonic() - begun < PROMPT_SECONDS

    async def test_one_who_gives_up_leaves_nothing_behind(self) -> None:
        for _ in range(3):
            waiting = asyncio.create_task(self.until(1, OLDEST))
            await asyncio.sleep(SETTLING_SECONDS / 5)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        waiting = asyncio.create_task(self.until(1, OLDEST))
        await asyncio.sleep(0)
        await self.append(b"hello")
        assert await soon(waiting, PROMPT_SECONDS) == [b"hello"]

    # --- many at once

    async def test_a_reader_that_follows_many_writers_misses_nothing_and_sees_nothing_twice(self) -> None:
        logs = [_log(self.client()) for _ in range(WRITERS)]
        reading = asyncio.create_task(self.until(WRITERS * BATCHES_EACH, OLDEST, _log(self.client())))
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(WRITERS) as threads:
            writing = [loop.run_in_executor(threads, _write, log, number) for number, log in enumerate(logs)]
            seen = await soon(reading, PROMPT_SECONDS)
            await soon(asyncio.gather(*writing), PROMPT_SECONDS)
        assert len(seen) == WRITERS * BATCHES_EACH
        for number in range(WRITERS):
            own = [each for each in seen if each.startswith(b"%d " % number)]
            assert own == [b"%d %d" % (number, each) for each in range(BATCHES_EACH)]


def batches_of(kept: Sequence[Kept]) -> list[bytes]:
    """The batches of *kept*, in their order."""
    return [each.batch for each in kept]


def _write(log: EventLog, writer: int) -> None:
    for number in range(0, BATCHES_EACH, 2):
        log.append([b"%d %d" % (writer, number), b"%d %d" % (writer, number + 1)], BOUND)


def _log(broker: Broker) -> EventLog:
    assert isinstance(broker, EventLogHolder)
    return broker.event_log
