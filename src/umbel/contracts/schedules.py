"""ScheduleStore: the power of a broker to hold schedules. A broker that has it is a `ScheduleHolder`.

The engine keeps rows of opaque bytes; what they mean is decided purely, in `umbel.schedules`, so it is the same on
every engine. What makes a tick happen once is one verb: `write` replaces a row only if nobody else has since it was
read, and sends the tick's job in the same atomic step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from umbel.model.schedule import Change, Table


class ScheduleStore(Protocol):
    """The verbs of schedules. Safe between threads. Errors as `Sender.send`."""

    def read(self, since: int) -> Table:
        """The rows with a revision above *since* (0: all).

        Whoever merges them into what was read before and has more rows than *size* then missed a removal: reads all.
        """
        ...

    async def aread(self, since: int) -> Table:
        """The async twin of `read`."""
        ...

    def write(self, changes: Sequence[Change]) -> list[bool]:
        """Carry out *changes*, each by itself; answers which were. Row and jobs of one are one atomic step.

        At most `umbel.model.schedule.MAX_CHANGES`. A repeat after an unknown outcome answers False for what was
        carried out, and changes nothing.
        """
        ...

    async def awrite(self, changes: Sequence[Change]) -> list[bool]:
        """The async twin of `write`."""
        ...


@runtime_checkable
class ScheduleHolder(Protocol):
    """A broker that holds schedules."""

    @property
    def schedule_store(self) -> ScheduleStore:
        """The verbs of schedules on this engine."""
        ...


@runtime_checkable
class TickWatcher(Protocol):
    """A `ScheduleHolder` that cannot find every job, but knows which that its schedules sent have not ended."""

    async def watched(self, job_id: str, queue: str) -> bool:
        """Whether the job of a schedule has not ended."""
        ...
