"""Revoking: dooms jobs, ends those that nobody runs, and tells the workers about those that run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from umbel.app.seat import Seat, job_store, mailbox, place_of
from umbel.app.twin import Steps, Twin
from umbel.canvas.stamping import matches
from umbel.contracts.broker import DONE_MARK_SECONDS, Settlement
from umbel.contracts.capabilities import Power, powers_of
from umbel.contracts.flows import FlowHolder
from umbel.contracts.jobs import MAX_TAKEN, JobRevoker, Listed, Revoked
from umbel.contracts.powers import Record
from umbel.exceptions import DecodeError, UmbelError
from umbel.model.ids import flow_of, new_session
from umbel.model.job import Delivery
from umbel.signals import task_revoked
from umbel.states import Place
from umbel.telling import Teller, page_at_end
from umbel.to_end import to_end
from umbel.wire.envelope import decode
from umbel.wire.flow import part_of
from umbel.wire.letters import BOX, Doomed, doom_order

if TYPE_CHECKING:
    from umbel.execution.revoking import Ender

LEASE_SECONDS: Final = 30.0
"""How long a client that dies in the middle keeps jobs from being ended by the workers."""
LETTER_SECONDS: Final = 86_400.0
"""How long a worker that could not reach its broker still hears which of its jobs are to be terminated."""
_ON_THEIR_WAY: Final[tuple[Place, ...]] = ("delayed", "held", "ready", "parked", "running")
"""In the order of a job's life, so that one that moves on while we look is met again, not missed."""


class Stopped(NamedTuple):
    """Where a job was when it was revoked. *place* tells what came of it.

    ready, delayed, held, parked: it has ended as REVOKED. running: it ends when it is done, or terminated. dead, ended:
    it had ended before, nothing was changed. unknown: the broker has no such job. *marked*: the broker, RabbitMQ, can
    only mark a job, which no worker had received (unknown) or which waits again; it ends when a worker comes to it.
    """

    id: str
    place: Place
    queue: str = ""
    marked: bool = False


class Ending(NamedTuple):
    """How revoked jobs that run are to end."""

    terminate: bool = False
    signal: str = "SIGTERM"


class Revoking:
    """The operations; each is a generator of round trips (`Twin`)."""

    def __init__(self, seat: Seat) -> None:
        """Revoke jobs of the broker of *seat*."""
        self._seat = seat
        self._made: Ender | None = None

    def revoke(self, keys: Sequence[tuple[str, str | None]], ending: Ending) -> Steps[list[Stopped]]:
        """Revoke the jobs of *keys*, pairs of id and queue (None: looked for). Answers them in order."""
        if ending.terminate:
            mailbox(self._seat, "terminating a running job")
        broker = self._seat.broker
        if Power.DOOM in powers_of(broker) and isinstance(broker, JobRevoker):
            return (yield from self._marked(broker, keys, ending))
        jobs = job_store(self._seat, "revoking jobs")
        stopped: list[Stopped] = []
        for start in range(0, len(keys), MAX_TAKEN):
            batch = keys[start : start + MAX_TAKEN]
            session = new_session()
            found: list[Revoked] = yield Twin(
                partial(jobs.revoke, session, batch, LEASE_SECONDS),
                partial(jobs.arevoke, session, batch, LEASE_SECONDS),
            )
            yield from self._end(session, [one.delivery for one in found if one.delivery is not None])
            yield from self._tell([one.id for one in found if _is_run(one)], ending)
            stopped += [_stopped(one) for one in found]
        yield from self._look_for_flows([one.id for one in stopped if one.place == "unknown"])
        return stopped

    def purge(self, queue: str, told: Callable[[int], object] | None = None) -> Steps[int]:
        """Revoke all that waits in *queue*, and tell of each portion; answers how many jobs that were."""
        jobs = job_store(self._seat, "purging a queue")
        count = 0
        while True:
            session = new_session()
            found: list[Delivery] = yield Twin(
                partial(jobs.purge, session, queue, MAX_TAKEN, LEASE_SECONDS),
                partial(jobs.apurge, session, queue, MAX_TAKEN, LEASE_SECONDS),
            )
            ended = yield from self._end(session, found)
            count += ended
            if told is not None:
                told(ended)
            if len(found) < MAX_TAKEN:
                return count

    def named(self, task: str, queues: Sequence[str]) -> Steps[list[tuple[str, str | None]]]:
        """The keys of the jobs of *task* in *queues* that have not ended."""
        return (yield from self._those(lambda envelope: task_of(envelope) == task, queues))

    def stamped(self, stamps: Mapping[str, Any], queues: Sequence[str]) -> Steps[list[tuple[str, str | None]]]:
        """The keys of the jobs in *queues* that have not ended and have one of *stamps*."""
        return (yield from self._those(lambda envelope: matches(headers_of(envelope), stamps), queues))

    def _those(self, test: Callable[[bytes], bool], queues: Sequence[str]) -> Steps[list[tuple[str, str | None]]]:
        jobs = job_store(self._seat, "revoking jobs by what they are")
        keys: dict[tuple[str, str | None], None] = {}
        for queue in queues:
            for place in _ON_THEIR_WAY:
                after = ""
                while True:
                    page: list[Listed] = yield Twin(
                        partial(jobs.jobs, queue, place, after, MAX_TAKEN),
                        partial(jobs.ajobs, queue, place, after, MAX_TAKEN),
                    )
                    keys.update(dict.fromkeys((one.id, queue) for one in page if test(one.envelope)))
                    if len(page) < MAX_TAKEN:
                        break
                    after = page[-1].cursor
        return list(keys)

    # --- the steps in between

    def _end(self, session: str, deliveries: list[Delivery]) -> Steps[int]:
        """End *deliveries*, leased to *session*; answers how many that were.

        If this stops in the middle, the jobs are doomed all the same, and the workers end them when the lease is over.
        """
        if not deliveries:
            return 0
        jobs = job_store(self._seat, "revoking jobs")
        settlements = yield from self._recorded(session, deliveries)
        ours: list[bool] = yield Twin(partial(jobs.end, session, settlements), partial(jobs.aend, session, settlements))
        ended = [one for one, kept in zip(deliveries, ours, strict=True) if kept]
        if self._seat.teller is not None:
            self._seat.teller.revoked(ended)
            yield from self._tell_of_flows(self._seat.teller, ended)
        if task_revoked.receivers:
            yield Twin(partial(self._ender.tell, ended), partial(self._ender.atell, ended))
        return sum(ours)

    def _tell_of_flows(self, teller: Teller, ended: list[Delivery]) -> Steps[None]:
        """Have events tell of the flows that have ended with *ended*."""
        parts = [part for one in ended if (part := part_of(one.envelope)) is not None]
        pages = list(dict.fromkeys(page for part in parts if (page := page_at_end(part)) is not None))
        broker = self._seat.broker
        if pages and isinstance(broker, FlowHolder):
            flows = broker.flow_store
            with suppress(UmbelError):  # what was to be done is done
                teller.ended_flows(pages, (yield Twin(partial(flows.read_inputs, pages), partial(flows.inputs, pages))))

    def _recorded(self, session: str, deliveries: list[Delivery]) -> Steps[list[Settlement]]:
        """The settlements of *deliveries*; where results are on another engine, their records are stored before."""
        if self._seat.same_engine:
            return self._ender.settlements(deliveries, {})
        returned = [one for one in deliveries if one.returned]
        records: dict[str, bytes] = {}
        if returned:  # a run of it may have ended, and died before it could say so; or it still holds the claim
            expires = self._seat.conf.result_expires
            claims = [Record(one.id, one.queue, b"", expires, _owner(session, one)) for one in returned]
            found: list[bytes | None] = yield self._storing("claim", claims)
            records = {one.id: stored for one, stored in zip(returned, found, strict=True) if stored is not None}
        settlements = self._ender.settlements(deliveries, records)
        kept = [
            Record(one.delivery.id, one.delivery.queue, one.record, one.ttl, _owner(session, one.delivery))
            for one in settlements
            if one.record
        ]
        if kept:
            yield self._storing("put", kept)
        return [msgspec.structs.replace(one, record=b"", ttl=DONE_MARK_SECONDS) for one in settlements]

    def _storing(self, verb: str, records: list[Record]) -> Twin:
        store = self._seat.store

        async def soon() -> Any:
            return await (store.claim(records) if verb == "claim" else store.put(records))

        return Twin(lambda: to_end(soon(), store.aclose), soon)

    def _tell(self, ids: list[str], ending: Ending) -> Steps[None]:
        """Tell the workers of jobs that run. A broker without letters leaves them to run to their end."""
        if not ids or Power.MAILBOX not in powers_of(self._seat.broker):
            return
        letter = doom_order(
            Doomed(ids=ids, terminate=ending.terminate, signal=ending.signal), time.time() + LETTER_SECONDS
        )
        box = mailbox(self._seat, "terminating a running job")
        yield Twin(partial(box.tell, BOX, [letter], LETTER_SECONDS), partial(box.atell, BOX, [letter], LETTER_SECONDS))

    def _marked(
        self, broker: JobRevoker, keys: Sequence[tuple[str, str | None]], ending: Ending
    ) -> Steps[list[Stopped]]:
        """Mark the jobs of *keys*, and tell the workers of those that run, if the broker carries letters."""
        found: list[Revoked] = yield Twin(partial(broker.doom, keys), partial(broker.adoom, keys))
        yield from self._tell([one.id for one in found if _is_run(one)], ending)
        over: tuple[Place, ...] = ("running", "dead", "ended")
        return [Stopped(one.id, one.place, one.queue, one.place not in over) for one in found]

    def _look_for_flows(self, unknown: list[str]) -> Steps[None]:
        """Raise `UmbelError` if one of *unknown* is no stranger, but a job that its flow has not sent yet."""
        broker = self._seat.broker
        if not isinstance(broker, FlowHolder):
            return
        flows = broker.flow_store
        for flow in dict.fromkeys(flow_of(job_id) for job_id in unknown):
            found = yield Twin(partial(flows.flow, flow, None), partial(flows.aflow, flow, None))
            if found is not None and found.state == "running":
                job_id = next(each for each in unknown if flow_of(each) == flow)
                raise UmbelError(
                    f"job {job_id} is not sent yet, its flow has not come so far at {place_of(self._seat)}: "
                    f"revoke the flow, with app.flows.revoke({flow!r})"
                )

    @property
    def _ender(self) -> Ender:
        if self._made is None:
            from umbel.execution.revoking import Ender

            self._made = Ender(self._seat.tasks, self._seat.conf, f"control@{self._seat.main or 'umbel'}")
        return self._made


def _is_run(found: Revoked) -> bool:
    """Whether somebody else runs it: what a repeated call had got before is running, too, and is ours."""
    return found.place == "running" and found.delivery is None


def _stopped(found: Revoked) -> Stopped:
    ours = found.place == "running" and found.delivery is not None
    return Stopped(found.id, "ready" if ours else found.place, found.queue)


def task_of(envelope: bytes) -> str:
    """The name of the task in *envelope*; empty if it cannot be read."""
    try:
        return decode(envelope, len(envelope)).task
    except DecodeError:
        return ""


def headers_of(envelope: bytes) -> dict[str, Any]:
    """The headers in *envelope*; none if it cannot be read."""
    try:
        return decode(envelope, len(envelope)).headers or {}
    except DecodeError:
        return {}


def _owner(session: str, delivery: Delivery) -> str:
    return f"{session}:{delivery.number}"
