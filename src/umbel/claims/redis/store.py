"""The contract of claims on Redis. What each verb does is in `operations`, how it travels in `umbel.engines.redis`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from umbel.claims.redis import operations
from umbel.claims.redis.keeping import CarriedCalls, KeptFlows, KeptSchedules, RedisOutbox, watched
from umbel.claims.redis.operations import Calls
from umbel.contracts.broker import Beat, Ended, Reclaimed
from umbel.contracts.claims import Answer, Pointer, Verdict
from umbel.contracts.event_log import Kept
from umbel.contracts.jobs import Revoked
from umbel.contracts.mailbox import MAX_HEARD, Letter
from umbel.contracts.powers import Location, SessionInfo
from umbel.engines import redis_health
from umbel.engines.operation import adrive, drive
from umbel.engines.patience import ONE_TRY
from umbel.engines.redis_address import parse
from umbel.engines.redis_boxes import RedisBoxes
from umbel.engines.redis_layout import CARRIED_EVENTS, events
from umbel.engines.redis_log import RedisLog
from umbel.engines.redis_opening import opened
from umbel.model.finding import Finding
from umbel.model.job import Delivery
from umbel.settings import Settings

BOXES: Final = "c:"
"""What the names of boxes begin with: apart from those of a broker that is this Redis itself."""


class RedisClaims:
    """`ClaimStore` on one database of a Redis server (>= 6.2) or on a Cluster, beside the records of the result store.

    It keeps notes, boxes and the log of events; on one server alone flows and schedules, too: a `FlowKeeper`. *clock*
    answers unix seconds and is for tests: it replaces the server's clock in every decision.
    """

    def __init__(self, url: str, settings: Settings, clock: Callable[[], float] | None = None) -> None:
        one_try = ONE_TRY * settings.broker_send_deadline
        address = parse(url, timeout=one_try, connect_timeout=settings.broker_connection_timeout)
        self._engine = opened(address, settings.broker_send_deadline)
        self._calls = Calls(events(address.db), clock)
        self._carried = CarriedCalls(clock)
        self.keeps_flows = not address.nodes and address.watch is None
        self.flow_store = KeptFlows(self._carried, self._engine)
        self.schedule_store = KeptSchedules(self._carried, self._engine)
        self.outbox = RedisOutbox(self._carried, self._engine, self._calls)
        self.event_log = RedisLog(self._engine, CARRIED_EVENTS, Kept)
        self.mailbox = RedisBoxes(self._carried, self._engine, Letter, MAX_HEARD, BOXES)

    async def heartbeat(
        self, beats: Sequence[Beat], queues: Sequence[str], lease: float, *, opening: bool = False
    ) -> list[bool]:
        """Renew or open the sessions of *beats*; one round trip."""
        steps = operations.heartbeat(self._calls, beats, queues, lease, opening=opening)
        return await adrive(steps, self._engine.acall)

    async def claim(self, session: str, number: int, queue: str, pointers: Sequence[Pointer]) -> list[Answer] | None:
        """Lease the jobs of *pointers*; one round trip."""
        return await adrive(operations.claim(self._calls, session, number, queue, pointers), self._engine.acall)

    async def settle(self, session: str, verdicts: Sequence[Verdict]) -> list[bool]:
        """Carry out *verdicts*; one round trip a queue and 256 items."""
        return await adrive(operations.settle(self._calls, session, verdicts), self._engine.acall)

    async def published(self, queue: str, job_id: str, parcel: bytes, task: str = "") -> None:
        """Forget *parcel*."""
        await adrive(operations.published(self._calls, queue, job_id, parcel, task), self._engine.acall)

    async def reconcile(self, session: str, number: int, queues: Sequence[str], held: Sequence[Delivery]) -> list[str]:
        """Give up what *session* has beyond *held*."""
        return await adrive(operations.reconcile(self._calls, session, number, queues, held), self._engine.acall)

    async def mark(self, session: str, delivery: Delivery) -> bool:
        """Note durably that *delivery* is about to start alone."""
        return await adrive(operations.mark(self._calls, session, delivery), self._engine.acall)

    async def note(self, session: str, notes: Sequence[tuple[Delivery, bytes]]) -> list[bool]:
        """Keep what the holders of jobs note of their progress; see `NoteKeeper`."""
        return await adrive(operations.note(self._calls, session, notes), self._engine.acall)

    async def amend(self, session: str, amended: Sequence[tuple[Delivery, bytes]]) -> list[bool]:
        """Keep what the holders of jobs amend them to; see `EnvelopeKeeper`."""
        return await adrive(operations.amend(self._calls, session, amended), self._engine.acall)

    async def reclaim(self, queues: Sequence[str], lease: float, ended: Sequence[Ended] = ()) -> Reclaimed:
        """Free what ended and lapsed sessions had; at most 200 jobs a call."""
        return await adrive(operations.reclaim(self._calls, queues, lease, ended), self._engine.acall)

    async def parked(self, queues: Sequence[str], tasks: Collection[str]) -> list[dict[str, int]]:
        """Under which of *tasks* jobs are parked, for each of *queues*, and how often jobs were parked there."""
        return await adrive(operations.parked(self._calls, queues, tasks), self._engine.acall)

    async def unparked(self, queue: str, tasks: Mapping[str, int]) -> None:
        """Strike out *tasks*, unless jobs were parked there since."""
        await adrive(operations.unparked(self._calls, queue, tasks), self._engine.acall)

    async def queues(self) -> list[str]:
        """The names of all queues in which a session was opened, sorted."""
        return await adrive(operations.queues(), self._engine.acall)

    async def running(self, queues: Sequence[str]) -> list[int]:
        """How many jobs are leased in each of *queues*."""
        return await adrive(operations.running(self._calls, queues), self._engine.acall)

    async def sessions(self, queues: Sequence[str]) -> list[SessionInfo]:
        """The open sessions of *queues*."""
        return await adrive(operations.sessions(self._calls, queues), self._engine.acall)

    def locate(self, job_id: str, queue: str | None) -> Location:
        """Where a job is, as far as is known here."""
        return drive(operations.locate(self._calls, job_id, queue), self._engine.call)

    async def alocate(self, job_id: str, queue: str | None) -> Location:
        """The async twin of `locate`."""
        return await adrive(operations.locate(self._calls, job_id, queue), self._engine.acall)

    def doom(self, keys: Sequence[tuple[str, str | None]]) -> list[Revoked]:
        """Doom the jobs of *keys*; a queue's in atomic steps of 500."""
        return drive(operations.doom(self._calls, keys), self._engine.call)

    async def adoom(self, keys: Sequence[tuple[str, str | None]]) -> list[Revoked]:
        """The async twin of `doom`."""
        return await adrive(operations.doom(self._calls, keys), self._engine.acall)

    def pause(self, queue: str, *, paused: bool) -> None:
        """Let nobody claim a job of *queue*, or everybody again; see `QueuePauser.pause`."""
        drive(operations.pause(self._calls, queue, paused=paused), self._engine.call)

    async def apause(self, queue: str, *, paused: bool) -> None:
        """The async twin of `pause`."""
        await adrive(operations.pause(self._calls, queue, paused=paused), self._engine.acall)

    def paused(self, queues: Sequence[str]) -> list[bool]:
        """Which of *queues* are paused; one round trip."""
        return drive(operations.paused(self._calls, queues), self._engine.call)

    async def apaused(self, queues: Sequence[str]) -> list[bool]:
        """The async twin of `paused`."""
        return await adrive(operations.paused(self._calls, queues), self._engine.acall)

    async def watched(self, job_id: str, queue: str) -> bool:
        """Whether a job of a schedule has not ended."""
        return await adrive(watched(self._calls, job_id, queue), self._engine.acall)

    async def examine(self, *, thorough: bool = False) -> list[Finding]:
        """How it stands with the server; see `Examiner`."""
        del thorough
        return await redis_health.examine(self._engine)

    def close(self) -> None:
        """Give back all connections of this process."""
        self._engine.close()

    async def aclose(self) -> None:
        """Give back the connections of this event loop."""
        await self._engine.aclose()
