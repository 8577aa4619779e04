"""What follows the end of a job beside its flow: callbacks get its value, errbacks are told of its failure. Pure."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

import msgspec

from umbel.model.failure import Failure
from umbel.model.flow import ALL, Part
from umbel.model.job import Delivery, Job
from umbel.model.outcome import Failed, Outcome, Succeeded
from umbel.wire.envelope import MAX_LINK_BYTES, Envelope, decode, pack
from umbel.wire.flow import with_first

ERRBACK: Final = "umbel.call_errback"
"""The built-in task that calls an errback, or sends it."""
_pack: Final = msgspec.msgpack.Encoder().encode


def follow_ups(delivery: Delivery, envelope: Envelope, outcome: Outcome, now: float) -> tuple[Job, ...]:
    """The jobs that follow *outcome* at unix time *now*. Their ids are deterministic, so a repeat adds none."""
    if isinstance(outcome, Succeeded) and envelope.links:
        return tuple(_callbacks(delivery, envelope, outcome.value, now))
    if isinstance(outcome, Failed) and envelope.errbacks:
        return errbacks(delivery, envelope, outcome.failure, now)
    return ()


def errbacks(delivery: Delivery, envelope: Envelope, failure: Failure, now: float) -> tuple[Job, ...]:
    """The jobs that tell the errbacks of a job of *failure*."""
    told = msgspec.structs.replace(envelope, links=(), errbacks=(), steps=None)
    jobs: list[Job] = []
    for index, errback in enumerate(envelope.errbacks):
        arguments = [msgspec.Raw(errback.signature), delivery.id, pack(told), failure]
        call = Envelope(
            ERRBACK,
            now,
            msgspec.Raw(_pack(arguments)),
            ignore_result=True,
            root_id=envelope.root_id or delivery.id,
            parent_id=delivery.id,
            priority=envelope.priority,
        )
        place = errback.queue or delivery.queue
        jobs.append(Job(derived_id(delivery.id, "errback", index), place, pack(call), envelope.priority))
    return tuple(jobs)


def _callbacks(delivery: Delivery, envelope: Envelope, value: bytes, now: float) -> list[Job]:
    jobs: list[Job] = []
    for index, link in enumerate(envelope.links):
        call = decode(link.envelope, MAX_LINK_BYTES)
        args = with_first(call.args, value) if link.takes else call.args
        root = envelope.root_id or delivery.id
        call = msgspec.structs.replace(call, args=args, created=now, root_id=root, parent_id=delivery.id)
        job_id = link.id or derived_id(delivery.id, "link", index)
        jobs.append(Job(job_id, link.queue, pack(call), link.priority, link.delay, link.eta))
    return jobs


def is_body(part: Part | None) -> bool:
    """Tell whether a job with this *part* is the body of a chord, or a member of a group that is one."""
    return part is not None and (part.chord or part.takes == ALL)


def derived_id(job_id: str, what: str, index: int) -> str:
    """The id of follow-up number *index* of a job: the same one each time."""
    digits = sha256(f"{job_id}/{what}/{index}".encode()).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-8{digits[13:16]}-8{digits[17:20]}-{digits[20:32]}"
