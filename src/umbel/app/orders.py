"""Orders: sends them to workers, and gathers what those that live answer."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final, Literal, TypeAlias, TypedDict

from umbel.app.seat import Seat, mailbox
from umbel.contracts.mailbox import Letter, Mailbox
from umbel.contracts.powers import Inspector
from umbel.exceptions import DecodeError, ImproperlyConfigured
from umbel.model import presence
from umbel.model.ids import new_id
from umbel.model.presence import Presence
from umbel.wire.letters import BOX, HELD, Answer, Order, decode_answer, encode

Reply: TypeAlias = dict[str, Any]
Destination: TypeAlias = str | Sequence[str] | None
"""The name of a worker, or several; None: all."""
Node: TypeAlias = tuple[str, str, int]
"""A worker: its name, host and process. Two may have one name."""

TELLING: Final = frozenset(
    {
        "autoscale",
        "quiet",
        "resume",
        "shutdown",
        "pool_grow",
        "pool_shrink",
        "pool_restart",
        "add_consumer",
        "cancel_consumer",
        "time_limit",
        "enable_events",
        "disable_events",
    }
)
ASKING: Final = frozenset({"ping", "report", "stats", "conf", "registered", "active_queues", "started", HELD})
REFUSED: Final = {
    "clock": "there is no logical clock; app.events gives events in the order of the broker's log",
    "heartbeat": "workers are seen by their leases, which never wait for an event; ping asks them",
    "hello": "workers do not gossip: what they share is kept by the broker",
    "memdump": "/metrics and stats tell of memory, and memory_limit bounds it",
    "memsample": "/metrics and stats tell of memory, and memory_limit bounds it",
    "objgraph": "/metrics and stats tell of memory, and memory_limit bounds it",
    "election": "whatever must happen once is decided by the broker, as the ticks of schedules are",
}
"""Verbs of Celery, and what there is instead."""
STATE: Final = frozenset({"rate_limit", "revoke", "revoke_by_stamped_headers", "terminate"})
"""What Celery orders workers to do, and is state of the broker here: methods of `Control`."""
ORDER_SECONDS: Final = 60.0
"""How late an order that wants no answer may be obeyed, by a worker that could not hear it before."""


class Hearing(TypedDict, total=False):
    """How answers are heard, in Celery's words."""

    limit: int
    """No more answers than these are waited for."""
    callback: Callable[[Reply], object]
    """Called with each answer, ``{name: reply}``, as it comes."""
    pattern: str
    """Only workers whose name fits it, if no destination is given."""
    matcher: Literal["glob", "pcre"]
    """How it fits: as ``w*@host`` (the default), or as a regular expression that matches the beginning."""


class Manner(Hearing, total=False):
    """How an order is given, in Celery's words."""

    reply: bool
    """False: nobody waits for answers."""


HEARING: Final = frozenset(Hearing.__annotations__)
MANNER: Final = HEARING | Manner.__annotations__.keys()


def fitting(destination: Destination, hearing: Hearing) -> Callable[[str], bool]:
    """Which names of workers are meant. Raises `ValueError` for a pattern that cannot be read."""
    if destination is not None:
        return (destination,).__contains__ if isinstance(destination, str) else tuple(destination).__contains__
    pattern, matcher = hearing.get("pattern"), hearing.get("matcher", "glob")
    if pattern is None:
        return lambda _: True
    if matcher == "glob":
        return lambda name: fnmatchcase(name, pattern)
    if matcher != "pcre":
        raise ValueError(f"matcher is {matcher!r}: give 'glob' or 'pcre'")
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"pattern is {pattern!r}, no regular expression: {error}") from error
    return lambda name: expression.match(name) is not None


def missing(verb: str) -> AttributeError:
    """The error for who calls *verb*, which there is not."""
    cure = REFUSED.get(verb)
    return AttributeError(f"{verb} is not supported: {cure}" if cure else f"there is no verb {verb!r}")


class Told:
    """The answer of one worker: *told* is Celery's form of it, ``{"error": …}`` for a refusal."""

    def __init__(self, answer: Answer) -> None:
        """Keep *answer*."""
        self.worker = answer.worker
        self.node: Node = (answer.worker, answer.host, answer.pid)
        self.value = answer.value
        self.told: Any = {"error": answer.error} if answer.error else answer.value


class Orders:
    """The orders of one client."""

    def __init__(self, seat: Seat) -> None:
        """Send them over the broker of *seat*."""
        self._seat = seat

    async def tell(
        self, verb: str, arguments: dict[str, Any], destination: Destination, hearing: Hearing | None = None
    ) -> None:
        """Have the workers *destination* (None: all) do *verb*, without waiting."""
        box = self._mailbox(verb)
        names = await self._names(destination, hearing or {})
        if names is None or names:
            order = _order(verb, arguments, names, ORDER_SECONDS)
            await box.atell(BOX, [encode(order)], ORDER_SECONDS)

    async def ask(
        self,
        verb: str,
        arguments: dict[str, Any],
        destination: Destination,
        timeout: float,
        hearing: Hearing | None = None,
    ) -> list[Told]:
        """What the workers *destination* answer, in the order of their names; waits *timeout* seconds at most."""
        box = self._mailbox(verb)
        how = hearing or {}
        names = await self._names(destination, how)
        order = _order(verb, arguments, names, timeout)
        expected = await self.living(fitting(names, {}))
        if names == () or (expected is not None and not expected) or how.get("limit", 1) < 1:
            return []
        return await self._answers(box, order, expected, timeout, how)

    async def ask_those(self, verb: str, living: set[Node], timeout: float) -> list[Told]:
        """What *living*, workers whose sessions have just been seen, answer; waits *timeout* seconds at most."""
        order = _order(verb, {}, tuple(sorted({name for name, _, _ in living})), timeout)
        return await self._answers(self._mailbox(verb), order, living, timeout, {})

    async def _answers(
        self, box: Mailbox, order: Order, expected: set[Node] | None, timeout: float, how: Hearing
    ) -> list[Told]:
        enough = how.get("limit", sys.maxsize)
        reply = f"reply-{new_id()}"
        answered: dict[Node, Told] = {}
        deadline = time.monotonic() + timeout
        await box.atell(BOX, [encode(_with_reply(order, reply))], timeout + 1.0)
        after = 0
        while (left := deadline - time.monotonic()) > 0 and (expected is None or not expected <= answered.keys()):
            for letter in await box.ahear(reply, after, left):
                after = letter.number
                if len(answered) < enough:
                    _keep(answered, letter, how.get("callback"))
            if len(answered) >= enough:
                break
        return [answered[node] for node in sorted(answered)]

    async def _names(self, destination: Destination, hearing: Hearing) -> tuple[str, ...] | None:
        """Who is meant, by name; None: all. Raises `ImproperlyConfigured` for a pattern if nobody knows names."""
        if isinstance(destination, str):
            return (destination,)
        if destination is not None or "pattern" not in hearing:
            return None if destination is None else tuple(destination)
        found = await self.living(fitting(None, hearing))
        if found is None:
            raise ImproperlyConfigured("pattern needs a broker that knows its workers: give destination, the names")
        return tuple(sorted({name for name, _, _ in found}))

    async def living(self, fits: Callable[[str], bool]) -> set[Node] | None:
        """The workers that have sessions and whose name *fits*; None when the broker cannot tell."""
        broker = self._seat.broker
        if not isinstance(broker, Inspector):
            return None
        sessions = await broker.sessions(await broker.queues())
        told = [presence.decode(session.info) for session in sessions]
        nodes = {node_of(one) for one in told if one is not None}
        return {node for node in nodes if fits(node[0])}

    def _mailbox(self, verb: str) -> Mailbox:
        if verb not in TELLING | ASKING and verb not in self._seat.commands:
            if verb in STATE:
                raise ImproperlyConfigured(f"{verb} is state of the broker, no order: call app.control.{verb}")
            if verb in REFUSED:
                raise ImproperlyConfigured(str(missing(verb)))
            known = ", ".join(sorted({*TELLING, *ASKING, *(command.name for command in self._seat.commands)}))
            raise ImproperlyConfigured(f"no worker knows the order {verb!r}; there are: {known}")
        return mailbox(self._seat, f"the order {verb!r} to workers")


def node_of(told: Presence) -> Node:
    """The worker that *told* is of."""
    return told.worker, told.host, told.pid


def _order(verb: str, arguments: Mapping[str, Any], names: tuple[str, ...] | None, seconds: float) -> Order:
    return Order(verb=verb, arguments=dict(arguments), to=names or (), until=time.time() + seconds)


def _with_reply(order: Order, box: str) -> Order:
    return Order(verb=order.verb, arguments=order.arguments, to=order.to, until=order.until, reply=box)


def _keep(answered: dict[Node, Told], letter: Letter, callback: Callable[[Reply], object] | None) -> None:
    try:
        told = Told(decode_answer(letter.message))
    except DecodeError:
        return  # whoever wrote that is no worker of ours
    new = told.node not in answered
    answered[told.node] = told
    if new and callback is not None:
        callback({told.worker: told.told})
