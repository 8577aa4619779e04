"""Limit: how many jobs of one kind may run at once, and how often one may start. Unique: a key of one job at a time."""

from __future__ import annotations

from typing import Literal

import msgspec


class Pace(msgspec.Struct, frozen=True, gc=False):
    """What a limit allows. Zero means without limit.

    *concurrency*: jobs that may run at once. *interval*: seconds between two starts; *burst* of them may follow each
    other at once after a pause.
    """

    concurrency: int = 0
    interval: float = 0.0
    burst: int = 1


class Limit(msgspec.Struct, frozen=True, gc=False):
    """A limit that a job stands under: one counter in each queue for each (task, key).

    *key* is what the caller counts by ("" counts the whole task). *turn*, unless None, is whose turn it is: among the
    jobs of one limit each turn has one job ready at a time, and the turns follow each other round and round, so a
    turn with many jobs does not keep another one waiting. While there are few turns, those whose jobs start as soon as
    they are ready have some more, see `contracts.limits`.
    """

    task: str
    key: str = ""
    turn: str | None = None
    pace: Pace = Pace()


Scope = Literal["queued", "done"]
"""How long a unique job keeps its key: until it starts, or until it has ended."""


class Unique(msgspec.Struct, frozen=True, gc=False):
    """A key that one job at a time has in a queue.

    Without *seconds* the job keeps it as long as *scope* says; a job that is dead or gone keeps nothing. With *seconds*
    it keeps it for that long after it was accepted, whatever becomes of it, and *scope* does not count; until it has
    started it keeps nobody from starting: whoever starts first has the key, and if that is another one or the time was
    over, for *seconds* from then on.
    """

    key: str
    scope: Scope = "done"
    seconds: float = 0.0
