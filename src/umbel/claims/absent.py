"""No claim store: what this process holds, and what a message tells of itself. Plain at-least-once.

A job is whose message it is. It may run twice: after a lost line, after a second send, when somebody is slow.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec

from umbel.contracts.broker import Beat, Ended, Reclaimed, SessionDead
from umbel.contracts.claims import Answer, Pointer, Verdict
from umbel.contracts.jobs import Revoked
from umbel.contracts.powers import Location, SessionInfo
from umbel.exceptions import ImproperlyConfigured
from umbel.model.finding import Finding
from umbel.model.job import FIRST, Counts, Delivery

ADVICE: Final = (
    "a job may run twice, and one that runs longer than RabbitMQ waits for an acknowledgement (30 minutes, unless "
    "consumer_timeout is set) is run again: set result_backend to a redis://, postgresql:// or db+… URL"
)
_SOMEWHERE: Final = "ready"


class NoClaims:
    """`ClaimStore` that remembers nothing beyond this process: every session is alive, every job is free."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], dict[str, int]] = {}
        self._numbers: dict[tuple[str, str], int] = {}
        self._ended: set[str] = set()

    async def heartbeat(
        self, beats: Sequence[Beat], queues: Sequence[str], lease: float, *, opening: bool = False
    ) -> list[bool]:
        """Nobody is declared dead."""
        del queues, lease, opening
        return [True] * len(beats)

    async def claim(self, session: str, number: int, queue: str, pointers: Sequence[Pointer]) -> list[Answer] | None:
        """All are free; see `told` for what happened to them. None for a number that is no new one."""
        if session in self._ended:
            raise SessionDead(session)
        if number <= self._numbers.get((session, queue), 0):
            return None
        self._numbers[session, queue] = number
        if pointers:
            self._held.setdefault((session, queue), {}).update((pointer.id, number) for pointer in pointers)
        return [_answer(pointer) for pointer in pointers]

    async def settle(self, session: str, verdicts: Sequence[Verdict]) -> list[bool]:
        """Whatever this process holds may be settled."""
        return [self._let_go(session, verdict.delivery) for verdict in verdicts]

    async def published(self, queue: str, job_id: str, parcel: bytes, task: str = "") -> None:
        """Nothing was noted."""

    async def reconcile(self, session: str, number: int, queues: Sequence[str], held: Sequence[Delivery]) -> list[str]:
        """What this process has beyond *held*."""
        known = {(delivery.queue, delivery.id, delivery.number) for delivery in held}
        given_up: list[str] = []
        for queue in queues:
            self._numbers[session, queue] = max(number, self._numbers.get((session, queue), 0))
            mine = self._held.get((session, queue), {})
            lost = [job_id for job_id, taken in mine.items() if (queue, job_id, taken) not in known]
            for job_id in lost:
                del mine[job_id]
            given_up += lost
        return given_up

    async def mark(self, session: str, delivery: Delivery) -> bool:
        """Tell whether *delivery* is held; the message is marked by the broker."""
        return self._held.get((session, delivery.queue), {}).get(delivery.id) == delivery.number

    async def reclaim(self, queues: Sequence[str], lease: float, ended: Sequence[Ended] = ()) -> Reclaimed:
        """Forget sessions of this process; messages of others come back with their connections."""
        del lease
        returned = 0
        for end in ended:
            self._ended.add(end.session)
            returned += sum(len(self._held.pop((end.session, queue), {})) for queue in queues)
        return Reclaimed(returned=returned)

    async def parked(self, queues: Sequence[str], tasks: Collection[str]) -> list[dict[str, int]]:
        """Who knows."""
        return [dict.fromkeys(tasks, 0) for _ in queues]

    async def unparked(self, queue: str, tasks: Mapping[str, int]) -> None:
        """Nothing was noted."""

    async def queues(self) -> list[str]:
        """Those that this process has received from."""
        return sorted({queue for _, queue in self._held})

    async def running(self, queues: Sequence[str]) -> list[int]:
        """What this process holds."""
        return [sum(len(held) for (_, name), held in self._held.items() if name == queue) for queue in queues]

    async def sessions(self, queues: Sequence[str]) -> list[SessionInfo]:
        """Nobody is known."""
        del queues
        return []

    def locate(self, job_id: str, queue: str | None) -> Location:
        """Somewhere."""
        del job_id
        return Location(_SOMEWHERE, queue or "", guessed=True)

    async def alocate(self, job_id: str, queue: str | None) -> Location:
        """The async twin of `locate`."""
        return self.locate(job_id, queue)

    def doom(self, keys: Sequence[tuple[str, str | None]]) -> list[Revoked]:
        """Raises `ImproperlyConfigured`: nothing is remembered."""
        del keys
        raise ImproperlyConfigured(f"without a claim store no job can be revoked: {ADVICE.partition(': ')[2]}")

    async def adoom(self, keys: Sequence[tuple[str, str | None]]) -> list[Revoked]:
        """The async twin of `doom`."""
        return self.doom(keys)

    async def examine(self, *, thorough: bool = False) -> list[Finding]:
        """What that means; see `Examiner`."""
        del thorough
        return [Finding("kept", "no", ADVICE)]

    def close(self) -> None:
        """Nothing is open."""

    async def aclose(self) -> None:
        """Nothing is open."""

    def _let_go(self, session: str, delivery: Delivery) -> bool:
        mine = self._held.get((session, delivery.queue), {})
        if mine.get(delivery.id) != delivery.number:
            return False
        del mine[delivery.id]
        return True


def told(counts: Counts, deliveries: int) -> Counts:
    """What a message tells that has *counts* and was handed out *deliveries* times before.

    A marked job runs alone, and its message goes back uncounted: each delivery was a crash. Of any other, one time is
    forgiven, as messages that nobody took go back; more may have been the crash of a neighbour, so they count as one.
    """
    if counts.marked:
        return msgspec.structs.replace(counts, crashes=counts.crashes + deliveries)
    return msgspec.structs.replace(counts, crashes=counts.crashes or min(1, max(0, deliveries - 1)))


def _answer(pointer: Pointer) -> Answer:
    returned = bool(pointer.deliveries or pointer.copy or pointer.generation or pointer.counts != FIRST)
    return Answer("ours", told(pointer.counts, pointer.deliveries), returned=returned)
