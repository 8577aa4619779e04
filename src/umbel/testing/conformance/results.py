"""What every result store guarantees: the first record wins, only the owner writes, and waiting ends in time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest

from umbel.contracts.fetching import afetch_many, fetch_many
from umbel.contracts.powers import Record, ResultStore
from umbel.testing.clock import Clock
from umbel.testing.conformance.eventually import eventually, soon

QUEUE = "conformance"
PROMPT_SECONDS = 25.0
"""Before it whoever waits is woken, however busy the machine; one that was forgotten looks again no sooner."""
FALLING_ASLEEP = 0.1


class ResultStoreConformance:
    """A store that is empty when the test starts. The hook is `make`; without an injected clock override `advance`."""

    clock: Clock
    store: ResultStore
    _made: list[ResultStore]

    def make(self, clock: Callable[[], float]) -> ResultStore:
        """Make a client of the store under test, whose time is *clock*; a second call makes another client of it."""
        raise NotImplementedError(f"{type(self).__name__} must define make(clock)")

    async def advance(self, seconds: float) -> None:
        """Let *seconds* pass for the store."""
        self.clock.advance(seconds)

    @pytest.fixture(autouse=True)
    async def _stage(self) -> AsyncIterator[None]:
        self._made = []
        self.clock = Clock()
        self.store = self.client()
        yield
        for store in self._made:
            await store.aclose()
            store.close()

    def client(self) -> ResultStore:
        """One more client of the same store; closed at the end of the test."""
        store = self.make(self.clock)
        self._made.append(store)
        return store

    async def put(self, job_id: str, value: bytes, owner: str = "", ttl: float = 60.0) -> bool:
        """Put one record."""
        return (await self.store.put([Record(job_id, QUEUE, value, ttl, owner)]))[0]

    async def claim(self, job_id: str, owner: str, ttl: float = 60.0) -> bytes | None:
        """Claim one id."""
        return (await self.store.claim([Record(job_id, QUEUE, b"", ttl, owner)]))[0]

    # --- records

    async def test_an_unknown_id_has_no_record(self) -> None:
        for queue in (QUEUE, None):
            assert self.store.fetch("job", queue) is None
            assert await self.store.afetch("job", queue) is None

    async def test_a_record_is_fetched_as_it_was_put(self) -> None:
        value = bytes(range(256)) * 100
        assert await self.put("job", value)
        for queue in (QUEUE, None):
            assert self.store.fetch("job", queue) == value
            assert await self.store.afetch("job", queue) == value

    async def test_many_records_are_read_at_once_in_the_order_asked_for(self) -> None:
        await self.put("first", b"1")
        await self.put("second", b"2")
        for queue in (QUEUE, None):
            wanted = ["second", "missing", "first", "second"]
            assert fetch_many(self.store, wanted, queue) == [b"2", None, b"1", b"2"]
            assert await afetch_many(self.store, wanted, queue) == [b"2", None, b"1", b"2"]
            assert fetch_many(self.store, [], queue) == []

    async def test_another_client_reads_it(self) -> None:
        await self.put("job", b"value")
        assert await self.client().afetch("job", QUEUE) == b"value"

    async def test_an_empty_record_is_a_record(self) -> None:
        assert await self.put("job", b"")
        assert self.store.fetch("job", QUEUE) == b""
        assert await self.store.afetch("job", QUEUE) == b""
        assert await self.store.awatch("job", QUEUE, 1.0) == b""

    async def test_the_first_record_wins_and_never_changes(self) -> None:
        assert await self.put("job", b"first")
        assert not await self.put("job", b"second")
        assert await self.store.afetch("job", QUEUE) == b"first"

    async def test_an_empty_record_wins_as_well(self) -> None:
        await self.put("job", b"")
        assert not await self.put("job", b"late")
        assert await self.store.afetch("job", QUEUE) == b""

    async def test_repeating_a_put_answers_true(self) -> None:
        assert await self.put("job", b"value")
        assert await self.put("job", b"value")

    async def test_many_records_are_put_in_one_call_and_answered_one_by_one(self) -> None:
        await self.put("5", b"earlier")
        records = [Record(str(number), QUEUE, b"%d" % number, 60.0) for number in range(300)]
        assert await self.store.put(records) == [number != 5 for number in range(300)]
        assert await self.store.afetch("299", QUEUE) == b"299"

    async def test_an_id_twice_in_one_call_is_stored_as_it_was_first(self) -> None:
        records = [Record("job", QUEUE, b"first", 60.0), Record("job", QUEUE, b"second", 60.0)]
        assert await self.store.put(records) == [True, False]
        assert await self.store.afetch("job", QUEUE) == b"first"

    async def test_nothing_is_put_by_an_empty_call(self) -> None:
        assert await self.store.put([]) == []
        assert await self.store.claim([]) == []

    async def test_of_many_puts_at_once_exactly_one_wins(self) -> None:
        stores = [self.client() for _ in range(8)]
        calls = (each.put([Record("job", QUEUE, b"%d" % number, 60.0)]) for number, each in enumerate(stores))
        answers = [answer for (answer,) in await asyncio.gather(*calls)]
        assert answers.count(True) == 1
        assert await self.store.afetch("job", QUEUE) == b"%d" % answers.index(True)

    async def test_a_record_of_one_mebibyte_is_kept_whole(self) -> None:
        value = b"\x00\xff" * (512 * 1024)
        await self.put("job", value)
        assert await self.store.afetch("job", QUEUE) == value

    async def test_hostile_ids_are_only_ids(self) -> None:
        for name in ("'; drop table result; --", "a:b", "{x}", "%s", "*", "../../x", "~" * 255):
            assert await self.put(name, name.encode())
            assert await self.store.afetch(name, QUEUE) == name.encode()

    async def test_a_forgotten_record_is_gone(self) -> None:
        await self.put("1", b"value")
        await self.put("2", b"value")
        self.store.forget("1", QUEUE)
        await self.store.aforget("2", None)
        assert self.store.fetch("1", QUEUE) is None
        assert await self.store.afetch("2", None) is None

    async def test_forgetting_an_unknown_id_is_no_error(self) -> None:
        self.store.forget("job", QUEUE)
        await self.store.aforget("job", None)

    async def test_a_record_expires(self) -> None:
        await self.put("short", b"value", ttl=0.25)
        await self.put("long", b"value", ttl=600.0)
        await self.advance(0.25)
        await eventually(lambda: self.store.fetch("short", QUEUE) is None)
        assert self.store.fetch("long", QUEUE) == b"value"

    async def test_an_expired_record_makes_room_for_another(self) -> None:
        await self.put("job", b"first", ttl=0.25)
        await self.advance(0.25)
        await eventually(lambda: self.put("job", b"second"))
        assert await self.store.afetch("job", QUEUE) == b"second"

    # --- owners

    async def test_a_claimed_id_is_free_of_a_record(self) -> None:
        assert await self.claim("job", "owner") is None
        assert await self.store.afetch("job", QUEUE) is None

    async def test_a_claimed_id_takes_a_record_only_from_its_owner(self) -> None:
        await self.claim("job", "owner")
        assert not await self.put("job", b"zombie", owner="other")
        assert not await self.put("job", b"nobody")
        assert await self.put("job", b"value", owner="owner")
        assert await self.store.afetch("job", QUEUE) == b"value"

    async def test_a_later_claim_takes_over_an_earlier_one(self) -> None:
        await self.claim("job", "first")
        assert await self.claim("job", "second") is None
        assert not await self.put("job", b"zombie", owner="first")
        assert await self.put("job", b"value", owner="second")

    async def test_a_claim_on_an_ended_job_is_answered_with_its_record(self) -> None:
        await self.put("job", b"value", owner="first")
        assert await self.claim("job", "second") == b"value"
        assert not await self.put("job", b"again", owner="second")
        assert await self.store.afetch("job", QUEUE) == b"value"

    async def test_a_claim_on_a_job_that_ended_without_a_result_is_answered_with_the_empty_record(self) -> None:
        await self.put("job", b"")
        assert await self.claim("job", "owner") == b""

    async def test_claims_are_answered_one_by_one(self) -> None:
        await self.put("ended", b"value")
        claims = [Record(each, QUEUE, b"", 60.0, "owner") for each in ("new", "ended", "newer")]
        assert await self.store.claim(claims) == [None, b"value", None]

    async def test_a_put_repeated_by_its_owner_answers_true(self) -> None:
        await self.claim("job", "owner")
        assert await self.put("job", b"value", owner="owner")
        assert await self.put("job", b"value", owner="owner")

    async def test_an_unclaimed_id_takes_a_record_of_any_owner(self) -> None:
        assert await self.put("job", b"value", owner="anybody")

    async def test_an_expired_claim_binds_nobody(self) -> None:
        await self.claim("job", "owner", ttl=0.25)
        await self.advance(0.25)
        await eventually(lambda: self.put("job", b"value", owner="other"))

    # --- waiting

    async def test_a_record_that_is_there_is_answered_at_once(self) -> None:
        await self.put("job", b"value")
        assert await soon(self.store.awatch("job", QUEUE, None), PROMPT_SECONDS) == b"value"
        assert await soon(asyncio.to_thread(self.store.watch, "job", QUEUE, None), PROMPT_SECONDS) == b"value"

    async def test_a_task_that_waits_is_woken_by_the_put(self) -> None:
        waiting = asyncio.create_task(self.store.awatch("job", QUEUE, 30.0))
        await asyncio.sleep(FALLING_ASLEEP)
        await self.client().put([Record("job", QUEUE, b"value", 60.0)])
        assert await soon(waiting, PROMPT_SECONDS) == b"value"

    async def test_a_thread_that_waits_is_woken_by_the_put(self) -> None:
        waiting = asyncio.create_task(asyncio.to_thread(self.store.watch, "job", QUEUE, 30.0))
        await asyncio.sleep(FALLING_ASLEEP)
        await self.client().put([Record("job", QUEUE, b"value", 60.0)])
        assert await soon(waiting, PROMPT_SECONDS) == b"value"

    async def test_a_wait_without_an_end_is_woken_as_well(self) -> None:
        waiting = asyncio.create_task(self.store.awatch("job", QUEUE, None))
        await asyncio.sleep(FALLING_ASLEEP)
        await self.put("job", b"value")
        assert await soon(waiting, PROMPT_SECONDS) == b"value"

    async def test_a_wait_without_the_queue_is_woken_as_well(self) -> None:
        waiting = asyncio.create_task(self.store.awatch("job", None, 30.0))
        blocking = asyncio.create_task(asyncio.to_thread(self.store.watch, "job", None, 30.0))
        await asyncio.sleep(FALLING_ASLEEP)
        await self.put("job", b"value")
        for each in (waiting, blocking):
            assert await soon(each, PROMPT_SECONDS) == b"value"

    async def test_a_wait_ends_when_its_time_is_up(self) -> None:
        begun = time.monotonic()
        assert await self.store.awatch("job", QUEUE, 0.2) is None
        assert await asyncio.to_thread(self.store.watch, "job", QUEUE, 0.2) is None
        assert 0.35 < time.monotonic() - begun < 0.4 + PROMPT_SECONDS

    async def test_a_wait_of_no_time_only_looks(self) -> None:
        assert await soon(self.store.awatch("job", QUEUE, 0), PROMPT_SECONDS) is None
        assert await soon(asyncio.to_thread(self.store.watch, "job", QUEUE, 0), PROMPT_SECONDS) is None
        await self.put("job", b"value")
        assert await soon(self.store.awatch("job", QUEUE, 0), PROMPT_SECONDS) == b"value"

    async def test_two_hundred_wait_and_each_gets_its_own(self) -> None:
        waiting = [asyncio.create_task(self.store.awatch(str(each), QUEUE, 30.0)) for each in range(200)]
        await asyncio.sleep(FALLING_ASLEEP)
        await self.store.put([Record(str(each), QUEUE, b"%d" % each, 60.0) for each in range(200)])
        assert await soon(asyncio.gather(*waiting)) == [b"%d" % each for each in range(200)]

    async def test_many_wait_for_the_same_record(self) -> None:
        waiting = [asyncio.create_task(self.store.awatch("job", QUEUE, 30.0)) for _ in range(50)]
        await asyncio.sleep(FALLING_ASLEEP)
        await self.put("job", b"value")
        assert await soon(asyncio.gather(*waiting)) == [b"value"] * 50

    async def test_a_wait_for_one_record_is_not_ended_by_another(self) -> None:
        waiting = asyncio.create_task(self.store.awatch("job", QUEUE, 30.0))
        await asyncio.sleep(FALLING_ASLEEP)
        await self.put("other", b"other")
        await asyncio.sleep(FALLING_ASLEEP)
        assert not waiting.done()
        await self.put("job", b"value")
        assert await soon(waiting, PROMPT_SECONDS) == b"value"

    async def test_a_cancelled_wait_disturbs_no_other(self) -> None:
        leaving = [asyncio.create_task(self.store.awatch("job", QUEUE, 30.0)) for _ in range(5)]
        staying = asyncio.create_task(self.store.awatch("job", QUEUE, 30.0))
        await asyncio.sleep(FALLING_ASLEEP)
        for each in leaving:
            each.cancel()
            with suppress(asyncio.CancelledError):
                await each
        await self.put("job", b"value")
        assert await soon(staying, PROMPT_SECONDS) == b"value"

    async def test_cancelled_waits_do_not_wear_the_store_out(self) -> None:
        for _ in range(100):
            waiting = asyncio.create_task(self.store.awatch("job", QUEUE, 30.0))
            await asyncio.sleep(0)
            waiting.cancel()
            with suppress(asyncio.CancelledError):
                await waiting
        await self.put("job", b"value")
        assert await soon(self.store.awatch("job", QUEUE, 30.0), PROMPT_SECONDS) == b"value"
