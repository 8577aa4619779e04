"""Faults round any broker: it fails before it does anything, or does it and loses the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Any, Final, TypeVar

from umbel.contracts.broker import Beat, Broker, Ended, Reclaimed, Settlement
from umbel.exceptions import BrokerUnavailable
from umbel.model.job import Delivery, Job

T = TypeVar("T")


VERBS: Final = ("send", "open", "heartbeat", "receive", "settle", "reconcile", "mark", "reclaim", "unpark")


def one_in(calls: int, *verbs: str) -> Callable[[str], bool]:
    """Let the first of every *calls* calls of each of *verbs* (by default of all) go wrong."""
    counters = {verb: count() for verb in verbs or VERBS}
    return lambda verb: verb in counters and next(counters[verb]) % calls == 0


def every_other(*verbs: str) -> Callable[[str], bool]:
    """Let the first, third, fifth … call of each of *verbs* (by default of all) go wrong."""
    return one_in(2, *verbs)


class ReplyLost(BrokerUnavailable):
    """The broker did what it was asked, but the answer never came. *answer* is for tests; a caller must not use it."""

    def __init__(self, verb: str, answer: Any) -> None:
        """Keep the answer that got lost."""
        super().__init__(f"the answer to {verb} was lost on purpose")
        self.answer = answer


class _Faulty:
    """A broker whose calls go through `_call`; *fails* is asked with the verb's name, once a call."""

    def __init__(self, broker: Broker, fails: Callable[[str], bool]) -> None:
        self.broker = broker
        self.fails = fails

    async def _call(self, verb: str, call: Callable[[], Awaitable[T]]) -> T:
        raise NotImplementedError

    def send(self, jobs: Sequence[Job]) -> None:
        raise NotImplementedError

    async def asend(self, jobs: Sequence[Job]) -> None:
        """`Sender.asend`, with faults."""
        await self._call("send", lambda: self.broker.asend(jobs))

    async def heartbeat(
        self, beats: Sequence[Beat], queues: Sequence[str], lease: float, *, opening: bool = False
    ) -> list[bool]:
        """`Broker.heartbeat`, with faults; the verb is ``open`` when it opens."""
        verb = "open" if opening else "heartbeat"
        return await self._call(verb, lambda: self.broker.heartbeat(beats, queues, lease, opening=opening))

    async def receive(self, session: str, queues: Sequence[str], limit: int, *, wait: float) -> list[Delivery]:
        """`Broker.receive`, with faults."""
        return await self._call("receive", lambda: self.broker.receive(session, queues, limit, wait=wait))

    async def settle(self, session: str, settlements: Sequence[Settlement]) -> list[bool]:
        """`Broker.settle`, with faults."""
        return await self._call("settle", lambda: self.broker.settle(session, settlements))

    async def reconcile(self, session: str, queues: Sequence[str], held: Sequence[Delivery]) -> int:
        """`Broker.reconcile`, with faults."""
        return await self._call("reconcile", lambda: self.broker.reconcile(session, queues, held))

    async def mark(self, session: str, delivery: Delivery) -> bool:
        """`Broker.mark`, with faults."""
        return await self._call("mark", lambda: self.broker.mark(session, delivery))

    async def reclaim(self, queues: Sequence[str], lease: float, ended: Sequence[Ended] = ()) -> Reclaimed:
        """`Broker.reclaim`, with faults."""
        return await self._call("reclaim", lambda: self.broker.reclaim(queues, lease, ended))

    async def unpark(self, queues: Sequence[str], tasks: Sequence[str]) -> int:
        """`Broker.unpark`, with faults."""
        return await self._call("unpark", lambda: self.broker.unpark(queues, tasks))

    def close(self) -> None:
        """Close the broker inside."""
        self.broker.close()

    async def aclose(self) -> None:
        """Close the broker inside."""
        await self.broker.aclose()


class FailBefore(_Faulty):
    """The call never reaches the broker: nothing is done, `BrokerUnavailable` is raised."""

    def send(self, jobs: Sequence[Job]) -> None:
        """`Sender.send`, with faults."""
        self._strike("send")
        self.broker.send(jobs)

    async def _call(self, verb: str, call: Callable[[], Awaitable[T]]) -> T:
        self._strike(verb)
        return await call()

    def _strike(self, verb: str) -> None:
        if self.fails(verb):
            raise BrokerUnavailable(f"{verb} failed on purpose")


class LoseReplies(_Faulty):
    """The broker does it, then the answer is lost: `ReplyLost` is raised."""

    def send(self, jobs: Sequence[Job]) -> None:
        """`Sender.send`, with faults."""
        fails = self.fails("send")
        self.broker.send(jobs)
        if fails:
            raise ReplyLost("send", None)

    async def _call(self, verb: str, call: Callable[[], Awaitable[T]]) -> T:
        fails = self.fails(verb)
        answer = await call()
        if fails:
            raise ReplyLost(verb, answer)
        return answer
