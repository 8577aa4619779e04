"""The contract of claims on a SQL database. What each verb does is in `verbs`, one transaction each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

from umbel.claims.sessions import merged
from umbel.claims.sql import verbs
from umbel.claims.sql.event_log import SqlEventLog
from umbel.claims.sql.flows import SqlFlows
from umbel.claims.sql.mailbox import SqlMailbox
from umbel.claims.sql.outbox import SqlOutbox
from umbel.claims.sql.schedules import SqlSchedules, is_watched
from umbel.claims.sql.verbs import Claim, Claimed, Settled
from umbel.contracts.broker import Beat, Ended, Reclaimed, SessionDead
from umbel.contracts.claims import Answer, Pointer, Verdict
from umbel.contracts.jobs import Revoked
from umbel.contracts.powers import Location, SessionInfo
from umbel.engines import sql_claims as tables
from umbel.engines import sql_health
from umbel.engines.sql import Connection, SqlEngine
from umbel.engines.threads import Threads
from umbel.exceptions import BrokerUnavailable
from umbel.model.finding import Finding
from umbel.model.job import Delivery

T = TypeVar("T")

MAX_FREED: Final = 200


class SqlClaims:
    """`ClaimStore` in one database, beside the records that `umbel.stores.sql` reads there.

    It keeps notes, boxes, the log of events, flows and schedules: a `FlowKeeper`. *clock* answers unix seconds and is
    for tests: it replaces the server's clock in every decision.
    """

    def __init__(self, engine: SqlEngine, deadline: float, clock: Callable[[], float] | None = None) -> None:
        self._engine = engine
        self._threads = Threads(engine.name, deadline)
        self._clock = clock
        self._server = tables.Clock()
        self.keeps_flows = True
        self.mailbox = SqlMailbox(engine, self._threads, self._now)
        self.event_log = SqlEventLog(engine, self._threads)
        self.flow_store = SqlFlows(engine, self._threads, self._now)
        self.schedule_store = SqlSchedules(engine, self._threads, self._now)
        self.outbox = SqlOutbox(engine, self._threads, self._now)

    async def heartbeat(
        self, beats: Sequence[Beat], queues: Sequence[str], lease: float, *, opening: bool = False
    ) -> list[bool]:
        """Renew or open the sessions of *beats*; a session counts as alive if it is so in every queue."""

        def step(connection: Connection, queue: str) -> list[bool]:
            now = self._now(connection)
            return verbs.heartbeat(connection, now, queue, beats, int(lease * 1000), opening=opening)

        answers = [await self._run(partial(step, queue=queue)) for queue in sorted(queues)]
        return [all(answer[place] for answer in answers) for place in range(len(beats))]

    async def claim(self, session: str, number: int, queue: str, pointers: Sequence[Pointer]) -> list[Answer] | None:
        """Lease the jobs of *pointers*."""
        claimed = await self._threads.acall(self._claimed, Claim(session, number, queue), pointers)
        if claimed.is_waiting:
            self.outbox.tell([queue])
        return claimed.answers

    async def settle(self, session: str, verdicts: Sequence[Verdict]) -> list[bool]:
        """Carry out *verdicts*, with their joins, in one transaction; those that are not ours are looked at anew."""
        if not verdicts:
            return []
        settled = await self._threads.acall(self._settled, session, verdicts)
        self.outbox.tell(settled.waiting)
        return settled.ours

    async def published(self, queue: str, job_id: str, parcel: bytes, task: str = "") -> None:
        """Forget *parcel*."""

        def step(connection: Connection) -> None:
            tables.unpack(connection, queue, job_id, parcel)
            if task:
                tables.park(connection, queue, task)

        await self._run(step)

    async def reconcile(self, session: str, number: int, queues: Sequence[str], held: Sequence[Delivery]) -> list[str]:
        """Give up what *session* has beyond *held*."""

        def step(connection: Connection, queue: str) -> list[str] | None:
            return verbs.reconcile(connection, self._now(connection), session, number, queue, held)

        answers = [await self._run(partial(step, queue=queue)) for queue in queues]
        if all(answer is None for answer in answers):
            raise SessionDead(session)
        return [job_id for answer in answers for job_id in answer or ()]

    async def mark(self, session: str, delivery: Delivery) -> bool:
        """Note durably that *delivery* is about to start alone."""
        return await self._run(lambda line: verbs.mark(line, session, delivery))

    async def note(self, session: str, notes: Sequence[tuple[Delivery, bytes]]) -> list[bool]:
        """Keep what the holders of jobs note of their progress; see `NoteKeeper`."""
        if not notes:
            return []
        return await self._run(lambda line: verbs.keep(line, session, notes, "note"))

    async def amend(self, session: str, amended: Sequence[tuple[Delivery, bytes]]) -> list[bool]:
        """Keep what the holders of jobs amend them to; see `EnvelopeKeeper`."""
        if not amended:
            return []
        return await self._run(lambda line: verbs.keep(line, session, amended, "envelope"))

    async def reclaim(self, queues: Sequence[str], lease: float, ended: Sequence[Ended] = ()) -> Reclaimed:
        """Free what ended and lapsed sessions had; at most 200 jobs a call."""
        milliseconds = int(lease * 1000)
        returned = 0
        deadlines: list[int] = []

        def close(connection: Connection, queue: str, end: Ended) -> int:
            return verbs.close(connection, self._now(connection), queue, end, milliseconds, MAX_FREED - returned)

        def lapsed(connection: Connection, queue: str) -> tuple[int, int | None]:
            return verbs.reclaim(connection, self._now(connection), queue, milliseconds, MAX_FREED - returned)

        for queue in queues:
            for end in ended:
                if returned < MAX_FREED:
                    returned += await self._run(partial(close, queue=queue, end=end))
        for queue in queues:
            freed, deadline = await self._run(partial(lapsed, queue=queue))
            returned += freed
            deadlines += [] if deadline is None else [deadline]
        soonest = min(deadlines, default=None)
        return Reclaimed(returned=returned, next_deadline=None if soonest is None else soonest / 1000)

    async def parked(self, queues: Sequence[str], tasks: Collection[str]) -> list[dict[str, int]]:
        """Under which of *tasks* jobs are parked, for each of *queues*, and how often jobs were parked there."""
        return await self._run(lambda line: [tables.parked(line, queue, tasks) for queue in queues])

    async def unparked(self, queue: str, tasks: Mapping[str, int]) -> None:
        """Strike out *tasks*, unless jobs were parked there since."""

        def step(connection: Connection) -> None:
            for task, times in sorted(tasks.items()):
                tables.unpark(connection, queue, task, times)

        await self._run(step)

    async def queues(self) -> list[str]:
        """The names of all queues in which a session was opened, sorted."""
        return sorted(await self._run(tables.queues))

    async def running(self, queues: Sequence[str]) -> list[int]:
        """How many jobs are leased in each of *queues*."""
        return await self._run(lambda line: [tables.count_held(line, queue) for queue in queues])

    async def sessions(self, queues: Sequence[str]) -> list[SessionInfo]:
        """The open sessions of *queues*."""
        return await self._run(lambda line: merged(each for queue in queues for each in self._sessions(line, queue)))

    def locate(self, job_id: str, queue: str | None) -> Location:
        """Where a job is, as far as is known here."""
        return self._threads.call(self._engine.run, self._looking(job_id, queue))

    async def alocate(self, job_id: str, queue: str | None) -> Location:
        """The async twin of `locate`."""
        return await self._run(self._looking(job_id, queue))

    def doom(self, keys: Sequence[tuple[str, str | None]]) -> list[Revoked]:
        """Doom the jobs of *keys*, one transaction each."""
        everywhere = any(queue is None for _, queue in keys)
        names = self._threads.call(self._engine.run, tables.queues) if everywhere else []
        return [self._threads.call(self._engine.run, self._dooming(*key, names)) for key in keys]

    async def adoom(self, keys: Sequence[tuple[str, str | None]]) -> list[Revoked]:
        """The async twin of `doom`."""
        names = await self._run(tables.queues) if any(queue is None for _, queue in keys) else []
        return [await self._run(self._dooming(*key, names)) for key in keys]

    def pause(self, queue: str, *, paused: bool) -> None:
        """Let nobody claim a job of *queue*, or everybody again; see `QueuePauser.pause`."""
        self._threads.call(self._engine.run, partial(tables.pause, queue=queue, paused=paused))

    async def apause(self, queue: str, *, paused: bool) -> None:
        """The async twin of `pause`."""
        await self._run(partial(tables.pause, queue=queue, paused=paused))

    def paused(self, queues: Sequence[str]) -> list[bool]:
        """Which of *queues* are paused."""
        found = self._threads.call(self._engine.run, partial(tables.paused, names=queues))
        return [queue in found for queue in queues]

    async def apaused(self, queues: Sequence[str]) -> list[bool]:
        """The async twin of `paused`."""
        found = await self._run(partial(tables.paused, names=queues))
        return [queue in found for queue in queues]

    async def watched(self, job_id: str, queue: str) -> bool:
        """Whether a job of a schedule has not ended."""
        return await self._run(lambda line: is_watched(line, job_id, queue))

    async def examine(self, *, thorough: bool = False) -> list[Finding]:
        """How it stands with the database; see `Examiner`."""
        del thorough
        state = await self._run(lambda line: (sql_health.look(line), self._now(line)))
        return sql_health.findings(state[0], state[1] / 1000)

    def close(self) -> None:
        """Give back all connections of this process."""
        self._engine.close()

    async def aclose(self) -> None:
        """The same as `close`: the threads serve all event loops of the process."""
        await asyncio.to_thread(self._engine.close)

    async def _run(self, step: Callable[[Connection], T]) -> T:
        return await self._threads.acall(self._engine.run, step)

    def _claimed(self, asked: Claim, pointers: Sequence[Pointer]) -> Claimed:
        if not pointers or not self._engine.is_swift:
            return self._once(lambda line: verbs.claim(line, self._now(line), asked, pointers))
        found, begun, others = self._once(lambda line: verbs.claim_new(line, self._told(), asked, pointers), bare=True)
        if not others or found.answers is None:
            return found
        left = [pointers[place] for place in others]
        rest = self._once(lambda line: verbs.claim(line, self._now(line), begun, left))
        if rest.answers is None:
            return rest
        for place, answer in zip(others, rest.answers, strict=True):
            found.answers[place] = answer
        return found

    def _settled(self, session: str, verdicts: Sequence[Verdict]) -> Settled:
        left = [*range(len(verdicts))]
        if self._engine.is_swift and verbs.are_plain_ends(verdicts):
            left = self._engine.run(lambda line: verbs.settle_ends(line, self._told(), session, verdicts), bare=True)
            if not left:
                return Settled([True] * len(verdicts), [])
        rest = [verdicts[place] for place in left]
        settled = self._engine.run(lambda line: verbs.settle(line, self._now(line), session, rest))
        ours = [True] * len(verdicts)
        for place, our in zip(left, settled.ours, strict=True):
            ours[place] = our
        return Settled(ours, settled.waiting)

    def _once(self, step: Callable[[Connection], T], *, bare: bool = False) -> T:
        """Carry out *step*, and never again if it may have been: see `ClaimStore.claim`."""
        tried = False

        def trying(connection: Connection) -> T:
            nonlocal tried
            if tried:  # what may have been leased already is to be told to nobody but a reconcile
                raise BrokerUnavailable(f"{self._engine.name} gave no answer to a claim")
            tried = bare
            answer = step(connection)
            tried = True
            return answer

        return self._engine.run(trying, bare=bare)

    def _told(self) -> int | None:
        """The time that the server is told, if it is."""
        return None if self._clock is None else int(self._clock() * 1000)

    def _now(self, connection: Connection) -> int:
        return self._server.now(connection) if self._clock is None else int(self._clock() * 1000)

    def _looking(self, job_id: str, queue: str | None) -> Callable[[Connection], Location]:
        return lambda line: verbs.locate(line, self._now(line), job_id, queue)

    def _dooming(self, job_id: str, queue: str | None, names: Sequence[str]) -> Callable[[Connection], Revoked]:
        return lambda line: verbs.doom(line, self._now(line), job_id, names if queue is None else [queue])

    def _sessions(self, connection: Connection, queue: str) -> list[tuple[bytes, bytes, int, list[bytes]]]:
        now = self._now(connection)
        ids: dict[str, list[bytes]] = {}
        for session, job_id in tables.held_ids(connection, queue):
            ids.setdefault(session, []).append(job_id.encode())
        return [
            (name.encode(), info, deadline - now, ids.get(name, []))
            for name, info, deadline in tables.open_sessions(connection, queue)
        ]
