"""What `umbel worker` was asked to do, as plain values that travel from the supervisor to its children."""

from __future__ import annotations

import msgspec


class WorkerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The worker's command line. Durations are seconds.

    A field that is None was not given there: the app's settings decide, see `umbel.worker.sizing.resolve`. The broker
    is not among them: `-b` arrives as UMBEL_BROKER_URL, which the forkserver inherits.
    """

    app: str
    """Where the app is, as `-A` says it: ``tasks``, ``tasks:app`` or ``pkg.tasks.app``."""
    workdir: str = ""
    """The folder that comes first in ``sys.path`` of the forkserver; empty: the current one."""
    queues: tuple[str, ...] = ()
    exclude_queues: tuple[str, ...] = ()
    hostname: str = ""
    """The node name, ``%h %n %d`` not yet replaced; empty: ``umbel@%h``."""
    pool: str | None = None
    concurrency: int | None = None
    processes: int | None = None
    threads: int | None = None
    soft_time_limit: float | None = None
    time_limit: float | None = None
    max_tasks_per_child: int | None = None
    max_memory_per_child: int | None = None
    """In KiB."""
    grace: float | None = None
    """None: ``worker_soft_shutdown_timeout``."""
    loglevel: str = "WARNING"
    logformat: str = "auto"
    logfile: str = ""
    color: bool | None = None
    """None: coloured on a terminal, unless NO_COLOR is set."""
    quiet: bool = False
    """No banner at the start."""
    beat: bool = True
    """Send the jobs of schedules."""
    health: str = ""
    """``[HOST:]PORT`` of the health endpoint; empty: none."""
    health_file: str = ""
    autoscale: str = ""
    """``MAX,MIN`` children; empty: as many as there were at the start."""
    burst: bool = False
    """End when nothing is left to do."""
    reload: bool = False
    """Load the app anew when a file of it has changed."""
    reload_dirs: tuple[str, ...] = ()
    """Where to look for changes; empty: in *workdir*."""
    reload_include: tuple[str, ...] = ()
    """Patterns of the names of files that are looked at beside Python files, such as ``*.yaml``."""


class ChildOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What one child is told when it is forked."""

    session: str
    worker: str
    queues: tuple[str, ...]
    threads: int
    async_slots: int
    max_crashes: int
    soft_time_limit: float | None = None
    time_limit: float | None = None
    """The limits of tasks that name none."""
    limits: tuple[tuple[str, float | None, float | None], ...] = ()
    """What counts for single tasks instead of their own limits: name, soft, hard."""
    adjusted: tuple[tuple[str, str], ...] = ()
    """The (queue, task) whose rate is another one than in the code."""
    events: bool = False
    """Whether what becomes of its jobs is told in events."""
    quiet: bool = False
    """Whether it receives nothing until it is told to."""
    counted: bool = False
    """Whether it tells its supervisor how many jobs came to which end."""
    max_tasks: int | None = None
    """After how many jobs it asks to be replaced."""
    nursery: int = -1
    """The descriptor over which it asks the forkserver for processes of jobs; -1: there are none."""
