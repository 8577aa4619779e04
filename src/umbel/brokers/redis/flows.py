"""`FlowStore` on Redis. What each verb does is in `engines.redis_flows`; joins are in `packing` and the settle."""

from __future__ import annotations

from collections.abc import Iterable

from umbel.brokers.redis import outbox
from umbel.brokers.redis.calls import Calls
from umbel.brokers.redis.operations import Steps, named
from umbel.brokers.redis.window import MAX_KEPT_BYTES, Acknowledged
from umbel.engines import redis_flows
from umbel.engines.operation import adrive, drive
from umbel.engines.redis_flows import Begin, Started
from umbel.engines.redis_opening import AnyEngine
from umbel.engines.redis_stored_flows import StoredFlows
from umbel.model.flow import Flow, Join
from umbel.model.job import Job


class RedisFlows(StoredFlows):
    """The flows of one database, or of a Cluster: each in the slot of its home."""

    def __init__(self, calls: Calls, engine: AnyEngine, acknowledged: Acknowledged, known: set[str]) -> None:
        super().__init__(calls, engine)
        self._scripts = calls
        self._acknowledged = acknowledged
        self._known = known

    def start(self, flow: Flow, jobs: Iterable[tuple[int, Job]], inputs: Iterable[Join] = ()) -> None:
        """Store *flow* in parts of 512 KiB, then open it in one atomic step; raises as `Sender.send`."""
        started = Started(self._known, MAX_KEPT_BYTES)
        steps = started_flow(self._scripts, Begin(flow, jobs, inputs), started)
        drive(named(self._scripts, [flow.home], steps), self._engine.call)
        self._note(started)

    async def astart(self, flow: Flow, jobs: Iterable[tuple[int, Job]], inputs: Iterable[Join] = ()) -> None:
        """The async twin of `start`."""
        started = Started(self._known, MAX_KEPT_BYTES)
        steps = started_flow(self._scripts, Begin(flow, jobs, inputs), started)
        await adrive(named(self._scripts, [flow.home], steps), self._engine.acall)
        self._note(started)

    def _note(self, started: Started) -> None:
        self._known.update(started.known)
        self._acknowledged.commanded(started.commands, started.size)


def started_flow(calls: Calls, begin: Begin, started: Started) -> Steps[None]:
    """Start a flow; in a Cluster its first jobs go on to the nodes of their queues."""
    yield from redis_flows.start(calls, begin, started)
    if calls.clustered:
        yield from outbox.flushed(calls, [begin.flow.home])
