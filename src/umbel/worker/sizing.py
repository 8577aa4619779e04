"""How many children a worker has, and how many slots each: `-c`, `-P`, `--processes`, `--threads` and the settings."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Final

import msgspec

from umbel.exceptions import ImproperlyConfigured
from umbel.settings import Settings
from umbel.worker.options import WorkerOptions

POOLS: Final = ("prefork", "threads", "solo", "asyncio")
_ALIASES: Final = {"processes": "prefork"}
_REPLACED_POOLS: Final = {
    "gevent": "-P asyncio for `async def` tasks, or -P threads for blocking ones",
    "eventlet": "-P asyncio for `async def` tasks, or -P threads for blocking ones",
    "custom": "-P prefork, threads, solo or asyncio",
}
_CGROUP: Final = Path("/sys/fs/cgroup")


class Sizing(msgspec.Struct, frozen=True):
    """*processes* children, each with *threads* slots for `def` tasks and *async_slots* for `async def` tasks."""

    processes: int
    threads: int
    async_slots: int


def resolve(options: WorkerOptions, settings: Settings) -> Sizing:
    """Size a worker. The command line beats the settings (environment, app, file), which beat the number of CPUs.

    A `-c` or `-P` on the command line also beats ``worker_processes`` and ``worker_threads``: who types `-c 8` gets 8.
    Raises `ImproperlyConfigured` for an unknown pool or a number below 1.
    """
    pool = checked_pool(options.pool or settings.worker_pool)
    if pool == "solo" and (options.concurrency or 1) > 1:
        raise ImproperlyConfigured(
            f"-P solo runs one job at a time, so -c {options.concurrency} cannot be: use -P threads"
        )
    asked = settings.worker_concurrency if options.concurrency is None else options.concurrency
    sizing = _of_pool(pool, asked, settings)
    reshaped = options.concurrency is not None or options.pool is not None
    for name, typed, setting in (
        ("processes", options.processes, settings.worker_processes),
        ("threads", options.threads, settings.worker_threads),
    ):
        explicit = setting if typed is None and not reshaped else typed
        if explicit is not None:
            sizing = msgspec.structs.replace(sizing, **{name: explicit})
    if options.autoscale:
        if pool != "prefork":
            raise ImproperlyConfigured(f"--autoscale changes the number of child processes: use -P prefork, not {pool}")
        sizing = msgspec.structs.replace(sizing, processes=autoscale_limits(options.autoscale)[1])
    for name in Sizing.__struct_fields__:
        if getattr(sizing, name) < 1:
            raise ImproperlyConfigured(f"a worker cannot have {getattr(sizing, name)} {name}: give 1 or more")
    return sizing


def checked_pool(name: str) -> str:
    """The pool that *name* means. Raises `ImproperlyConfigured`, with the one to use instead, if it is none."""
    pool = name.lower()
    pool = _ALIASES.get(pool, pool)
    if pool in POOLS:
        return pool
    instead = _REPLACED_POOLS.get(pool, "one of " + ", ".join(POOLS))
    raise ImproperlyConfigured(f"the pool {name!r} is not supported: use {instead}")


def autoscale_limits(text: str) -> tuple[int, int]:
    """The most and the least number of children of *text*: ``10,3``, or ``10`` for ``10,0`` as Celery reads it.

    A worker needs one child, so 0 means 1. Raises `ImproperlyConfigured`.
    """
    most, _, least = text.partition(",")
    try:
        found = int(most), int(least or 0)
    except ValueError:
        found = (0, 0)
    if not found[0] >= max(found[1], 1) or found[1] < 0:
        raise ImproperlyConfigured(f"--autoscale is {text!r}: give MAX,MIN, such as 10,3")
    return found[0], max(found[1], 1)


def usable_cpus(cgroup: Path = _CGROUP) -> int:
    """The CPUs that this process may use: its affinity, and the quota of its control group (version 2), rounded up."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
        limit = math.ceil(int(quota) / int(period))  # "max 100000" when there is no quota: a ValueError
    except (OSError, ValueError, ZeroDivisionError):
        return allowed
    return max(1, min(allowed, limit))


def _of_pool(pool: str, asked: int | None, settings: Settings) -> Sizing:
    async_slots = settings.worker_async_concurrency
    if pool == "asyncio":
        return Sizing(1, 1, async_slots if asked is None else asked)
    if pool == "solo":
        return Sizing(1, 1, async_slots)
    slots = usable_cpus() if asked is None else asked
    return Sizing(1, slots, async_slots) if pool == "threads" else Sizing(slots, 1, async_slots)
