"""The plan: what this worker does, once command line and the app's settings have both been heard."""

from __future__ import annotations

import os
import socket
from typing import TypeVar

import msgspec

from umbel.engines.address import masked
from umbel.exceptions import ImproperlyConfigured
from umbel.model.ids import valid_queue
from umbel.model.schedule import Entry
from umbel.options import checked_limits
from umbel.security.redaction import Sketch
from umbel.settings import Settings
from umbel.worker.messages import Loaded
from umbel.worker.options import WorkerOptions
from umbel.worker.sizing import Sizing, resolve

T = TypeVar("T")
MIN_LEASE_SECONDS = 2.0
DEFAULT_NAME = "umbel@%h"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything decided. *worker* is the node name, durations are seconds."""

    worker: str
    host: str
    main: str
    tasks: tuple[str, ...]
    queues: tuple[str, ...]
    sizing: Sizing
    lease: float
    grace: float
    limits: tuple[float | None, float | None] = (None, None)
    """The soft and the hard time limit of tasks that name none."""
    max_tasks: int | None = None
    """After how many jobs a child is replaced."""
    max_memory: int | None = None
    """From how many bytes on a child is replaced."""
    events: bool = True
    """Whether jobs are told of in events."""
    quiet: bool = False
    """Whether no jobs are received, until it is told to."""
    settings: Settings
    results: str = ""
    """The URL of a result store that is to be tried out before jobs run; empty: it is the broker itself."""
    schedules: tuple[Entry, ...] = ()
    """The schedules of the app's code."""
    version: str = ""
    """Of Umbel."""
    sketches: dict[str, Sketch] = {}
    """What those who tell of tasks know of them, by name."""
    listened: tuple[str, ...] = ()
    """The names of the worker's own signals that user code listens to."""
    limited: dict[str, str] = {}
    """The tasks whose jobs are limited, with what limits them."""

    @property
    def slots(self) -> int:
        """How many jobs one child runs at a time."""
        return self.sizing.threads + self.sizing.async_slots

    @property
    def trust(self) -> float:
        """For how long a lease is trusted after the heartbeat was sent: one tenth, but at least 1 s, is for doubt."""
        return self.lease - max(self.lease / 10, 1.0)

    @property
    def broker(self) -> str:
        """The broker's URL as it may be printed."""
        return masked(self.settings.broker_url)


def make_plan(options: WorkerOptions, loaded: Loaded) -> Plan:
    """Decide. Raises `ImproperlyConfigured` for what cannot be, naming option or setting."""
    settings = loaded.settings
    if settings.worker_lease < MIN_LEASE_SECONDS:
        raise ImproperlyConfigured(f"worker_lease is {settings.worker_lease:g} s: give {MIN_LEASE_SECONDS:g} or more")
    grace = settings.worker_soft_shutdown_timeout if options.grace is None else options.grace
    host = socket.gethostname()
    return Plan(
        worker=node_name(options.hostname or DEFAULT_NAME, host),
        host=host,
        main=loaded.main,
        tasks=tuple(loaded.tasks),
        queues=_queues(options, settings),
        sizing=resolve(options, settings),
        lease=settings.worker_lease,
        grace=max(0.0, grace),
        limits=_limits(options, settings),
        max_tasks=_either(options.max_tasks_per_child, settings.worker_max_tasks_per_child),
        max_memory=_bytes(_either(options.max_memory_per_child, settings.worker_max_memory_per_child)),
        events=settings.worker_send_task_events,
        settings=settings,
        results=loaded.results,
        schedules=tuple(loaded.schedules),
        listened=tuple(loaded.listened),
        limited=loaded.limited,
        version=loaded.version,
        sketches=loaded.sketches,
    )


def node_name(pattern: str, host: str) -> str:
    """*pattern* with ``%h`` (the host name), ``%n`` (its first part), ``%d`` (the rest), ``%p`` (the process id)."""
    name, _, domain = host.partition(".")
    values = {"%h": host, "%n": name, "%d": domain, "%p": str(os.getpid()), "%%": "%"}
    text = ""
    rest = pattern
    while rest:
        head, sign, rest = rest.partition("%")
        text += head
        if sign:
            text += values.get(sign + rest[:1], sign + rest[:1])
            rest = rest[1:]
    return text if "@" in text else f"{text}@{host}"


def _limits(options: WorkerOptions, settings: Settings) -> tuple[float | None, float | None]:
    soft = _either(options.soft_time_limit, settings.task_soft_time_limit)
    hard = _either(options.time_limit, settings.task_time_limit)
    try:
        return checked_limits(soft, hard)
    except ValueError as error:
        raise ImproperlyConfigured(f"the time limits of this worker: {error}") from None


def _either(given: T | None, setting: T | None) -> T | None:
    return setting if given is None else given


def _bytes(kibibytes: int | None) -> int | None:
    return None if kibibytes is None else kibibytes * 1024


def _queues(options: WorkerOptions, settings: Settings) -> tuple[str, ...]:
    asked = options.queues or settings.usual_queues
    chosen = tuple(dict.fromkeys(queue for queue in asked if queue not in options.exclude_queues))
    for queue in chosen:
        if not valid_queue(queue):
            raise ImproperlyConfigured(f"{queue!r} cannot name a queue: 1-128 of A-Z a-z 0-9 . _ @ : -")
    if not chosen:
        raise ImproperlyConfigured(f"no queue is left: -X {','.join(options.exclude_queues)} excludes them all")
    return chosen
