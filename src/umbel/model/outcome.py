"""Outcome: what became of a delivery, as a value. Result: the terminal record that is stored."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from umbel.model.failure import Failure
from umbel.model.job import Job


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """The terminal record of a job. *value* is the encoded return value; *done* is unix time, *run* seconds.

    *children* are the ids of jobs that its task has sent, see `packed_id`.
    """

    state: str
    value: msgspec.Raw = msgspec.Raw(b"\xc0")
    failure: Failure | None = None
    task: str = ""
    queue: str = ""
    worker: str = ""
    retries: int = 0
    done: float = 0.0
    run: float = 0.0
    children: tuple[bytes, ...] = ()


class Succeeded(msgspec.Struct, frozen=True, gc=False):
    """The task returned; *value* is encoded. *follow_ups* and *added* go into the settlement as they are."""

    value: bytes
    run: float = 0.0
    follow_ups: tuple[Job, ...] = ()
    added: tuple[tuple[str, str, int], ...] = ()
    children: tuple[str, ...] = ()


class Failed(msgspec.Struct, frozen=True):
    """The task raised and is not tried again. *dead*: keep the envelope as a dead letter.

    *envelope* is the job as it is kept by now, if its run has amended it.
    """

    failure: Failure
    run: float = 0.0
    dead: bool = False
    children: tuple[str, ...] = ()
    envelope: bytes = b""


class Retried(msgspec.Struct, frozen=True):
    """The task asked for another attempt in *delay* seconds; *envelope* replaces the old one if arguments changed."""

    failure: Failure | None
    delay: float
    run: float = 0.0
    envelope: bytes | None = None
    charged: bool = True


class Revoked(msgspec.Struct, frozen=True):
    """The job will not run: it had expired or was revoked; *reason* says which."""

    reason: str


class Duplicate(Revoked, frozen=True):
    """The job did not run: another one, *holder*, has its unique key."""

    holder: str = ""


class Crashed(msgspec.Struct, frozen=True):
    """The process of its own in which the job ran has died: a crash that concerns nobody else."""

    run: float = 0.0


class Ignored(msgspec.Struct, frozen=True):
    """The job ended without a record."""

    run: float = 0.0


class Released(msgspec.Struct, frozen=True):
    """The job was not started and goes back to the front of its level, uncharged."""


class Parked(msgspec.Struct, frozen=True):
    """No task of that name is known here; the job waits for a worker that knows it."""

    task: str


class Completed(msgspec.Struct, frozen=True, gc=False):
    """The task has ended its job itself, in a transaction of its own: nothing is left to be settled."""

    run: float = 0.0


Outcome: TypeAlias = Succeeded | Failed | Retried | Revoked | Ignored | Released | Parked | Completed | Crashed


def describe(outcome: Outcome) -> dict[str, Any]:
    """The outcome as plain data, for logs and events."""
    return {"outcome": type(outcome).__name__.lower(), **msgspec.structs.asdict(outcome)}
