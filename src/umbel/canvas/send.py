"""How a canvas leaves: one job, batches of jobs or a flow, whichever is the least that it needs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from umbel import publishing, spans
from umbel.admitting import Made, adispatch, dispatch
from umbel.canvas.compiler import Compiler, Entry, Handle, More
from umbel.canvas.expiry import expiry
from umbel.canvas.mapping import chunks
from umbel.canvas.primitives import chain, chord, group
from umbel.canvas.results import GroupResult
from umbel.canvas.seams import Host, Place
from umbel.canvas.shape import flat, is_empty, is_loose
from umbel.canvas.signatures import Signature
from umbel.canvas.spool import Spool
from umbel.contracts.capabilities import Power, demand
from umbel.contracts.flows import FlowHolder, FlowStore
from umbel.engines.address import masked
from umbel.engines.operation import Operation, adrive, drive
from umbel.exceptions import ImproperlyConfigured, NotRegistered
from umbel.model.flow import Flow
from umbel.model.ids import new_flow_id
from umbel.request import MAX_CHILDREN, running
from umbel.routing import queue_of
from umbel.signals import after_task_publish

BATCH: Final = 1000
"""How many members of a group are sent at once."""


class Batch(msgspec.Struct, frozen=True):
    """Jobs that nothing waits for, to be sent."""

    made: list[Made]


class Start(msgspec.Struct, frozen=True):
    """A flow to be started."""

    flow: Flow
    jobs: Spool


Leaving = Operation[Batch | Start, Handle | None]


def send(sig: Signature[Any], args: Sequence[Any], kwargs: Mapping[str, Any] | None, options: dict[str, Any]) -> Any:
    """Send *sig*; see `Signature.apply_async`."""
    host = sig.app
    if host.conf.task_always_eager:
        from umbel.canvas.eager import apply

        return apply(sig, args, kwargs, options)
    connection = options.pop("connection", None)
    with spans.flow(sig.subtask_type):
        steps = leaving(sig, More(tuple(args), kwargs or {}, options), host)
        return _noted(drive(steps, lambda command: carry_out(host, command, connection)))


async def asend(
    sig: Signature[Any], args: Sequence[Any], kwargs: Mapping[str, Any] | None, options: dict[str, Any]
) -> Any:
    """The async twin of `send`."""
    host = sig.app
    if host.conf.task_always_eager:
        import asyncio

        from umbel.canvas.eager import apply

        # Not here: a task that blocks would block the caller's loop, and one with a loop of its own cannot nest it.
        return await asyncio.to_thread(apply, sig, args, kwargs, options)
    connection = options.pop("connection", None)
    with spans.flow(sig.subtask_type):
        steps = leaving(sig, More(tuple(args), kwargs or {}, options), host)
        return _noted(await adrive(steps, lambda command: acarry_out(host, command, connection)))


def _noted(handle: Handle | None) -> Handle | None:
    """*handle*, which the record of the job that runs here names from now on."""
    parent = running.get()
    if parent is not None and handle is not None:
        members = itertools.islice(handle.results, MAX_CHILDREN) if isinstance(handle, GroupResult) else (handle,)
        parent.sent(each.id for each in members if not isinstance(each, GroupResult))
    return handle


def carry_out(host: Host, command: Batch | Start, connection: object | None = None) -> None:
    """Do one step of `leaving`."""
    if isinstance(command, Batch):
        dispatch(host, command.made, connection)
    else:
        flow_store(host, connection).start(command.flow, iter(command.jobs))
        _tell(host, command)
        if after_task_publish.receivers:
            publishing.after([job for _, job in command.jobs])


async def acarry_out(host: Host, command: Batch | Start, connection: object | None = None) -> None:
    """The async twin of `carry_out`."""
    if isinstance(command, Batch):
        await adispatch(host, command.made, connection)
    else:
        await flow_store(host, connection).astart(command.flow, iter(command.jobs))
        _tell(host, command)
        if after_task_publish.receivers:
            await publishing.aafter([job for _, job in command.jobs])


def _tell(host: Host, start: Start) -> None:
    """Have events tell of a flow that was started; of its jobs they tell when these are run."""
    if host.teller is not None:
        parent = running.get()
        host.teller.started_flow(start.flow, len(start.jobs), None if parent is None else parent.root_id)


def freeze(sig: Signature[Any]) -> Handle | None:
    """The handle of what *sig* will become; from now on it always becomes that. Nothing is sent."""
    if sig.flow_id is None:
        sig.flow_id = new_flow_id()
    _read_streams(sig)
    return drive(leaving(sig, More(), sig.app), lambda _: None)


def _read_streams(sig: Signature[Any]) -> None:
    for part in sig.parts():
        _read_streams(part)


def leaving(sig: Signature[Any], more: More, host: Host) -> Leaving:
    """The steps in which *sig* leaves; answers its handle, None for an empty chain."""
    if isinstance(sig, chunks):
        sig = sig.group()
    flow = sig.flow_id or new_flow_id()
    expires, rest = expiry(more.options)
    more = msgspec.structs.replace(more, options=rest)
    if isinstance(sig, group):
        return (yield from _side_by_side(sig, more, Compiler(host, flow, None, expires)))
    if isinstance(sig, chain) and is_empty(sig):
        return None
    loose = is_loose(sig)
    compiler = Compiler(host, flow, None if loose else home_of(sig, host), expires)
    compiler.single = loose
    with compiler.naming():
        handle = compiler.place(sig, Entry(), compiler.end, more)
    yield Batch(compiler.taken()) if loose else Start(compiler.flow(host.conf.result_expires), compiler.jobs)
    return handle


def _side_by_side(sig: group, more: More, compiler: Compiler) -> Leaving:
    """A group that nothing waits for: batches of jobs, and one flow from the first member on that is no single job."""
    host = compiler.host
    group_id, inner = compiler.of_members(sig, more)
    results = compiler.handles()
    members: Iterator[tuple[int, Signature[Any]]] = enumerate(sig.taken())
    while batch := list(itertools.islice(members, BATCH)):
        with compiler.naming():
            alone = all(_sent_alone(member) for _, member in batch)
        if not alone:
            members = itertools.chain(batch, members)
            break
        with compiler.naming():
            compiler.members(batch, Entry(), compiler.end, inner, results)
        yield Batch(compiler.taken())
    rest = next(members, None)
    if rest is not None:
        compiler.settle_down(home_of(rest[1], host))
        with compiler.naming():
            compiler.members(itertools.chain([rest], members), Entry(), compiler.end, inner, results)
        yield Start(compiler.flow(host.conf.result_expires), compiler.jobs)
    return GroupResult(group_id, results, host)


def _sent_alone(member: Signature[Any]) -> bool:
    """Tell whether a member of a group that nothing waits for is made of single jobs."""
    if isinstance(member, group):
        return all(map(_sent_alone, member.tasks))
    return is_loose(member) or isinstance(member, chunks)


def home_of(sig: Signature[Any], host: Host) -> str:
    """The queue that the state of the flow of *sig* lives with: the one of its last job."""
    last: Signature[Any] | None = sig
    while last is not None:
        sig = last
        match sig:
            case chain():
                last = next(reversed(flat(sig)), None)
            case chord():
                last = sig.body
            case group():
                last = None if sig.is_stream else next(iter(sig.tasks), None)
            case _:
                break
    try:
        return queue_of(host.task_named(sig.task), host.conf, sig.args, sig.kwargs, sig.options.get("queue") or "")
    except NotRegistered:  # said where it is placed, with the place
        return host.conf.task_default_queue


def flow_store(host: Place, connection: object | None = None) -> FlowStore:
    """Where flows are held. Raises `ImproperlyConfigured` when the broker holds none, naming those that do."""
    if connection is not None:
        raise ImproperlyConfigured("connection= sends single jobs and groups of them, no canvas that waits for another")
    broker = host.broker
    if isinstance(broker, FlowHolder):
        return broker.flow_store
    demand(broker, Power.FLOWS, "a canvas whose parts wait for one another", masked(host.conf.broker_url))
    raise ImproperlyConfigured(f"{type(broker).__name__} says that it holds flows, and has no flow_store")
