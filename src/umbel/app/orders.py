"""Orders: sends them to workers, and gathers what those that live answer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from umbel.app.seat import Seat, mailbox
from umbel.contracts.mailbox import Letter, Mailbox
from umbel.contracts.powers import Inspector
from umbel.exceptions import DecodeError, ImproperlyConfigured
from umbel.model import presence
from umbel.model.ids import new_id
from umbel.wire.letters import BOX, HELD, Answer, Order, decode_answer, encode

Reply: TypeAlias = dict[str, Any]
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

    async def tell(self, verb: str, arguments: dict[str, Any], destination: Sequence[str] | None) -> None:
        """Have the workers *destination* (None: all) do *verb*, without waiting."""
        order = _order(verb, arguments, destination, ORDER_SECONDS)
        await self._mailbox(verb).atell(BOX, [encode(order)], ORDER_SECONDS)

    async def ask(
        self, verb: str, arguments: dict[str, Any], destination: Sequence[str] | None, timeout: float
    ) -> list[Told]:
        """What the workers *destination* answer, in the order of their names; waits *timeout* seconds at most."""
        box = self._mailbox(verb)
        order = _order(verb, arguments, destination, timeout)
        expected = await self.living(destination)
        if expected is not None and not expected:
            return []
        reply = f"reply-{new_id()}"
        answered: dict[Node, Told] = {}
        deadline = time.monotonic() + timeout
        await box.atell(BOX, [encode(_with_reply(order, reply))], timeout + 1.0)
        after = 0
        while (left := deadline - time.monotonic()) > 0 and (expected is None or not expected <= answered.keys()):
            for letter in await box.ahear(reply, after, left):
                after = letter.number
                _keep(answered, letter)
        return [answered[node] for node in sorted(answered)]

    async def living(self, destination: Sequence[str] | None) -> set[Node] | None:
        """The workers *destination* (None: all) that have sessions; None when the broker cannot tell."""
        broker = self._seat.broker
        if not isinstance(broker, Inspector):
            return None
        sessions = await broker.sessions(await broker.queues())
        told = [presence.decode(session.info) for session in sessions]
        nodes = {(one.worker, one.host, one.pid) for one in told if one is not None}
        return {node for node in nodes if destination is None or node[0] in destination}

    def _mailbox(self, verb: str) -> Mailbox:
        if verb not in TELLING | ASKING and verb not in self._seat.commands:
            if verb in STATE:
                raise ImproperlyConfigured(f"{verb} is state of the broker, no order: call app.control.{verb}")
            if verb in REFUSED:
                raise ImproperlyConfigured(str(missing(verb)))
            known = ", ".join(sorted({*TELLING, *ASKING, *(command.name for command in self._seat.commands)}))
            raise ImproperlyConfigured(f"no worker knows the order {verb!r}; there are: {known}")
        return mailbox(self._seat, f"the order {verb!r} to workers")


def _order(verb: str, arguments: Mapping[str, Any], destination: Sequence[str] | None, seconds: float) -> Order:
    if isinstance(destination, str):
        destination = (destination,)
    return Order(verb=verb, arguments=dict(arguments), to=tuple(destination or ()), until=time.time() + seconds)


def _with_reply(order: Order, box: str) -> Order:
    return Order(verb=order.verb, arguments=order.arguments, to=order.to, until=order.until, reply=box)


def _keep(answered: dict[Node, Told], letter: Letter) -> None:
    try:
        told = Told(decode_answer(letter.message))
    except DecodeError:
        return  # whoever wrote that is no worker of ours
    answered[told.node] = told
