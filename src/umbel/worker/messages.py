"""What supervisor, forkserver and children say to each other: plain tagged values."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

from umbel.model.schedule import Entry
from umbel.security.redaction import Sketch
from umbel.settings import Settings
from umbel.worker.figures import Line
from umbel.worker.options import ChildOptions, WorkerOptions


class Stop(msgspec.Struct, frozen=True, tag=True):
    """To a child: receive nothing more, hand back what has not started, finish what runs within *grace* seconds."""

    grace: float


Why = Literal["soft", "timeout", "revoked", "withdrawn"]
"""Why a job is interrupted: a limit has passed, it was revoked, or it was revoked and is not to begin."""


class Interrupt(msgspec.Struct, frozen=True, tag=True):
    """To a child: have *jobs* end, as far as their code allows; those that wait here for a slot do not begin.

    *why* "withdrawn" lets those go on that run. *signal* is for the process of a job that has one; 0: SIGTERM.
    """

    jobs: list[str]
    why: Why
    signal: int = 0


class Limit(msgspec.Struct, frozen=True, tag=True):
    """To a child: what counts from now on instead of the limits of the *task*, in seconds; both None: its own."""

    task: str
    soft: float | None = None
    hard: float | None = None


class Adjusted(msgspec.Struct, frozen=True, tag=True):
    """To a child: these (queue, task), and no others, have another rate than in the code: ask for their jobs."""

    tasks: list[tuple[str, str]] = []


class Report(msgspec.Struct, frozen=True, tag=True):
    """To a child: tell of its jobs in events from now on, or no longer."""

    on: bool


class Quiet(msgspec.Struct, frozen=True, tag=True):
    """To a child: receive nothing more, hand back what has not started, finish what runs; or receive again."""

    on: bool


class Ready(msgspec.Struct, frozen=True, tag=True):
    """From a child: its first receive came back from the broker."""


class Retiring(msgspec.Struct, frozen=True, tag=True):
    """From a child: it has begun as many jobs as it may, and receives no more. It waits to be told to stop."""


class Counted(msgspec.Struct, frozen=True, tag=True):
    """From a child: what it has counted since it told last."""

    lines: list[Line] = []


class Lost(msgspec.Struct, frozen=True, tag=True):
    """From a child: the broker declared its session dead; the child ends with the exit status `LOST_STATUS`."""


class Load(msgspec.Struct, frozen=True, tag=True):
    """To the forkserver, first of all: which app to load, and *entry*, the function (``module:name``) of a child."""

    options: WorkerOptions
    entry: str
    worker: str = ""
    """The node name of the worker; empty for a scheduler that runs no jobs."""


class Loaded(msgspec.Struct, frozen=True, tag=True):
    """From the forkserver: the app is loaded. *settings* are final, *tasks* the sorted names in its registry.

    *results* is the URL of a result store that is to be tried out before jobs run; empty: it is the broker itself.
    *schedules* are those of the code; what they are made of is user code, so the settings travel without them.
    """

    main: str
    settings: Settings
    tasks: list[str]
    results: str = ""
    schedules: list[Entry] = []
    listened: list[str] = []
    """The names of the worker's own signals that somebody listens to."""
    version: str = ""
    """Of Umbel."""
    sketches: dict[str, Sketch] = {}
    """What those who tell of tasks know of them, by name."""
    limited: dict[str, str] = {}
    """The tasks whose jobs are limited, with what limits them."""


class LoadFailed(msgspec.Struct, frozen=True, tag=True):
    """From the forkserver: the app cannot be loaded, and why; *traceback* is empty where *error* says it all."""

    error: str
    traceback: str = ""


class Fork(msgspec.Struct, frozen=True, tag=True):
    """To the forkserver: fork a child, from now on *number*. Its channel's socket and its board's file come along."""

    number: int
    options: ChildOptions


class Forked(msgspec.Struct, frozen=True, tag=True):
    """From the forkserver: child *number* runs as process *pid*."""

    number: int
    pid: int


class Exited(msgspec.Struct, frozen=True, tag=True):
    """From the forkserver: child *number* is gone. *status* below 0 is minus a signal; *peak* is its RSS in bytes."""

    number: int
    status: int
    peak: int = 0


class Moment(msgspec.Struct, frozen=True, tag=True):
    """To a child or the forkserver: send the signal *name*, which tells *details*. A forkserver answers with it."""

    name: str
    details: dict[str, str | int] = {}


class Command(msgspec.Struct, frozen=True, tag=True):
    """To a child: run the command *name* of the app, or tell what it holds, and answer under this *number*."""

    number: int
    name: str
    arguments: dict[str, Any] = {}


class Obeyed(msgspec.Struct, frozen=True, tag=True):
    """From a child: what the command of that *number* has returned, or why not; it may be *unknown* there."""

    number: int
    value: Any = None
    error: str = ""
    unknown: bool = False


Message: TypeAlias = (
    Command
    | Obeyed
    | Moment
    | Stop
    | Interrupt
    | Limit
    | Adjusted
    | Report
    | Quiet
    | Ready
    | Counted
    | Retiring
    | Lost
    | Load
    | Loaded
    | LoadFailed
    | Fork
    | Forked
    | Exited
)

STOPPED_STATUS = 0
"""The exit status of a child that ends because it was told to."""
LOST_STATUS = 3
"""The exit status of a child that ends because its session was declared dead."""
