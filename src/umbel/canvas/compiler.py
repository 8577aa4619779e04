"""Compiler: a canvas as nodes and jobs that an engine can hold, and as the handles of what it becomes. Pure."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast

import msgspec

from umbel.admitting import Made, refuse_unique
from umbel.calling import Said
from umbel.canvas import plan
from umbel.canvas.expiry import until
from umbel.canvas.handles import Handles
from umbel.canvas.links import linked, popped
from umbel.canvas.mapping import chunks
from umbel.canvas.primitives import chain, chord, group
from umbel.canvas.results import GroupResult
from umbel.canvas.seams import Callee, Host
from umbel.canvas.shape import flat, gives_list, is_empty
from umbel.canvas.signatures import Signature, listed
from umbel.canvas.spool import Spool
from umbel.canvas.stamping import restamped
from umbel.exceptions import EncodeError, NotRegistered
from umbel.model.flow import ALL, NOTHING, ONE, Flow, Node, Part
from umbel.model.ids import member_id
from umbel.options import CallOptions
from umbel.result import AsyncResult

GATHER: Final = "umbel.gather"
"""The built-in task that returns what it is given: the list that a chain with a group at its end is in a header."""
CHAIN_OWN: Final = ("link", "link_error", "task_id")
"""The options of a chain that are not for its first step alone."""
_HEADER_ONLY: Final = ("countdown", "eta", "parent_id")
_BODY_ONLY: Final = ("task_id", "link", "link_error")

Handle = AsyncResult[Any] | GroupResult


class Target:
    """The node that waits for the jobs that are being placed: the *last* of the flow, or that of a chord's *header*."""

    __slots__ = ("header", "key", "keys", "last", "members")

    def __init__(self, key: int, *, last: bool = False, header: bool = False) -> None:
        self.key = key
        self.last = last
        self.header = header
        self.members = 0
        self.keys: tuple[int, ...] = (key,)

    def feed(self) -> tuple[tuple[int, int], ...]:
        """The place of one member more."""
        number = self.members
        self.members += 1
        return ((self.key, number),)


class Entry(msgspec.Struct, frozen=True):
    """Where the jobs that are being placed begin: the node that sends them, what they take of it, whom they follow."""

    node: int = 0
    takes: int = NOTHING
    chord: bool = False
    after: Handle | None = None
    root: str | None = None
    parent: str | None = None


class More(msgspec.Struct, frozen=True):
    """What a canvas says of the signatures in it: further arguments and options."""

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}
    options: Mapping[str, Any] = {}


NO_MORE: Final = More()


class Compiler:
    """Places signatures in a flow. Each job is encoded at once: its place in the graph is known by then.

    *flow* is the id, *home* the queue that the state will live with. Without a home the jobs are *loose*: nothing waits
    for them, so they need no flow. None starts after the unix time *expires*.
    """

    def __init__(self, host: Host, flow: str, home: str | None, expires: float | None = None) -> None:
        """Begin with an empty flow."""
        self.jobs = Spool()
        self.targets: list[Target] = []
        self.end = self.target(last=True)
        self.host = host
        self._flow = flow
        self._home = home
        self._expires = expires
        self._number = 0
        self._shared: tuple[More, Callee, Said] | None = None
        self._path: list[tuple[str, int | None]] = []
        self._counts: dict[plan.Place, int] = {}
        self._loose: list[Made] = []
        self.single = False
        """Whether it is one job that is placed, and no more."""

    def target(self, *, last: bool = False, header: bool = False) -> Target:
        """A new node that waits for what will be placed before it."""
        made = Target(len(self.targets) + 1, last=last, header=header)
        self.targets.append(made)
        return made

    def step(self, number: int, sig: Signature[Any], entry: Entry, target: Target) -> Handle | None:
        """Place *sig*, step *number* of what is being placed."""
        self._path.append(("step", number))
        handle = self.place(sig, entry, target)
        self._path.pop()
        return handle

    def place(self, sig: Signature[Any], entry: Entry, target: Target, more: More = NO_MORE) -> Handle | None:
        """Place *sig* between *entry* and *target*; answers its handle, None when it is empty."""
        if isinstance(sig, chunks):
            sig = sig.group()
        match sig:
            case chain():
                return self._chain(sig, entry, target, more)
            case group():
                return self._group(sig, entry, target, more)
            case chord():
                return self._chord(sig, entry, target, more)
            case _:
                return self.job(sig, entry, target, more)

    def job(self, sig: Signature[Any], entry: Entry, target: Target, more: More) -> AsyncResult[Any]:
        """Place one job."""
        name = sig["task"]
        args, kwargs = (sig.args, sig.kwargs) if sig.immutable else sig.with_arguments(more.args, more.kwargs)
        task = sig.own_task or self.host.task_named(name)
        said = self._said(sig, task, more)
        takes = NOTHING if sig["immutable"] else entry.takes
        part = None
        if self._home is None:
            said = until(said, self._expires, task.expires)
        else:
            part = Part(self._flow, self._home, entry.node, takes, target.feed(), entry.chord)
        said = msgspec.structs.replace(
            said,
            task_id=said.task_id or self._next_id(),
            part=part,
            takes=takes != NOTHING,
            in_chord=target.header,
            root_id=said.root_id or entry.root,
            parent_id=said.parent_id or entry.parent,
        )
        job, handle = task._job(self.host, args, kwargs, said)  # noqa: SLF001 - likewise
        handle.parent, handle.flow = entry.after, self._flow if part is not None else None
        made = Made(job, handle)
        if not self.single:
            refuse_unique(made.task)
        if part is None:
            self._loose.append(made)
        else:
            self.jobs.append(entry.node, job)
        place = (entry.node, name, target.keys)
        self._counts[place] = self._counts.get(place, 0) + 1
        return handle

    def _said(self, sig: Signature[Any], task: Callee, more: More) -> Said:
        """The options of *sig*, checked; members of a group that have none of their own share them."""
        if not sig.options and self._shared is not None and self._shared[0] is more and self._shared[1] is task:
            return self._shared[2]
        options = merged(sig.options, more.options)
        links = popped(options, "link", "link_error")
        said = task._saying(cast("CallOptions", options))  # noqa: SLF001 - what apply_async does
        if links:
            said = linked(said, links, self.host)
        if not sig.options:
            self._shared = (more, task, said)
        return said

    def _chain(self, sig: chain, entry: Entry, target: Target, more: More) -> Handle | None:
        steps = flat(sig)
        if not steps:
            return None
        own, first = split(merged(sig.options, more.options), CHAIN_OWN)
        handle: Handle | None = None
        for index, step in enumerate(steps):
            self._path.append(("step", index))
            is_last = index == len(steps) - 1
            inner = More(options=of_step(own, is_last=is_last))
            if index == 0:
                args, kwargs = partial(sig, more)
                inner = More(args, kwargs, {**first, **inner.options})
            onward = target if is_last else self.target(header=isinstance(step, group))
            handle = self.place(step, entry, onward, inner)
            _lead_on(entry.after, step, handle)
            if handle is not None and not is_last:
                entry = _following(entry, onward, step, handle)
            self._path.pop()
        return handle

    def _group(self, sig: group, entry: Entry, target: Target, more: More) -> GroupResult:
        group_id, inner = self.of_members(sig, more)
        results = self.handles()
        self.members(enumerate(sig.taken()), entry, target, inner, results)
        return GroupResult(group_id, results, self.host, entry.after)

    def handles(self) -> Handles:
        """What takes the handles of members."""
        return Handles(self._flow)

    def of_members(self, sig: group, more: More) -> tuple[str, More]:
        """The id of the group *sig*, and what it and *more* say of its members."""
        options = merged(sig.options, more.options)
        group_id = options.pop("task_id", None) or self._next_id()
        args, kwargs = partial(sig, more)
        return group_id, More(args, kwargs, {**options, "group_id": group_id})

    def members(
        self, members: Iterable[tuple[int, Signature[Any]]], entry: Entry, target: Target, more: More, results: Handles
    ) -> None:
        """Place the *members* of a group, each with its number, and add their handles to *results*."""
        for index, member in members:
            self._path.append(("member", index))
            if isinstance(member, chunks):
                member = member.group()  # noqa: PLW2901 - what it stands for
            if isinstance(member, group):
                options = {name: value for name, value in member.options.items() if name != "task_id"}
                args, kwargs = partial(member, more)
                inner = More(args, kwargs, {**options, **more.options})
                self.members(enumerate(member.taken()), entry, target, inner, results)
            elif member.subtask in ("chain", "chord") and not target.last and gives_list(member):
                results.append(self._gathered(member, entry, target, more))
            else:
                handle = self.place(member, entry, target, more)
                if handle is not None:
                    results.append(handle)
            self._path.pop()

    def _gathered(self, member: Signature[Any], entry: Entry, target: Target, more: More) -> Handle:
        """A member that ends in a group: one job makes one value of the values, a list in the list."""
        inner = self.target()
        handle = self.place(member, entry, inner, more)
        following = Entry(inner.key, ALL, after=handle, root=entry.root)
        return self.job(Signature(GATHER, app=self.host), following, target, NO_MORE)

    def _chord(self, sig: chord, entry: Entry, target: Target, more: More) -> Handle | None:
        body = sig.known_body()
        to_header, to_body = to_parts(merged(sig.options, more.options))
        args, kwargs = partial(sig, more)
        self._path.append(("header", None))
        if is_empty(sig.header):
            self._path[-1] = ("body", None)
            empty = msgspec.structs.replace(entry, takes=NOTHING)
            handle = self.place(body, empty, target, More(([],), {}, to_body))
            self._path.pop()
            return handle
        onward = self.target(header=True)
        header = self._group(sig.header, entry, onward, More(args, kwargs, to_header))
        self._path[-1] = ("body", None)
        handle = self.place(body, _following(entry, onward, sig.header, header, body), target, More(options=to_body))
        self._path.pop()
        return handle

    def flow(self, ttl: float) -> Flow:
        """The flow of what was placed."""
        nodes = (Node(0, 0), *(Node(target.key, target.members) for target in self.targets))
        return Flow(self._flow, self._home or "", nodes, plan.encode(self._counts), ttl, self._expires)

    def settle_down(self, home: str) -> None:
        """What is placed from now on belongs to a flow, whose state is to live with the queue *home*."""
        self._home = home
        self.end.members = 0
        self._counts.clear()

    def taken(self) -> list[Made]:
        """The loose jobs that were placed since the last time."""
        made, self._loose = self._loose, []
        return made

    @contextmanager
    def naming(self) -> Generator[None]:
        """Have errors name the place."""
        try:
            yield
        except RecursionError:
            raise ValueError("the canvas is nested too deeply, or contains itself") from None
        except (EncodeError, NotRegistered, TypeError, ValueError) as error:
            if not self._path:
                raise
            shown = " > ".join(name if index is None else f"{name} {index}" for name, index in self._path)
            raise type(error)(f"{shown}: {error}") from error

    def _next_id(self) -> str:
        self._number += 1
        return member_id(self._flow, self._number)


def merged(own: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """The options *own* with *more* over them; callbacks and errbacks are added up, None says nothing."""
    if not more:
        return dict(own)
    found = {**own, **{name: value for name, value in more.items() if value is not None}}
    for name in ("link", "link_error"):
        if own.get(name) and more.get(name):
            mine = listed(own[name])
            found[name] = mine + [each for each in listed(more[name]) if each not in mine]
    if own.get("group_id"):
        found["group_id"] = own["group_id"]
    if own.get("headers") and more.get("headers"):
        found["headers"] = restamped(own["headers"], more["headers"])
    return found


def split(options: Mapping[str, Any], names: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """*options* in two: those called *names*, and the others."""
    return (
        {name: value for name, value in options.items() if name in names},
        {name: value for name, value in options.items() if name not in names},
    )


def to_parts(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of a chord in two: what its header gets, and its body."""
    return (
        {name: value for name, value in options.items() if name not in _BODY_ONLY},
        {name: value for name, value in options.items() if name not in _HEADER_ONLY},
    )


def of_step(own: Mapping[str, Any], *, is_last: bool) -> dict[str, Any]:
    """What a chain's options say of one step: errbacks to every one, callbacks and id to the last."""
    return {name: value for name, value in own.items() if is_last or name == "link_error"}


def partial(sig: Signature[Any], more: More) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    """The arguments that a canvas hands on to the signatures in it."""
    if isinstance(sig, chord):
        kept: dict[str, Any] = sig.kwargs["kwargs"]
    else:
        kept = {name: value for name, value in sig.kwargs.items() if name != "tasks"}
    if sig.immutable:
        return sig.args, kept
    return (*more.args, *sig.args), {**kept, **more.kwargs}


def _following(
    entry: Entry, node: Target, step: Signature[Any], handle: Handle, body: Signature[Any] | None = None
) -> Entry:
    """Where what follows *step* begins. A group that follows a header fails with its member's own error."""
    several = gives_list(step)
    last = handle
    while isinstance(last, GroupResult) and len(last):
        last = last.peeked(-1)
    as_chord = several and not (body is not None and isinstance(body, group | chunks))
    return Entry(node.key, ALL if several else ONE, as_chord, handle, entry.root or _first(handle), last.id)


def _lead_on(before: Handle | None, step: Signature[Any], handle: Handle | None) -> None:
    """Make *handle*, of *step*, a child of the job *before* it; of a chord its header is."""
    child = handle.parent if handle is not None and isinstance(step, chord) else handle
    if isinstance(before, AsyncResult) and child is not None:
        before.next.append(child)


def _first(handle: Handle) -> str:
    while isinstance(handle, GroupResult) and len(handle):
        handle = handle.peeked(0)
    return handle.id
