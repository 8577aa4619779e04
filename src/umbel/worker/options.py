"""What `umbel worker` was asked to do, as plain values that travel from the supervisor to its children."""

from __future__ import annotations

import msgspec


class WorkerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The worker's command line and settings, resolved. Durations are seconds.

    *processes* children, each with *threads* slots for `def` tasks and *async_slots* for `async def` tasks.
    """

    app: str
    queues: tuple[str, ...] = ()
    exclude_queues: tuple[str, ...] = ()
    hostname: str = ""
    processes: int = 1
    threads: int = 1
    async_slots: int = 100
    lease: float = 15.0
    max_crashes: int = 3
    grace: float = 25.0
    loglevel: str = "WARNING"
    logformat: str = "auto"
    workdir: str = ""


class ChildOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What one child is told when it is forked."""

    session: str
    worker: str
    queues: tuple[str, ...]
    threads: int
    async_slots: int
    max_crashes: int
