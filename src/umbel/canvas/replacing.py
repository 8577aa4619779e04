"""What a running task does to the canvas that it is part of: let another one take its place, or join its chord."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, Protocol, Self, Unpack, cast

import msgspec

from umbel.canvas.compiler import GATHER, More
from umbel.canvas.links import linked, popped
from umbel.canvas.mapping import chunks
from umbel.canvas.primitives import chain, chord, group
from umbel.canvas.seams import Callee, Host
from umbel.canvas.send import acarry_out, carry_out, leaving
from umbel.canvas.shape import is_empty
from umbel.canvas.signatures import Signature
from umbel.canvas.stamping import restamped, stamps_of, under
from umbel.engines.operation import adrive, drive
from umbel.exceptions import ImproperlyConfigured, Replaced, TimeoutError
from umbel.model.flow import NOTHING, Part
from umbel.model.ids import derived_flow_id
from umbel.options import CallOptions, CanvasOptions
from umbel.request import Request, running
from umbel.result import AsyncResult
from umbel.routing import queue_of
from umbel.wire import values
from umbel.wire.envelope import MAX_LINK_BYTES, Envelope, decode, pack

AWAIT: Final = "umbel.await_replacement"
"""The built-in task that a replaced job becomes: it ends as what replaced it does."""
FIRST_LOOK_SECONDS: Final = 0.02
LAST_LOOK_SECONDS: Final = 5.0
_LATER: Final = 0.1
_FIRST_ADDED: Final = 2**40
_MOST_ADDED: Final = 2**12
_FIRST_OF_CHANCE: Final = 2**52


class Running(Callee, Protocol):
    """A task that runs."""

    @property
    def app(self) -> Any:
        """Its app."""
        ...

    @property
    def request(self) -> Request:
        """Its job."""
        ...


def replace(task: Running, sig: Signature[Any]) -> Any:
    """Let *sig* go on under the id of the job that runs; see `Task.replace`."""
    request, host = _checked(task, sig)
    if request.is_eager or request.called_directly:
        return sig.apply().get(disable_sync_subtasks=False)
    if _is_at_home(sig, request, host):
        raise Replaced(_as_envelope(sig, request, host))
    steps = leaving(_whole(sig, request, host), _family(request), host)
    raise Replaced(_awaiting(drive(steps, lambda command: carry_out(host, command)), request))


async def areplace(task: Running, sig: Signature[Any]) -> Any:
    """The async twin of `replace`."""
    request, host = _checked(task, sig)
    if request.is_eager or request.called_directly or _is_at_home(sig, request, host):
        return replace(task, sig)
    steps = leaving(_whole(sig, request, host), _family(request), host)
    raise Replaced(_awaiting(await adrive(steps, lambda command: acarry_out(host, command)), request))


def _checked(task: Running, sig: Signature[Any]) -> tuple[Request, Host]:
    if not isinstance(sig, Signature):
        raise TypeError(f"replace: {sig!r} is no signature: give task.s(…)")
    if is_empty(sig) and isinstance(sig, chain):
        raise ImproperlyConfigured("replace: an empty chain has no value that could take the job's place")
    return task.request, task.app


def _is_at_home(sig: Signature[Any], request: Request, host: Host) -> bool:
    """Whether *sig* is one job on the queue of the job that runs: then that job itself becomes it."""
    if isinstance(sig, chain | group | chord | chunks) or sig.options.keys() & {"countdown", "eta"}:
        return False
    named = sig.options.get("queue") or ""
    return queue_of(host.task_named(sig.task), host.conf, sig.args, sig.kwargs, named) == request.queue


def _as_envelope(sig: Signature[Any], request: Request, host: Host) -> bytes:
    options = dict(sig.options)
    links = popped(options, "link", "link_error", "task_id")
    task = host.task_named(sig.task)
    said = linked(task._saying(cast("CallOptions", options)), links, host)  # noqa: SLF001 - what apply_async does
    job, _ = task._job(host, sig.args, sig.kwargs, said)  # noqa: SLF001 - likewise
    return pack(_in_place_of(request.envelope, decode(job.envelope, MAX_LINK_BYTES)))


def _whole(sig: Signature[Any], request: Request, host: Host) -> Signature[Any]:
    """*sig* with one last job that has its value, started once however often the run is repeated."""
    last: Signature[Any] = Signature(GATHER, options={"ignore_result": False}, app=host)
    stamps = stamps_of(request.headers)
    if stamps:
        sig = sig.clone()
        under(sig, stamps)
    whole = chain.of([sig, last])
    whole.flow_id = derived_flow_id(f"{request.id}/{request.envelope.replaced}")
    return whole


def _family(request: Request) -> More:
    return More(options={"root_id": request.root_id, "parent_id": request.id})


def _awaiting(handle: Any, request: Request) -> bytes:
    """What the job becomes until *handle* has ended."""
    described = Envelope(
        AWAIT,
        time.time(),
        msgspec.Raw(values.encode([handle.id, handle.flow, time.time()])),
        origin=request.envelope.origin,
        ignore_result=request.envelope.ignore_result,
    )
    return pack(_in_place_of(request.envelope, described))


def _in_place_of(old: Envelope, new: Envelope) -> Envelope:
    """*new* with the place that *old* has: in its flow and group, and with whom it tells."""
    part = None if old.part is None else msgspec.structs.replace(old.part, takes=NOTHING)
    return msgspec.structs.replace(
        new,
        part=part,
        group_id=old.group_id,
        in_chord=old.in_chord,
        links=(*old.links, *new.links),
        errbacks=(*old.errbacks, *new.errbacks),
        headers=restamped(old.headers, new.headers) or None,
        root_id=old.root_id,
        parent_id=old.parent_id,
        replaced=old.replaced + 1,
    )


def await_replacement(self: Any, replacement: str, flow: str, since: float) -> Any:
    """The body of `AWAIT`: the value of *replacement*, or another look later; the longer it takes, the rarer."""
    handle: AsyncResult[Any] = AsyncResult(replacement, self.app, flow=flow)
    try:
        return handle.get(0.0, disable_sync_subtasks=False)
    except TimeoutError:
        passed = time.time() - since
        delay = min(max(passed * _LATER, FIRST_LOOK_SECONDS), LAST_LOOK_SECONDS)
        raise Replaced(None, delay) from None


def add_to_chord(task: Running, sig: Signature[Any]) -> AsyncResult[Any]:
    """Let the chord of the job that runs wait for *sig*; see `Task.add_to_chord`."""
    part = _part(task, sig)
    request = task.request
    envelope = request.envelope
    host: Host = task.app
    node, own = part.feeds[0]
    index = len(request.added)
    options = dict(sig.options)
    links = popped(options, "link", "link_error")
    callee = host.task_named(sig.task)
    said = linked(callee._saying(cast("CallOptions", options)), links, host)  # noqa: SLF001 - as above
    said = msgspec.structs.replace(
        said,
        task_id=said.task_id or derived_flow_id(f"{request.id}/added/{index}"),
        part=Part(part.flow, part.home, 0, NOTHING, ((node, _number(request.id, own, index)),)),
        group_id=envelope.group_id,
        in_chord=True,
        root_id=request.root_id,
        parent_id=request.id,
    )
    job, handle = callee._job(host, sig.args, sig.kwargs, said)  # noqa: SLF001 - likewise
    request.follow_ups = (*request.follow_ups, job)
    request.added = (*request.added, (part.flow, part.home, node))
    return handle


def _part(task: Running, sig: Signature[Any]) -> Part:
    request = task.request
    part = request.envelope.part
    if part is None or not request.envelope.in_chord:
        raise ValueError(f"{task.name}[{request.id}] is no member of a chord: there is nothing to add to")
    if not isinstance(sig, Signature) or isinstance(sig, chain | group | chord | chunks):
        raise TypeError(f"add_to_chord: {sig!r} is no single signature: add its parts one by one")
    return part


class Joining(Signature[Any]):
    """A signature that joins the chord of the job that runs when that job's run sends it."""

    __slots__ = ("adding",)

    adding: Running

    def apply_async(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[CanvasOptions]
    ) -> AsyncResult[Any]:
        """Let the chord wait for it, with *args* before its own. Raises `RuntimeError` in another run."""
        current = running.get()
        if current is None or current is not self.adding.request:
            raise RuntimeError(f"{self.task} was to join a chord: only the run that said so can send it")
        given = self.with_arguments(args, kwargs)
        sig: Signature[Any] = Signature(self.task, *given, {**self.options, **options}, app=self.adding.app)
        return add_to_chord(self.adding, sig)

    async def aapply_async(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[CanvasOptions]
    ) -> AsyncResult[Any]:
        """The async twin of `apply_async`."""
        return self.apply_async(args, kwargs, **options)

    def copied(self) -> Self:
        """A copy that joins the same chord."""
        twin = super().copied()
        twin.adding = self.adding
        return twin


def joining(task: Running, sig: Signature[Any]) -> Joining:
    """*sig* as a signature that joins when it is sent; see `Task.add_to_chord`."""
    _part(task, sig)
    made = Joining(sig.task, sig.args, sig.kwargs, sig.options, immutable=sig.immutable, app=task.app)
    made.adding = task
    return made


def _number(job_id: str, own: int, index: int) -> int:
    """The number of an added member: after all that were there at the start, in the order of those that added it.

    What was added by one that was added itself comes last, in no order.
    """
    if own < _FIRST_ADDED // _MOST_ADDED and index < _MOST_ADDED:
        return _FIRST_ADDED + own * _MOST_ADDED + index
    digest = sha256(f"{job_id}/{index}".encode()).digest()
    return _FIRST_OF_CHANCE + int.from_bytes(digest[:8], "big") % _FIRST_OF_CHANCE
