"""Names of keys and channels in Redis, shared by the broker that writes records and the store that reads them.

A queue's keys begin with ``umbel:{<queue>}:``, so each queue is one hash slot; databases separate apps.
"""

from __future__ import annotations

from typing import Final

QUEUES: Final = b"umbel:queues"
"""SET of the names of all queues ever used."""

EVENTS: Final = b"umbel:{~events}:log"
"""STREAM of what happened; no queue can have such a name."""

CARRIED_EVENTS: Final = b"umbel:{~events:c}:log"
"""The same beside the claims of a broker that is another server."""


def prefix(queue: str) -> bytes:
    """What the keys of *queue* begin with."""
    return b"umbel:{%b}:" % queue.encode()


def record_key(queue: str, job_id: str) -> bytes:
    """The STRING that holds the record of *job_id*; empty for a job that ended without one."""
    return b"umbel:{%b}:r:%b" % (queue.encode(), job_id.encode())


def events(database: int) -> bytes:
    """What channels begin with, an id follows. Redis's channels know no databases, so the name does."""
    return b"umbel:%d:e:" % database


def box_key(box: str) -> bytes:
    """The STREAM of messages in *box*; no queue can have such a name."""
    return b"umbel:{~box:%b}:letters" % box.encode()
