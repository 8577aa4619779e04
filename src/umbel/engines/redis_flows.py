"""What the verbs of flows do on Redis, as generators of script calls. No I/O here."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from umbel.engines.redis_calls import QueueCalls
from umbel.engines.redis_command import Command, Word
from umbel.engines.redis_draft import MAX_FIELDS, Draft
from umbel.engines.redis_layout import QUEUES
from umbel.exceptions import BrokerError
from umbel.model.flow import Flow, FlowView, Input, Join, Page, Progress, Standing
from umbel.model.job import Job

T = TypeVar("T")
Steps: TypeAlias = Generator[Sequence[Command], list[Any], T]

_EXPIRED: Final = -1
_WINDOW: Final = 2 * MAX_FIELDS


class Begin(NamedTuple):
    """What a start is handed; see `FlowStore.start`."""

    flow: Flow
    jobs: Iterable[tuple[int, Job]]
    inputs: Iterable[Join] = ()


class Started:
    """What a start did: the queues it made known, and its calls, to be said again if the server forgets them.

    No more calls are kept than have *room* bytes.
    """

    def __init__(self, known: Collection[str], room: int = 0) -> None:
        self.known = known
        self.room = room
        self.commands: list[Command] = []
        self.size = 0


def start(calls: QueueCalls, begin: Begin, started: Started) -> Steps[None]:
    """Store a flow with its jobs and inputs in parts of 512 KiB, then open it."""
    flow = begin.flow
    draft = Draft(flow, clustered=calls.clustered, carried=calls.carried)
    parts = _Parts(calls, flow, started)
    for _ in _filled(draft, begin):
        if draft.full:
            size = draft.size
            yield from parts.note(draft.more())
            if not (yield from parts.store(draft.taken(), size)):
                return
    roots, fields = draft.finish()
    yield from parts.note(draft.more())
    while len(fields) > _WINDOW:
        part, fields = fields[:_WINDOW], fields[_WINDOW:]
        if not (yield from parts.store(part, 0)):
            return
    names = draft.queues
    new = set(names).difference(started.known)
    started.known = names
    yield from parts.open(roots, fields, new)


def _filled(draft: Draft, begin: Begin) -> Iterator[None]:
    """Fill *draft*, one thing after the other."""
    for node, job in begin.jobs:
        draft.add(node, job)
        yield
    for join in begin.inputs:
        draft.bring(join)
        yield


class _Parts:
    """The calls of one start, in their order."""

    def __init__(self, calls: QueueCalls, flow: Flow, started: Started) -> None:
        self._calls = calls
        self._flow = flow
        self._started = started
        self._first = True

    def store(self, fields: list[Word], size: int) -> Steps[bool]:
        """Keep *fields*; answers whether there is more to do."""
        return (yield from self._call("flow_store", fields, size, ()))

    def note(self, members: list[Word]) -> Steps[None]:
        """Keep the order of *members* that are beyond the first ones."""
        if members:
            command = self._calls.make("flow_more", self._flow.home, (self._flow.id, *members))
            self._keep([command], len(members) * 16)
            yield [command]

    def open(self, roots: list[Word], fields: list[Word], new: Collection[str]) -> Steps[bool]:
        """Keep *fields* and open the *roots*; queues named in *new* are registered first."""
        before = [self._calls.register(new)] if new else []
        return (yield from self._call("flow_start", [len(roots), *roots, *fields], 0, before))

    def _call(self, name: str, words: list[Word], size: int, before: Sequence[Command]) -> Steps[bool]:
        flow = self._flow
        command = self._calls.make(name, flow.home, (flow.id, int(self._first), *words))
        self._first = False
        self._keep([*before, command], size + len(words) * 16)
        *_, reply = yield [*before, command]
        if reply == _EXPIRED:
            raise BrokerError(f"flow {flow.id} took more than an hour to store and is not started: start it again")
        return bool(reply == 1)

    def _keep(self, commands: Sequence[Command], size: int) -> None:
        started = self._started
        started.size += size
        if started.size <= started.room:
            started.commands += commands


def inputs(calls: QueueCalls, pages: Sequence[Page]) -> Steps[list[Standing | None]]:
    """What the nodes of *pages* were brought."""
    commands = [calls.make("flow_page", page.home, (page.flow, page.node, page.after, page.count)) for page in pages]
    replies = (yield commands) if commands else []
    return [None if reply is None else _standing(reply) for reply in replies]


def find(calls: QueueCalls, flow: str, home: str | None) -> Steps[FlowView | None]:
    """One flow with its nodes; in every queue if *home* is None."""
    names = [home] if home is not None else (yield from _queues())
    replies = (yield [calls.make("flow_views", name, (1, flow)) for name in names]) if names else []
    for name, reply in zip(names, replies, strict=True):
        if reply:
            return _view(name, reply[0])
    return None


def newest(calls: QueueCalls, homes: Sequence[str], limit: int) -> Steps[list[FlowView]]:
    """The newest flows of *homes*, without their nodes."""
    if not homes or limit < 1:
        return []
    listed = yield [Command((b"ZRANGE", calls.place(home) + b"flows", 0, limit - 1, b"REV")) for home in homes]
    asked = [(home, ids) for home, ids in zip(homes, listed, strict=True) if ids]
    replies = (yield [calls.make("flow_views", home, (0, *ids)) for home, ids in asked]) if asked else []
    found = [_view(home, each) for (home, _), reply in zip(asked, replies, strict=True) for each in reply]
    found.sort(key=lambda view: view.created, reverse=True)
    return found[:limit]


def revoke(calls: QueueCalls, flow: str, home: str | None) -> Steps[bool]:
    """Revoke a running flow; answers whether it was running."""
    names = [home] if home is not None else (yield from _queues())
    replies = (yield [calls.make("flow_revoke", name, (flow,)) for name in names]) if names else []
    return any(replies)


def _queues() -> Steps[list[str]]:
    (reply,) = yield [Command((b"SMEMBERS", QUEUES))]
    return sorted(name.decode() for name in reply)


def _standing(reply: list[Any]) -> Standing:
    state, expires, age, failed, cause, *rest = reply
    return Standing(
        state.decode(),
        float(expires) if expires else None,
        None if failed == b"-1" else _input(failed, cause),
        [_input(member, value) for member, value in zip(rest[::2], rest[1::2], strict=True)],
        None if age < 0 else age / 1000,
    )


def _input(member: bytes, value: bytes) -> Input:
    return Input(int(member), value[1:], value[:1] == b"0")


def _view(home: str, reply: list[Any]) -> FlowView:
    flow, state, created, ended, plan, *nodes = reply
    return FlowView(
        flow.decode(),
        home,
        state.decode(),
        int(created) / 1000,
        int(ended) / 1000 if ended is not None else None,
        plan,
        tuple(_progress(key, text) for key, text in zip(nodes[::2], nodes[1::2], strict=True)),
    )


def _progress(key: int, text: bytes) -> Progress:
    members, added, joined, failed, _, sent, _ = text.split(b" ", 6)
    return Progress(key, int(members) + int(added), int(joined), int(failed), sent == b"1")
