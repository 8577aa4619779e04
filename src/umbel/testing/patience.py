"""A caller that follows the rules after a call without an answer: repeat it; reconcile before another receive."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from umbel.contracts.broker import Beat, Broker, Ended, Reclaimed, Settlement
from umbel.exceptions import BrokerUnavailable
from umbel.model.job import Delivery, Job
from umbel.testing.faults import ReplyLost

T = TypeVar("T")


class Patient:
    """A broker round a faulty one: to its caller nothing ever goes wrong.

    The answers that got lost are answered in the end, and every repeat is checked to have changed nothing.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._held: dict[str, dict[tuple[str, int], Delivery]] = {}

    def send(self, jobs: Sequence[Job]) -> None:
        """`Sender.send`, repeated until it is answered."""
        while True:
            try:
                return self._broker.send(jobs)
            except BrokerUnavailable:
                continue

    async def asend(self, jobs: Sequence[Job]) -> None:
        """`Sender.asend`, repeated until it is answered."""
        await _repeat(lambda: self._broker.asend(jobs), _same)

    async def heartbeat(
        self, beats: Sequence[Beat], queues: Sequence[str], lease: float, *, opening: bool = False
    ) -> list[bool]:
        """`Broker.heartbeat`, repeated until it is answered."""
        join = _refused if opening else _same
        return await _repeat(lambda: self._broker.heartbeat(beats, queues, lease, opening=opening), join)

    async def receive(self, session: str, queues: Sequence[str], limit: int, *, wait: float) -> list[Delivery]:
        """`Broker.receive`; after one without an answer whatever it may have leased is returned first."""
        end = time.monotonic() + wait
        while True:
            try:
                left = max(end - time.monotonic(), 0.0)
                received = await self._broker.receive(session, queues, limit, wait=left)
            except ReplyLost as error:
                await self._return(session, queues, len(error.answer))
            except BrokerUnavailable:
                continue
            else:
                self._held.setdefault(session, {}).update({(each.id, each.number): each for each in received})
                return received

    async def _return(self, session: str, queues: Sequence[str], leased: int) -> None:
        known = list(self._held.get(session, {}).values())
        returned = await self.reconcile(session, queues, known)
        assert returned == leased, "a reconcile returns exactly what a receive without an answer had leased"

    async def settle(self, session: str, settlements: Sequence[Settlement]) -> list[bool]:
        """`Broker.settle`, repeated until it is answered; a repeat must answer False for each."""
        answers = await _repeat(lambda: self._broker.settle(session, settlements), _refused)
        for settlement in settlements:
            self._held.get(session, {}).pop((settlement.delivery.id, settlement.delivery.number), None)
        return answers

    async def reconcile(self, session: str, queues: Sequence[str], held: Sequence[Delivery]) -> int:
        """`Broker.reconcile`, repeated until it is answered; a repeat must find nothing more."""
        returned = await _repeat(lambda: self._broker.reconcile(session, queues, held), _nothing_more)
        self._held[session] = {(each.id, each.number): each for each in held}
        return returned

    async def mark(self, session: str, delivery: Delivery) -> bool:
        """`Broker.mark`, repeated until it is answered."""
        return await _repeat(lambda: self._broker.mark(session, delivery), _same)

    async def reclaim(self, queues: Sequence[str], lease: float, ended: Sequence[Ended] = ()) -> Reclaimed:
        """`Broker.reclaim`, repeated until it is answered; what both calls moved is added up."""
        return await _repeat(lambda: self._broker.reclaim(queues, lease, ended), _together)

    async def unpark(self, queues: Sequence[str], tasks: Sequence[str]) -> int:
        """`Broker.unpark`, repeated until it is answered."""
        return await _repeat(lambda: self._broker.unpark(queues, tasks), lambda first, second: first + second)

    def close(self) -> None:
        """Close the broker inside."""
        self._broker.close()

    async def aclose(self) -> None:
        """Close the broker inside."""
        await self._broker.aclose()


async def _repeat(call: Callable[[], Awaitable[T]], join: Callable[[T, T], T]) -> T:
    lost: list[T] = []
    while True:
        try:
            answer = await call()
        except ReplyLost as error:
            lost.append(error.answer)
        except BrokerUnavailable:
            continue
        else:
            for earlier in reversed(lost):
                answer = join(earlier, answer)
            return answer


def _same(first: T, second: T) -> T:
    assert first == second, "a repeat is answered like the first call"
    return first


def _refused(first: list[bool], second: list[bool]) -> list[bool]:
    assert not any(second), "a repeat is refused, item by item"
    return first


def _nothing_more(first: int, second: int) -> int:
    assert second == 0, "a repeat finds nothing more to return"
    return first


def _together(first: Reclaimed, second: Reclaimed) -> Reclaimed:
    promoted, returned = first.promoted + second.promoted, first.returned + second.returned
    return Reclaimed(promoted, returned, second.next_due, second.next_deadline)
