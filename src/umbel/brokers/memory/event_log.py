"""`MemoryEventLog`: the verbs of the log of events over a `Space`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from umbel.contracts.event_log import NOW, Kept, number_in
from umbel.engines.memory import Ear, Space

_KEY: Final = "log"


class MemoryEventLog:
    """The log of a space."""

    def __init__(self, space: Space) -> None:
        self._space = space

    def append(self, batches: Sequence[bytes], bound: int) -> None:
        """Add *batches*; see `EventLog.append`."""
        with self._space.lock:
            self._space.log.append(list(batches), bound)
            self._space.watch.ring(_KEY)

    async def aappend(self, batches: Sequence[bytes], bound: int) -> None:
        """The async twin of `append`."""
        self.append(batches, bound)

    async def read(self, after: str, limit: int, wait: float) -> list[Kept]:
        """What comes after the cursor *after*; see `EventLog.read`."""
        ear = Ear()
        with self._space.lock:
            start = self._space.log.last if after == NOW else number_in(after)
            found = self._after(start, limit)
            if found or wait <= 0:
                return found
            self._space.watch.join([_KEY], ear.wake)
        try:
            await ear.wait(wait)
        finally:
            self._hang_up(ear.wake)
        with self._space.lock:
            return self._after(start, limit)

    async def end(self) -> str:
        """The cursor of the newest batch; see `EventLog.end`."""
        return str(self._space.log.last or "")

    async def count(self) -> int:
        """How many batches were ever added."""
        return self._space.log.last

    def _after(self, start: int, limit: int) -> list[Kept]:
        return [Kept(str(number), batch) for number, batch in self._space.log.read(start, limit)]

    def _hang_up(self, wake: Callable[[], object]) -> None:
        with self._space.lock:
            self._space.watch.leave([_KEY], wake)
