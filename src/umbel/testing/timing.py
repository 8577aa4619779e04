"""Timing: which time it is for Umbel's own code, while a virtual clock runs. User code keeps the real one."""

from __future__ import annotations

import contextlib
import random
import sys
import time
from collections.abc import Callable, Generator
from importlib import import_module
from types import ModuleType
from typing import Any, Final

from umbel.model import chance

_LATE: Final = (
    "umbel.app.flows",
    "umbel.app.schedules",
    "umbel.canvas",
    "umbel.canvas.expiry",
    "umbel.canvas.replacing",
    "umbel.retrying",
)
"""Modules that are imported at their first use; it must not be then that they find the real time."""
_REAL: Final = ("umbel.engines.", "umbel.testing.", "umbel.worker.supervisor.", "umbel.worker.board", "umbel.cli.")
"""Modules that wait for something that is really there."""


class _Time(ModuleType):
    """The module `time`, but for what the clock says."""

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__("time")
        self.time = now
        self.monotonic = now

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


@contextlib.contextmanager
def timed_by(now: Callable[[], float], seed: int) -> Generator[None]:
    """Let Umbel's code of this process ask *now* for the time, and draw its chances from *seed*, for this block."""
    for name in _LATE:
        import_module(name)
    seen: Final = {time: _Time(now), chance: random.Random(seed)}
    replaced: list[tuple[ModuleType, str, object]] = []
    for module in [module for name, module in sys.modules.items() if _is_ours(name)]:
        for name, found in list(vars(module).items()):
            if isinstance(found, ModuleType) and found in seen:
                replaced.append((module, name, found))
                setattr(module, name, seen[found])
    try:
        yield
    finally:
        for module, name, found in replaced:
            setattr(module, name, found)


def _is_ours(name: str) -> bool:
    return name.startswith("umbel.") and not name.startswith(_REAL)
