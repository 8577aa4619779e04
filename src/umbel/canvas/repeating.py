"""Repeating: a flow anew from its first step, from the envelopes of its jobs that are kept elsewhere. Pure.

The engine has sent its jobs and forgotten them; whoever recorded them still knows what each of them was, and where in
the flow it stood. All ids follow from the flow and the act, so a start after an unknown outcome starts nothing anew.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from umbel.calling import process
from umbel.canvas import plan
from umbel.canvas.anew import anew
from umbel.canvas.boxes import in_order
from umbel.canvas.rerun import REST_OF, Again, Begin, Terms
from umbel.exceptions import DecodeError, EncodeError, FlowError
from umbel.model.flow import Flow, Node, Part
from umbel.model.ids import derived_flow_id, flow_of, member_id
from umbel.model.job import Job
from umbel.retelling import RETRY_OF
from umbel.wire.envelope import Envelope, decode, pack
from umbel.wire.ticks import NAME_HEADER, TICK_HEADER

FIRST_ADDED: Final = 2**40
"""Members from this number on were added while the flow ran: who added them does it again."""
MAX_JOBS: Final = 100_000
"""How many jobs a flow may have to be repeated: all of them are in memory at once."""
_OF_THE_OLD: Final = (NAME_HEADER, TICK_HEADER, REST_OF)


class KeptJob(msgspec.Struct, frozen=True):
    """A job of a flow as it was recorded; *envelope* is None if it is not kept."""

    id: str
    task: str
    queue: str
    envelope: bytes | None


class KeptFlow(msgspec.Struct, frozen=True):
    """A flow as it was recorded; *total* is how many jobs it began with, None if nobody has told."""

    id: str
    state: str
    total: int | None
    jobs: Sequence[KeptJob]


class Keeper(Protocol):
    """Whoever keeps what flows consist of: a history does."""

    def kept_flow(self, flow: str) -> KeptFlow | None:
        """The flow with the id *flow*, or that of the job with that id; None if it is not known."""
        ...


class Repeat(msgspec.Struct, frozen=True):
    """The new flow *id*, which is the flow *of* from its first step. *last* are the ids of those nobody waits for."""

    id: str
    of: str
    jobs: list[Again]
    last: list[str]


class _Step(msgspec.Struct):
    """A job of the old flow, its place in that, and the id that it gets."""

    kept: KeptJob
    envelope: Envelope
    part: Part
    id: str = ""


def whole(keeper: Keeper, flow: str) -> KeptFlow:
    """The flow *flow* as it was recorded; of a retry, which runs no more than the rest, the one that was retried.

    Raises `FlowError` for one that is unknown; and what *keeper* raises.
    """
    seen: list[str] = []
    while flow not in seen:
        kept = keeper.kept_flow(flow)
        if kept is None or not kept.jobs:
            raise FlowError(f"flow {flow} cannot be repeated: none of its jobs was recorded, or their records are gone")
        rest_of = next((_rest_of(kept, job) for job in kept.jobs if job.envelope is not None), "")
        if not rest_of:
            return kept
        seen.append(flow)
        flow = rest_of
    raise FlowError(f"flow {flow} cannot be repeated: by its records it is what was left of itself")


def _rest_of(kept: KeptFlow, job: KeptJob) -> str:
    return str((_read(kept, job).headers or {}).get(REST_OF, ""))


def repeat(kept: KeptFlow, action: str, terms: Terms) -> tuple[Repeat, Begin]:
    """*kept* as a flow to be started for *action*, the id of one deliberate act. Raises `FlowError`."""
    if len(kept.jobs) > MAX_JOBS:
        raise FlowError(f"flow {kept.id} cannot be repeated: it has more than {MAX_JOBS:,} jobs")
    steps = _in_order([_step(kept, job) for job in kept.jobs])
    steps = [step for step in steps if all(member < FIRST_ADDED for _, member in step.part.feeds)]
    _check(kept, steps)
    new = derived_flow_id(f"{kept.id}/repeat/{action}")
    ids = _renamed(kept.id, new, steps)
    for step in steps:
        step.id = ids[step.kept.id]
    jobs = [(step.part.needs, _job(step, new, ids, terms.now)) for step in steps]
    home = steps[0].part.home
    begin = Begin(Flow(new, home, _nodes(steps), _plan(steps), terms.ttl, terms.expires), jobs, [])
    again = [Again(step.id, step.kept.id, step.envelope.task, step.kept.queue) for step in steps]
    sends = {step.part.needs for step in steps}
    last = [step.id for step in steps if sends.isdisjoint(key for key, _ in step.part.feeds)]
    return Repeat(new, kept.id, again, last), begin


def _step(kept: KeptFlow, job: KeptJob) -> _Step:
    envelope = _read(kept, job)
    if envelope.part is None or envelope.part.flow != kept.id:
        raise FlowError(f"flow {kept.id} cannot be repeated: job {job.id} is of another flow")
    return _Step(job, envelope, envelope.part)


def _read(kept: KeptFlow, job: KeptJob) -> Envelope:
    if job.envelope is None:
        raise FlowError(
            f"flow {kept.id} cannot be repeated: job {job.id} ({job.task}) is not kept: it was too large, or arguments "
            "of it are secret"
        )
    try:
        return anew(decode(job.envelope, len(job.envelope)))
    except (DecodeError, EncodeError, RecursionError) as error:
        raise FlowError(f"flow {kept.id} cannot be repeated: job {job.id} cannot be read: {error}") from error


def _check(kept: KeptFlow, steps: Collection[_Step]) -> None:
    """Raise `FlowError` unless all jobs that the flow began with are there, each in its place."""
    if kept.total is None or len(steps) != kept.total:
        of = "an unknown number" if kept.total is None else f"{kept.total:,}"
        raise FlowError(
            f"flow {kept.id} cannot be repeated: {len(steps):,} of {of} of its jobs are recorded; it was recorded in "
            "part, or records of it were deleted"
        )
    if any(step.envelope.replaced for step in steps):
        raise FlowError(f"flow {kept.id} cannot be repeated: a job of it became another one before it was recorded")
    places = _places(steps)
    whole = all(sorted(found) == list(range(len(found))) for found in places.values())
    if not whole or any(step.part.needs not in places for step in steps if step.part.needs and step.part.takes):
        raise FlowError(f"flow {kept.id} cannot be repeated: records of it do not fit together")


def _places(steps: Iterable[_Step]) -> dict[int, list[int]]:
    """The numbers of the members of each node."""
    found: dict[int, list[int]] = defaultdict(list)
    for step in steps:
        for node, member in step.part.feeds:
            found[node].append(member)
    return found


def _nodes(steps: Collection[_Step]) -> tuple[Node, ...]:
    places = _places(steps)
    keys = {0, *places, *(step.part.needs for step in steps)}
    return tuple(Node(key, len(places.get(key, ()))) for key in sorted(keys))


def _plan(steps: Iterable[_Step]) -> bytes:
    return plan.encode(Counter((kind.node, kind.task, kind.feeds) for kind in map(_kind, steps)))


def _kind(step: _Step) -> plan.Kind:
    return plan.Kind(step.part.needs, step.envelope.task, tuple(key for key, _ in step.part.feeds), 1)


def _in_order(steps: Collection[_Step]) -> list[_Step]:
    place = {key: number for number, key in enumerate(in_order(map(_kind, steps)))}
    return sorted(steps, key=lambda step: (place.get(step.part.needs, len(place)), step.part.feeds))


def _renamed(old: str, new: str, steps: Iterable[_Step]) -> dict[str, str]:
    """The new ids of jobs, and of groups, by their old ones: those that the flow gave keep their numbers in it."""
    names = [step.kept.id for step in steps]
    names += dict.fromkeys(step.envelope.group_id for step in steps if step.envelope.group_id)
    own = [name for name in names if flow_of(name) == old]
    found = {name: f"{new[:28]}{name[28:]}" for name in own}
    free = 1 + max((int(name[28:], 16) for name in own), default=0)
    for number, name in enumerate((name for name in names if name not in found), free):
        found[name] = member_id(new, number)
    return found


def _job(step: _Step, new: str, ids: Mapping[str, str], now: float) -> Job:
    """The job as it was when the flow began, under its new ids; it starts at once, as moments are over."""
    old = step.envelope
    headers = {name: value for name, value in (old.headers or {}).items() if name not in _OF_THE_OLD}
    envelope = msgspec.structs.replace(
        old,
        part=msgspec.structs.replace(step.part, flow=new),
        headers={**headers, RETRY_OF: step.kept.id},
        created=now,
        origin=process.origin,
        eta=None,
        delay=0.0,
        expires=None,
        root_id=_moved(old.root_id, ids),
        parent_id=_moved(old.parent_id, ids),
        group_id=_moved(old.group_id, ids),
        steps=None,
    )
    return Job(step.id, step.kept.queue, pack(envelope), envelope.priority)


def _moved(name: str | None, ids: Mapping[str, str]) -> str | None:
    return None if name is None else ids.get(name, name)
