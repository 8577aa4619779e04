"""Rerun: a flow anew from where it failed. Only what did not succeed runs again; values that are there are taken over.

Pure: what is to be asked and started is yielded. All of it follows from the flow that failed, the new ids too, so a
rerun that is repeated after an unknown outcome is started once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from umbel.calling import process
from umbel.canvas import plan
from umbel.canvas.boxes import in_order
from umbel.canvas.replacing import AWAIT
from umbel.engines.operation import Operation
from umbel.exceptions import DecodeError, FlowError
from umbel.model.flow import Flow, FlowView, Input, Join, Node, Page, Part, Standing
from umbel.model.ids import derived_flow_id, flow_of, member_id
from umbel.model.job import Job
from umbel.retelling import RETRY_OF
from umbel.wire import values
from umbel.wire.envelope import Envelope, decode, pack
from umbel.wire.flow import MAX_KEPT_BYTES, decode_cause

PAGE: Final = 1000
"""How many inputs of a node are read at once."""
NODES: Final = 32
"""Of how many nodes."""
REST_OF: Final = "umbel_rest_of"
"""The header that names the flow of which a rerun is what was left."""


class Find(msgspec.Struct, frozen=True):
    """Asks for one flow with its nodes; *home* None looks in every queue."""

    flow: str
    home: str | None


class Read(msgspec.Struct, frozen=True):
    """Asks what nodes were brought."""

    pages: list[Page]


class Begin(msgspec.Struct, frozen=True):
    """A flow to be started with what its nodes were brought before."""

    flow: Flow
    jobs: list[tuple[int, Job]]
    inputs: list[Join]


Asked: TypeAlias = Find | Read | Begin


class Again(msgspec.Struct, frozen=True):
    """A job that runs again: *id* is its new one, *was* the one under which it failed or never ran."""

    id: str
    was: str
    task: str
    queue: str


class Rerun(msgspec.Struct, frozen=True):
    """The new flow *id*, which goes on where *of* failed. *kept* counts the values that are taken over.

    *last* are the ids of the jobs that no other one waits for; *jobs* has also those of flows that replaced a job.
    """

    id: str
    of: str
    jobs: list[Again]
    kept: int
    last: list[str]


class Terms(msgspec.Struct, frozen=True):
    """How a rerun starts: *now* and *expires*, when no job starts any more, in unix time; *ttl*; *dry*: not at all."""

    now: float
    ttl: float
    expires: float | None = None
    dry: bool = False


class _Lost(msgspec.Struct):
    """A job that did not succeed, its place in the flow, and the id that it gets."""

    was: str
    queue: str
    envelope: Envelope
    part: Part
    id: str = ""


def rerun(flow: str, terms: Terms) -> Operation[Asked, Rerun]:
    """Start *flow*, the id of a flow or of a job of it, anew from where it failed; of reruns the newest one.

    Raises `FlowError` for one that is unknown, runs or has succeeded, and when a job cannot be sent again.
    """
    view, known = yield from _newest(flow)
    if known:
        terms = msgspec.structs.replace(terms, dry=True)
    new = next_id(view.id)
    failed = yield from _brought(view, [node.key for node in view.nodes if node.failed])
    lost = _lost(view, failed)
    for number, each in enumerate(lost, 1):
        each.id = member_id(new, number)
    needed = {each.part.needs for each in lost} - {0}
    brought = failed | (yield from _brought(view, sorted(needed - failed.keys())))
    inputs = _kept(new, view.home, brought)
    inner: list[Rerun] = []
    for each in lost:
        if each.envelope.task == AWAIT:
            inner += yield from _replacement(each, terms)
    jobs = [(each.part.needs, _job(each, view.id, new, terms)) for each in lost]
    begin = Begin(_flow(new, view, lost, terms), jobs, inputs)
    if not terms.dry:
        yield begin
    again = [Again(each.id, each.was, each.envelope.task, each.queue) for each in lost]
    again += [job for one in inner for job in one.jobs]
    return Rerun(new, view.id, again, len(inputs) + sum(one.kept for one in inner), _last(lost))


def next_id(flow: str) -> str:
    """The id of the flow that a rerun of *flow* is: the same one each time."""
    return derived_flow_id(f"{flow}/rerun")


def _newest(flow: str) -> Operation[Asked, tuple[FlowView, bool]]:
    """The flow to go on from, and whether its rerun was started already and has not failed."""
    view: FlowView | None = yield Find(flow_of(flow), None)
    if view is None:
        raise FlowError(f"no flow {flow} is known: it was not sent to this broker, was no flow, or was forgotten")
    while view.ended is not None and view.state != "succeeded":
        later: FlowView | None = yield Find(next_id(view.id), view.home)
        if later is None or later.state in ("running", "succeeded"):
            return view, later is not None
        view = later
    if view.state == "succeeded":
        raise FlowError(f"flow {view.id} has succeeded: there is nothing to retry")
    if view.state == "revoked":
        raise FlowError(f"flow {view.id} is revoked, and jobs of it have not ended: retry it when they have")
    raise FlowError(f"flow {view.id} is running: only one that has failed or was revoked is retried")


def _brought(view: FlowView, keys: Sequence[int]) -> Operation[Asked, dict[int, list[Input]]]:
    """All that the nodes *keys* were brought."""
    found: dict[int, list[Input]] = {key: [] for key in keys}
    asked = list(keys)
    while asked:
        batch, asked = asked[:NODES], asked[NODES:]
        pages = [Page(view.id, view.home, key, found[key][-1].member if found[key] else -1, PAGE) for key in batch]
        standings: list[Standing | None] = yield Read(pages)
        for key, standing in zip(batch, standings, strict=True):
            if standing is None:
                raise FlowError(f"flow {view.id} was forgotten meanwhile")
            found[key] += standing.inputs
            if len(standing.inputs) == PAGE:
                asked.append(key)
    return found


def _lost(view: FlowView, failed: Mapping[int, Sequence[Input]]) -> list[_Lost]:
    """The jobs that did not succeed, in the order in which they run; each once, though several nodes wait for it."""
    lost: dict[str, _Lost] = {}
    for inputs in failed.values():
        for each in inputs:
            if each.failed:
                found = _read(view, each)
                lost.setdefault(found.was, found)
    place = {key: number for number, key in enumerate(in_order(map(_kind, lost.values())))}
    return sorted(lost.values(), key=lambda each: place[each.part.needs])


def _kind(lost: _Lost) -> plan.Kind:
    return plan.Kind(lost.part.needs, lost.envelope.task, tuple(key for key, _ in lost.part.feeds), 1)


def _read(view: FlowView, found: Input) -> _Lost:
    try:
        cause = decode_cause(found.value)
    except DecodeError as error:
        raise FlowError(f"flow {view.id} cannot be retried: what is kept of a job cannot be read: {error}") from error
    if not cause.envelope:
        raise FlowError(
            f"flow {view.id} cannot be retried: job {cause.job} ({cause.failure}) is not kept, for it has more than "
            f"{MAX_KEPT_BYTES // 1024} KiB: store the data elsewhere and send a reference"
        )
    try:
        envelope = decode(cause.envelope, len(cause.envelope))
    except DecodeError as error:
        raise FlowError(f"flow {view.id} cannot be retried: job {cause.job} is damaged: {error}") from error
    if envelope.part is None or envelope.part.flow != view.id:
        raise FlowError(f"flow {view.id} cannot be retried: job {cause.job} is of another flow")
    return _Lost(cause.job, cause.queue, envelope, envelope.part)


def _replacement(lost: _Lost, terms: Terms) -> Operation[Asked, list[Rerun]]:
    """Have a job that was replaced by a canvas wait for that canvas again, which is retried if it has failed."""
    given: list[Any] = values.decode(lost.envelope.args)
    awaited, flow = given[:2]
    view: FlowView | None = None if flow is None else (yield Find(flow, None))
    reruns: list[Rerun] = []
    if view is not None and view.ended is not None and view.state != "succeeded":
        reruns.append((yield from rerun(view.id, terms)))
        awaited, flow = reruns[0].last[-1], reruns[0].id
    args = msgspec.Raw(values.encode([awaited, flow, terms.now]))
    lost.envelope = msgspec.structs.replace(lost.envelope, args=args)
    return reruns


def _kept(new: str, home: str, brought: Mapping[int, Sequence[Input]]) -> list[Join]:
    return [
        Join(new, home, key, each.member, each.value)
        for key, inputs in brought.items()
        for each in inputs
        if not each.failed
    ]


def _flow(new: str, view: FlowView, lost: Collection[_Lost], terms: Terms) -> Flow:
    """The flow of what is left: nodes that nobody feeds and that send nobody are not in it."""
    sends = {each.part.needs for each in lost}
    fed = {key for each in lost for key, _ in each.part.feeds}
    nodes = (Node(node.key, node.members) for node in view.nodes if node.key in sends | fed or not node.key)
    places = Counter((kind.node, kind.task, kind.feeds) for kind in map(_kind, lost))
    return Flow(new, view.home, tuple(nodes), plan.encode(places), terms.ttl, terms.expires)


def _job(lost: _Lost, old: str, new: str, terms: Terms) -> Job:
    """The job as it is sent again: at once, for moments that were meant for the first time have passed."""
    envelope = msgspec.structs.replace(
        lost.envelope,
        part=msgspec.structs.replace(lost.part, flow=new),
        headers={**(lost.envelope.headers or {}), RETRY_OF: lost.was, REST_OF: old},
        created=terms.now,
        origin=process.origin,
        eta=None,
        delay=0.0,
        expires=None,
    )
    return Job(lost.id, lost.queue, pack(envelope), envelope.priority)


def _last(lost: Collection[_Lost]) -> list[str]:
    sends = {each.part.needs for each in lost}
    return [each.id for each in lost if sends.isdisjoint(key for key, _ in each.part.feeds)]
