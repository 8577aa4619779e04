"""Ager: the power of a broker to let jobs that wait long under more urgent ones become more urgent.

Priorities are strict: as long as there is something more urgent, the rest waits. Where that is not wanted, whoever
looks after the queues calls `Ager.age` every now and then; no other verb knows of it, and none pays for it.

* **Who rises.** An engine remembers of each queue and level which ready job stands at its front, and since when on the
  clock of the engine. If the same one stands there for *seconds*, nothing of that level was taken all that time: its
  oldest jobs, at most 200, go to the end of the next more urgent level, in their order. Then the clock of the level
  starts anew, for those that are left and for those that have risen to a level that was empty.
* So a level gives up to 200 jobs each *seconds*: urgent jobs are never buried under a long backlog at once. The oldest
  wait at most about *seconds* a level that is more urgent than theirs.
* **What rises stays risen**: a retry, a release or the end of a lease brings a job back to the level to which it rose.
* Only ready jobs rise. A queue that is paused forgets since when its jobs stand.
* One step a queue is atomic. As the memory is in the engine, any number of callers lets nothing rise faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, runtime_checkable

from umbel.contracts.capabilities import Power, demand

LEAST_INTERVAL_SECONDS: Final = 0.1
"""How often `Ager.age` is called at most, however fast priorities age."""
LOOKS: Final = 4
"""How often it is called within the time after which jobs rise, at least."""


@runtime_checkable
class Ager(Protocol):
    """A broker that lets priorities age."""

    async def age(self, queues: Sequence[str], seconds: float) -> int:
        """Let jobs rise by one level of which none was taken for *seconds*; answers how many. Errors as `reclaim`."""
        ...


class Ageing:
    """What a worker does for it: *seconds* is the setting; None: nothing."""

    def __init__(self, broker: object, seconds: float | None, place: str) -> None:
        """Raises `ImproperlyConfigured` if it is asked of a *broker*, at *place*, that cannot do it."""
        if seconds is not None:
            demand(broker, Power.AGEING, "task_priority_ageing", place)
        self._ager = broker if seconds is not None and isinstance(broker, Ager) else None
        self._seconds = seconds or 0.0

    @property
    def wanted(self) -> bool:
        """Whether jobs are to rise."""
        return self._ager is not None

    def interval(self, most: float) -> float:
        """How many seconds, at most *most*, a worker may let pass between two calls of `age`."""
        if self._ager is None:
            return most
        return min(most, max(LEAST_INTERVAL_SECONDS, self._seconds / LOOKS))

    async def age(self, queues: Sequence[str]) -> int:
        """Let jobs of *queues* rise, if that is wanted; answers how many."""
        return 0 if self._ager is None else await self._ager.age(queues, self._seconds)
