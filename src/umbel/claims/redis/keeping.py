"""Flows and schedules beside the claims: as on Redis itself, but whatever they send lies in the outbox of its home.

Only on one server: a flow joins what ends in many queues, each in one step with the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, Final

from umbel.claims.redis.operations import FOLDER, Calls
from umbel.contracts.outbox import Portion, Taking
from umbel.engines import redis_flows, redis_schedules
from umbel.engines.operation import adrive, drive
from umbel.engines.redis_calls import QueueCalls
from umbel.engines.redis_command import Command, Word
from umbel.engines.redis_flows import Begin, Started, Steps
from umbel.engines.redis_jobs import posted
from umbel.engines.redis_layout import prefix
from umbel.engines.redis_opening import AnyEngine
from umbel.engines.redis_stored_flows import StoredFlows
from umbel.model.flow import Flow, Join
from umbel.model.job import Job
from umbel.model.schedule import Change, Table

MAX_BYTES: Final = 1024 * 1024


class CarriedCalls(QueueCalls):
    """Script calls on what belongs to the claims of a queue, whose jobs another server carries."""

    carried: ClassVar[bool] = True

    def __init__(self, clock: Callable[[], float] | None) -> None:
        super().__init__(FOLDER, b"holders", clock)

    def root(self, queue: str) -> bytes:
        """What the keys of *queue* begin with."""
        return prefix(queue) + b"c:"


class RedisOutbox:
    """`Outbox` on one server. *found* are the homes where claims and settles found that jobs wait."""

    def __init__(self, calls: CarriedCalls, engine: AnyEngine, found: Calls) -> None:
        self._calls = calls
        self._engine = engine
        self._found = found

    def take(self, taking: Taking) -> Portion:
        """The next jobs of an outbox, about one mebibyte at most."""
        return drive(_taken(self._calls, taking), self._engine.call)

    async def atake(self, taking: Taking) -> Portion:
        """The async twin of `take`."""
        return await adrive(_taken(self._calls, taking), self._engine.acall)

    def waiting(self, homes: Sequence[str]) -> list[str]:
        """Those of *homes* where jobs were found to wait; they are told once."""
        found = self._found.waiting.intersection(homes)
        self._found.waiting -= found
        return sorted(found)


class KeptFlows(StoredFlows):
    """`FlowStore` beside claims."""

    def start(self, flow: Flow, jobs: Iterable[tuple[int, Job]], inputs: Iterable[Join] = ()) -> None:
        """Store *flow* in parts of 512 KiB, then open it in one atomic step."""
        drive(redis_flows.start(self._calls, Begin(flow, jobs, inputs), Started(())), self._engine.call)

    async def astart(self, flow: Flow, jobs: Iterable[tuple[int, Job]], inputs: Iterable[Join] = ()) -> None:
        """The async twin of `start`."""
        await adrive(redis_flows.start(self._calls, Begin(flow, jobs, inputs), Started(())), self._engine.acall)


class KeptSchedules:
    """`ScheduleStore` beside claims."""

    def __init__(self, calls: CarriedCalls, engine: AnyEngine) -> None:
        self._calls = calls
        self._engine = engine
        self._known: set[str] = set()

    def read(self, since: int) -> Table:
        """The rows that changed."""
        return drive(redis_schedules.read(self._calls, since), self._engine.call)

    async def aread(self, since: int) -> Table:
        """The async twin of `read`."""
        return await adrive(redis_schedules.read(self._calls, since), self._engine.acall)

    def write(self, changes: Sequence[Change]) -> list[bool]:
        """Carry out *changes*."""
        return drive(redis_schedules.write(self._calls, changes, self._known), self._engine.call)

    async def awrite(self, changes: Sequence[Change]) -> list[bool]:
        """The async twin of `write`."""
        return await adrive(redis_schedules.write(self._calls, changes, self._known), self._engine.acall)


def watched(calls: Calls, job_id: str, queue: str) -> Steps[bool]:
    """Whether a job that is watched until its end has not ended; its end forgets what is known of it."""
    (known,) = yield [Command((b"EXISTS", calls.place(queue) + b"j:" + job_id.encode()))]
    return bool(known)


def _taken(calls: CarriedCalls, taking: Taking) -> Steps[Portion]:
    words: list[Word] = [taking.sender, taking.limit, MAX_BYTES, taking.pump, *taking.sent]
    (reply,) = yield [calls.make("outbox", taking.home, words)]
    milliseconds, *found = reply
    jobs = tuple(posted(job_id, text) for job_id, text in zip(found[::2], found[1::2], strict=True) if text)
    return Portion(jobs, milliseconds / 1000)
