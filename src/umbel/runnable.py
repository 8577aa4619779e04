"""Runnable: where a task runs, and for how long."""

from __future__ import annotations

from functools import cached_property
from typing import Literal, TypeAlias

from umbel.options import Seconds

Runner: TypeAlias = Literal["async", "thread", "process"]


class Runnable:
    """Options of a task. Durations are seconds, *memory_limit* is bytes; None: what the worker says, or no limit."""

    is_async: bool = False
    runner: Runner | None = None
    soft_time_limit: Seconds | None = None
    time_limit: Seconds | None = None
    memory_limit: int | None = None

    @cached_property
    def on_loop(self) -> bool:
        """Whether it runs in the event loop of a child, and not in a thread or in a process of its own."""
        return self.is_async and self.runner != "process"
