"""What every claim store keeps for a broker that keeps nothing: subclassed for each engine, needs no such broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from umbel.contracts.broker import DONE_MARK_SECONDS, Beat, Ended, Kind, Reclaimed, SessionDead
from umbel.contracts.claims import Answer, ClaimStore, EnvelopeKeeper, NoteKeeper, Pointer, Verdict
from umbel.contracts.jobs import QueuePauser, Revoked
from umbel.contracts.powers import Record, ResultStore
from umbel.model.ids import new_session
from umbel.model.job import Counts, Delivery
from umbel.testing.clock import Clock

QUEUE = "claims"
OTHER = "claims-other"
LEASE = 10.0
DAY = 86_400.0
PARCEL = b"\x00parcel\xff"
HOSTILE = ("a:b", "{claims}", "'; drop table umbel_claims; --", "%s%d", "A", "a", "~" * 255)


class ClaimEssentials:
    """What every statement of an engine takes part in; the hooks are `make` and `make_store`, over what is empty."""

    clock: Clock
    claims: ClaimStore
    _made: list[ClaimStore]

    def make(self, clock: Callable[[], float]) -> ClaimStore:
        """A client of the engine under test, whose time is *clock*."""
        raise NotImplementedError

    def make_store(self, clock: Callable[[], float]) -> ResultStore:
        """A result store over the same data."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    async def _stage(self) -> AsyncIterator[None]:
        self._made = []
        self.clock = Clock()
        self.claims = self.client()
        yield
        for each in self._made:
            await each.aclose()
            each.close()

    def client(self) -> ClaimStore:
        """One more client."""
        made = self.make(self.clock)
        self._made.append(made)
        return made

    async def open(self, *queues: str) -> str:
        """A new session."""
        session = new_session()
        assert await self.beat(session, queues=queues or (QUEUE,), opening=True)
        return session

    async def beat(self, session: str, queues: Sequence[str] = (QUEUE,), *, opening: bool = False) -> bool:
        """One heartbeat."""
        return (await self.claims.heartbeat([Beat(session, b"info")], queues, LEASE, opening=opening))[0]

    async def claim(self, session: str, *pointers: Pointer, number: int = 1, queue: str = QUEUE) -> list[Answer]:
        """What a claim answers."""
        answers = await self.claims.claim(session, number, queue, pointers)
        assert answers is not None
        return answers

    async def held(self, job_id: str = "job", number: int = 1) -> tuple[str, Delivery]:
        """A new session that has the new job *job_id*."""
        session = await self.open()
        (answer,) = await self.claim(session, Pointer(job_id), number=number)
        assert answer == Answer("ours")
        return session, delivery(job_id, number)

    async def settle(self, session: str, *verdicts: Verdict) -> list[bool]:
        """Carry out *verdicts*."""
        return await self.claims.settle(session, verdicts)

    async def lapse(self) -> Reclaimed:
        """Let all leases run out while another session beats."""
        keeper = await self.open()
        for _ in range(8):
            self.clock.advance(LEASE / 4)
            assert await self.beat(keeper)
        return await self.claims.reclaim([QUEUE], LEASE)

    async def next_counts(self, job_id: str = "job") -> Counts:
        """The counts of a job that came back."""
        (answer,) = await self.claim(await self.open(), Pointer(job_id))
        assert (answer.verdict, answer.returned) == ("ours", True)
        return answer.counts

    async def test_one_claim_tells_new_jobs_from_those_that_came_back_are_held_elsewhere_or_have_ended(self) -> None:
        session, other = await self.open(), await self.open()
        await self.claim(session, Pointer("ended"), Pointer("back"))
        end = Verdict(delivery("ended", 1), "end", record=b"record", ttl=60.0)
        assert await self.settle(session, end, Verdict(delivery("back", 1), "release")) == [True, True]
        await self.claim(other, Pointer("held"))
        asked = [Pointer("new"), Pointer("ended"), Pointer("back"), Pointer("held")]
        answers = await self.claim(session, *asked, number=2)
        assert [each.verdict for each in answers] == ["ours", "over", "ours", "held"]
        assert [each.returned for each in answers] == [False, False, True, False]
        ends = [Verdict(delivery(name, 2), "end", ttl=60.0) for name in ("new", "held", "back", "ended", "new")]
        assert await self.settle(session, *ends) == [True, False, True, False, False]
        assert await self.claims.running([QUEUE]) == [1]

    async def test_ends_are_told_apart_where_one_is_not_ours(self) -> None:
        session, other = await self.open(), await self.open()
        await self.claim(session, Pointer("a"), Pointer("b"))
        await self.claim(other, Pointer("c"))
        ends = [Verdict(delivery(name, 1), "end", record=b"record", ttl=60.0) for name in ("a", "c", "b")]
        assert await self.settle(session, *ends) == [True, False, True]
        assert await self.claims.running([QUEUE]) == [1]

    async def test_of_a_job_that_nobody_has_received_nothing_is_known(self) -> None:
        assert (await self.claims.alocate("job", None)).guessed
        assert self.claims.locate("job", QUEUE).guessed
        await self.held()
        assert not self.claims.locate("job", None).guessed

    async def test_nothing_of_a_paused_queue_is_leased_before_it_is_resumed(self) -> None:
        assert isinstance(self.claims, QueuePauser)
        session, held = await self.held("before")
        assert self.claims.paused([QUEUE]) == [False]
        for _ in range(2):
            await self.claims.apause(QUEUE, paused=True)
        assert await self.claims.apaused([OTHER, QUEUE]) == [False, True]
        assert await self.claim(session, Pointer("a"), Pointer("b"), number=2) == [Answer("paused")] * 2
        assert await self.claim(session, number=3) == []
        assert await self.settle(session, Verdict(held, "end", ttl=60.0)) == [True]
        assert await self.claims.running([QUEUE]) == [0]
        self.claims.pause(QUEUE, paused=False)
        assert await self.claim(session, Pointer("a"), number=4) == [Answer("ours")]

    async def test_what_a_holder_amends_a_job_to_is_kept_until_a_later_message_stands_for_it(self) -> None:
        assert isinstance(self.claims, EnvelopeKeeper)
        session, held = await self.held()
        assert await self.claims.amend(session, [(held, b"first"), (delivery("no", 1), b"no")]) == [True, False]
        assert await self.claims.amend(session, [(held, b"\x00second\xff")]) == [True]
        assert await self.claims.amend(await self.open(), [(held, b"another's")]) == [False]
        assert (await self.claim(session, Pointer("job"), number=2))[0].envelope == b"\x00second\xff"
        assert await self.settle(session, Verdict(delivery("job", 2), "release")) == [True]
        (again,) = await self.claim(session, Pointer("job"), number=3)
        assert (again.verdict, again.envelope) == ("ours", b"\x00second\xff")
        assert await self.settle(session, Verdict(delivery("job", 3), "retry", generation=1)) == [True]
        (again,) = await self.claim(session, Pointer("job", 1), number=4)
        assert (again.verdict, again.envelope) == ("ours", b"")

    async def test_a_session_is_opened_once_and_beats(self) -> None:
        session = await self.open()
        assert not await self.beat(session, opening=True)
        assert await self.beat(session)
        assert not await self.beat(new_session())

    async def test_it_answers_when_the_next_lease_ends(self) -> None:
        assert await self.claims.reclaim([QUEUE], LEASE) == Reclaimed()
        await self.open()
        self.clock.advance(LEASE / 4)
        await self.open()
        answer = await self.claims.reclaim([QUEUE], LEASE)
        assert answer.next_deadline == pytest.approx(LEASE * 3 / 4, abs=0.1)

    async def test_open_sessions_are_listed_with_their_jobs(self) -> None:
        session = await self.open(QUEUE, OTHER)
        await self.claim(session, Pointer("here"))
        await self.claim(session, Pointer("there"), queue=OTHER)
        (info,) = await self.claims.sessions([QUEUE, OTHER])
        assert (info.session, info.info, sorted(info.held)) == (session, b"info", ["here", "there"])
        assert info.lease_left == pytest.approx(LEASE, abs=0.1)
        assert await self.claims.running([OTHER, QUEUE]) == [1, 1]
        assert await self.claims.queues() == [QUEUE, OTHER]

    async def test_of_many_sessions_that_claim_at_once_one_gets_the_job(self) -> None:
        clients = [self.client() for _ in range(4)]
        sessions = [await self.open() for _ in clients]
        names = [Pointer(str(number)) for number in range(10)]
        pairs = zip(clients, sessions, strict=True)
        answers = await asyncio.gather(*(client.claim(session, 1, QUEUE, names) for client, session in pairs))
        for of_one_job in zip(*(answer or () for answer in answers), strict=True):
            assert sorted(each.verdict for each in of_one_job) == ["held", "held", "held", "ours"]

    # --- doom

    async def test_a_job_that_was_doomed_before_anybody_received_it_is_claimed_doomed(self) -> None:
        session = await self.open(QUEUE, OTHER)
        assert await self.claims.adoom([("job", QUEUE)]) == [Revoked("job", "unknown")]
        assert self.claims.doom([("other", None)]) == [Revoked("other", "unknown")]
        assert (await self.claims.alocate("job", None)).doom == "revoked"
        doomed = Answer("ours", Counts(doom="revoked"))
        assert await self.claim(session, Pointer("job"), Pointer("free"), Pointer("other")) == [
            doomed, Answer("ours"), doomed,
        ]  # fmt: skip
        assert await self.claim(session, Pointer("job"), Pointer("other"), queue=OTHER) == [Answer("ours"), doomed]

    async def test_doom_outlives_verdicts_and_sessions_and_the_first_one_stays(self) -> None:
        session, mine = await self.held()
        for _ in range(2):
            assert await self.claims.adoom([("job", None)]) == [Revoked("job", "running", QUEUE)]
        assert self.claims.locate("job", QUEUE).doom == "revoked"
        assert await self.settle(session, Verdict(mine, "retry", generation=1, counts=Counts(retries=1))) == [True]
        session = await self.open()
        (answer,) = await self.claim(session, Pointer("job", 1))
        assert answer == Answer("ours", Counts(retries=1, doom="revoked"), returned=True)
        await self.claims.reclaim([QUEUE], LEASE, [Ended(session, ("job",), (("job", "memory"),))])
        (answer,) = await self.claim(await self.open(), Pointer("job", 1))
        assert answer.counts == Counts(retries=1, doom="revoked")

    async def test_a_job_for_whose_sake_its_session_was_ended_is_doomed_and_not_charged(self) -> None:
        session = await self.open()
        await self.claim(session, Pointer("guilty"), Pointer("beside"))
        await self.claims.reclaim([QUEUE], LEASE, [Ended(session, ("guilty",), (("guilty", "timeout"),))])
        assert await self.next_counts("guilty") == Counts(doom="timeout")
        assert await self.next_counts("beside") == Counts()

    async def test_of_what_is_over_it_is_only_told_and_doom_is_gone_with_its_job(self) -> None:
        for name in ("dead", "ended"):
            session, mine = await self.held(name)
            await self.claims.adoom([(name, QUEUE)])
            kind: Kind = "dead" if name == "dead" else "end"
            assert await self.settle(session, Verdict(mine, kind, record=b"record", ttl=60.0)) == [True]
        told = [Revoked("dead", "dead", QUEUE), Revoked("ended", "ended", QUEUE)]
        assert await self.claims.adoom([("dead", QUEUE), ("ended", QUEUE)]) == told
        assert [(await self.claims.alocate(each, QUEUE)).doom for each in ("dead", "ended")] == ["", ""]

    async def test_hostile_ids_are_only_ids(self) -> None:
        session = await self.open()
        answers = await self.claim(session, *map(Pointer, HOSTILE))
        assert answers == [Answer("ours")] * len(HOSTILE)
        assert await self.settle(session, *(Verdict(delivery(each), "end", ttl=60.0) for each in HOSTILE)) == [
            True
        ] * len(HOSTILE)

    async def test_hundreds_of_jobs_are_claimed_and_settled_in_one_call(self) -> None:
        names = [str(number) for number in range(300)]
        session = await self.open()
        assert await self.claim(session, *map(Pointer, names)) == [Answer("ours")] * 300
        verdicts = [Verdict(delivery(each), "end", ttl=60.0) for each in names]
        assert await self.settle(session, *verdicts) == [True] * 300
        assert await self.claims.running([QUEUE]) == [0]

    async def test_an_ended_job_is_over_with_its_parcel_until_that_is_published(self) -> None:
        session, mine = await self.held()
        assert await self.settle(session, Verdict(mine, "end", ttl=60.0, generation=1, parcel=PARCEL)) == [True]
        assert await self.claim(session, Pointer("job"), number=2) == [Answer("over", parcel=PARCEL)]
        await self.claims.published(QUEUE, "job", b"another")
        assert await self.claim(session, Pointer("job"), number=3) == [Answer("over", parcel=PARCEL)]
        await self.claims.published(QUEUE, "job", PARCEL)
        assert await self.claim(session, Pointer("job"), number=4) == [Answer("over")]

    async def test_the_first_record_of_a_job_wins(self) -> None:
        session, mine = await self.held()
        store = self.make_store(self.clock)
        await store.put([Record("job", QUEUE, b"first", 60.0)])
        assert await self.settle(session, Verdict(mine, "end", record=b"second", ttl=60.0)) == [True]
        assert await store.afetch("job", QUEUE) == b"first"
        await store.aclose()
        store.close()

    async def test_names_of_parked_jobs_are_struck_out_unless_one_was_parked_since(self) -> None:
        session, mine = await self.held()
        park = Verdict(mine, "park", generation=1, task="task", parcel=PARCEL)
        assert await self.settle(session, park) == [True]
        (before,) = await self.claims.parked([QUEUE], {"task", "other"})
        assert set(before) == {"task"}
        await self.claims.published(QUEUE, "job", PARCEL, "task")
        await self.claims.unparked(QUEUE, before)
        (since,) = await self.claims.parked([QUEUE], {"task", "other"})
        assert set(since) == {"task"}
        await self.claims.unparked(QUEUE, since)
        assert await self.claims.parked([QUEUE, OTHER], {"task"}) == [{}, {}]

    async def test_the_last_note_of_the_holder_is_shown_until_the_job_is_over(self) -> None:
        assert isinstance(self.claims, NoteKeeper)
        session, mine = await self.held()
        assert (await self.claims.alocate("job", QUEUE)).note == b""
        theirs, stale = delivery("job", 2), delivery("other")
        notes = [(mine, b"one"), (theirs, b"no"), (stale, b"no"), (mine, b"\x00two\xff")]
        assert await self.claims.note(session, notes) == [True, False, False, True]
        assert await self.claims.note(await self.open(), [(mine, b"no")]) == [False]
        assert await self.settle(session, Verdict(mine, "retry", generation=1)) == [True]
        assert await self.claims.note(session, [(mine, b"no")]) == [False]
        assert {self.claims.locate("job", queue).note for queue in (QUEUE, None)} == {b"\x00two\xff"}
        await self.claim(session, Pointer("job", 1), number=2)
        await self.claims.reclaim([QUEUE], LEASE, [Ended(session)])
        assert await self.claims.note(session, [(theirs, b"dead")]) == [False]
        session = await self.open()
        assert (await self.claim(session, Pointer("job", 1)))[0].verdict == "ours"
        assert (await self.claims.alocate("job", QUEUE)).note == b"\x00two\xff"
        assert await self.settle(session, Verdict(mine, "end", ttl=60.0, generation=2, parcel=PARCEL)) == [True]
        assert (await self.claims.alocate("job", QUEUE)).note == b""

    async def test_a_marked_job_of_a_lapsed_session_is_charged_a_crash_once(self) -> None:
        session, mine = await self.held()
        assert not await self.claims.mark(session, delivery("job", 2))
        assert await self.claims.mark(session, mine)
        assert await self.claims.mark(session, mine)
        assert (await self.lapse()).returned == 1
        assert await self.next_counts() == Counts(crashes=1)
        await self.lapse()
        assert await self.next_counts() == Counts(crashes=1, losses=1)
        assert not await self.claims.mark(session, mine)

    async def test_a_job_is_followed_through_its_life(self) -> None:
        assert await self.place() == ("ready", 0)
        session, mine = await self.held()
        assert await self.place() == ("running", 0)
        await self.settle(session, Verdict(mine, "retry", generation=1, counts=Counts(retries=2), delay=5.0))
        assert await self.place() == ("delayed", 2)
        await self.claim(session, Pointer("job", 1), number=2)
        await self.settle(session, Verdict(delivery("job", 2), "park", generation=2, task="task"))
        assert (await self.place())[0] == "parked"
        await self.claim(session, Pointer("job", 2), number=3)
        await self.settle(session, Verdict(delivery("job", 3), "release"))
        assert (await self.place())[0] == "ready"
        await self.claim(session, Pointer("job", 2), number=4)
        await self.settle(session, Verdict(delivery("job", 4), "end", record=b"record", ttl=60.0))
        assert (await self.place())[0] == "ended"

    async def place(self) -> tuple[str, int]:
        """Where the job is and how often it was retried, asked in each of the four ways."""
        answers = {self.claims.locate("job", QUEUE), await self.claims.alocate("job", QUEUE)}
        anywhere = {self.claims.locate("job", None), await self.claims.alocate("job", None)}
        places = {(each.place, each.retries) for each in answers | anywhere}
        assert len(places) == 1
        return places.pop()


class ClaimSuite(ClaimEssentials):
    """All verbs of `ClaimStore`."""

    # --- sessions

    async def test_a_session_lost_in_one_queue_is_told_so(self) -> None:
        session = await self.open(QUEUE, OTHER)
        await self.claims.reclaim([OTHER], LEASE, [Ended(session)])
        assert not await self.beat(session, (QUEUE, OTHER))
        assert await self.beat(session)

    async def test_a_dead_session_is_never_revived_and_claims_nothing(self) -> None:
        session = await self.open()
        await self.claims.reclaim([QUEUE], LEASE, [Ended(session)])
        assert not await self.beat(session)
        assert not await self.beat(session, opening=True)
        with pytest.raises(SessionDead):
            await self.claim(session, Pointer("job"))
        with pytest.raises(SessionDead):
            await self.claims.reconcile(session, 1, [QUEUE], [])

    async def test_a_silence_of_all_is_an_outage_and_nobody_lapses_at_once(self) -> None:
        session, mine = await self.held()
        self.clock.advance(3 * LEASE)
        assert (await self.claims.reclaim([QUEUE], LEASE)).returned == 0
        assert await self.beat(session)
        assert await self.settle(session, Verdict(mine, "end", ttl=60.0)) == [True]

    # --- claiming

    async def test_a_job_is_claimed_by_one_session_only(self) -> None:
        await self.held()
        (answer,) = await self.claim(await self.open(), Pointer("job"))
        assert answer.verdict == "held"
        assert answer.seconds == pytest.approx(LEASE, abs=0.1)

    async def test_a_session_that_asks_again_has_its_job_under_the_new_number(self) -> None:
        session, old = await self.held()
        assert (await self.claim(session, Pointer("job"), number=2))[0].verdict == "ours"
        assert await self.settle(session, Verdict(old, "end", ttl=60.0)) == [False]
        assert await self.settle(session, Verdict(delivery("job", 2), "end", ttl=60.0)) == [True]

    async def test_a_claim_under_an_earlier_number_is_refused(self) -> None:
        session, _ = await self.held(number=2)
        assert await self.claims.claim(session, 1, QUEUE, [Pointer("other")]) is None
        assert await self.claims.claim(session, 2, QUEUE, [Pointer("other")]) is None
        assert await self.claims.running([QUEUE]) == [1]

    async def test_a_claim_of_nothing_is_a_sign_of_life(self) -> None:
        assert await self.claim(await self.open()) == []

    async def test_a_message_of_an_earlier_generation_is_over(self) -> None:
        session, mine = await self.held()
        retry = Verdict(mine, "retry", generation=1, counts=Counts(retries=1), parcel=PARCEL)
        assert await self.settle(session, retry) == [True]
        (old, new) = await self.claim(session, Pointer("job"), Pointer("job", 1), number=2)
        assert old == Answer("over", parcel=PARCEL)
        assert new == Answer("ours", Counts(retries=1), returned=True)

    # --- settling

    async def test_the_mark_of_an_end_lasts_for_its_time(self) -> None:
        session, mine = await self.held()
        await self.settle(session, Verdict(mine, "end", ttl=DONE_MARK_SECONDS))
        self.clock.advance(DONE_MARK_SECONDS - 1)
        assert await self.beat(session)
        assert (await self.claim(session, Pointer("job"), number=2))[0].verdict == "over"

    @pytest.mark.parametrize("kind", ["end", "dead"])
    async def test_a_record_is_stored_with_the_end(self, kind: str) -> None:
        session, mine = await self.held()
        verdict = Verdict(mine, kind, record=b"record", ttl=60.0)  # type: ignore[arg-type]
        assert await self.settle(session, verdict) == [True]
        store = self.make_store(self.clock)
        assert await store.afetch("job", QUEUE) == b"record"
        await store.aclose()
        store.close()

    async def test_a_settle_is_carried_out_once_and_by_the_holder_alone(self) -> None:
        session, mine = await self.held()
        verdict = Verdict(mine, "end", ttl=60.0)
        assert await self.settle(await self.open(), verdict) == [False]
        assert await self.settle(session, Verdict(delivery("job", 7), "end", ttl=60.0)) == [False]
        assert await self.settle(session, verdict, verdict) == [True, False]
        assert await self.settle(session, verdict) == [False]

    @pytest.mark.parametrize("kind", ["end", "dead", "retry", "release", "park"])
    async def test_a_dead_session_settles_nothing(self, kind: str) -> None:
        session, mine = await self.held()
        await self.lapse()
        verdict = Verdict(mine, kind, ttl=60.0, task="task", parcel=PARCEL)  # type: ignore[arg-type]
        assert await self.settle(session, verdict) == [False]
        assert await self.next_counts() == Counts(losses=1)

    async def test_a_released_job_is_free_and_charged_nothing(self) -> None:
        session, mine = await self.held()
        assert await self.settle(session, Verdict(mine, "release")) == [True]
        assert await self.next_counts() == Counts()

    async def test_verdicts_of_several_queues_are_carried_out_in_one_call(self) -> None:
        session = await self.open(QUEUE, OTHER)
        await self.claim(session, Pointer("here"))
        await self.claim(session, Pointer("there"), queue=OTHER)
        here, there = Verdict(delivery("here"), "end"), Verdict(delivery("there", queue=OTHER), "release")
        assert await self.settle(session, here, Verdict(delivery("nowhere"), "end"), there) == [True, False, True]

    # --- giving back

    async def test_what_a_session_does_not_list_is_given_up_uncharged(self) -> None:
        session = await self.open()
        await self.claim(session, Pointer("1"), Pointer("2"), Pointer("3"))
        held = [delivery("2"), delivery("2", 9)]
        assert sorted(await self.claims.reconcile(session, 2, [QUEUE], held)) == ["1", "3"]
        assert await self.claims.reconcile(session, 2, [QUEUE], held) == []
        assert await self.claims.claim(session, 2, QUEUE, [Pointer("1")]) is None
        assert await self.next_counts("1") == Counts()

    async def test_a_started_job_of_an_ended_session_is_charged_a_crash_and_its_neighbours_nothing(self) -> None:
        session = await self.open()
        await self.claim(session, Pointer("guilty"), Pointer("beside"))
        ended = [Ended(session, ("guilty",))]
        assert (await self.claims.reclaim([QUEUE], LEASE, ended)).returned == 2
        assert (await self.claims.reclaim([QUEUE], LEASE, ended)).returned == 0
        assert await self.next_counts("guilty") == Counts(crashes=1)
        assert await self.next_counts("beside") == Counts()

    async def test_charges_leave_the_retries_alone_and_add_up(self) -> None:
        session, mine = await self.held()
        await self.settle(session, Verdict(mine, "retry", generation=1, counts=Counts(retries=2, crashes=1)))
        for _ in range(2):
            session = await self.open()
            assert (await self.claim(session, Pointer("job", 1)))[0].verdict == "ours"
            await self.claims.reclaim([QUEUE], LEASE, [Ended(session, ("job",))])
        (answer,) = await self.claim(await self.open(), Pointer("job", 1))
        assert answer.counts == Counts(retries=2, crashes=3)

    async def test_a_call_frees_at_most_two_hundred_jobs_and_the_session_is_dead_meanwhile(self) -> None:
        session = await self.open()
        await self.claim(session, *(Pointer(str(number)) for number in range(250)))
        assert (await self.claims.reclaim([QUEUE], LEASE, [Ended(session)])).returned == 200
        assert not await self.beat(session)
        assert (await self.claims.reclaim([QUEUE], LEASE, [Ended(session)])).returned == 50
        assert await self.claims.running([QUEUE]) == [0]

    # --- where a job is

    async def test_a_dead_letter_is_called_dead(self) -> None:
        session, mine = await self.held()
        await self.settle(session, Verdict(mine, "dead", record=b"record", ttl=60.0))
        assert (await self.place())[0] == "dead"


def delivery(job_id: str, number: int = 1, queue: str = QUEUE) -> Delivery:
    """A delivery as far as a claim store looks at it."""
    return Delivery(job_id, queue, 9, number, b"")
