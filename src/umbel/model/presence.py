"""Presence: what a worker tells of one of its children with every heartbeat; opaque to brokers, shown by `status`."""

from __future__ import annotations

from typing import Final

import msgspec


class RunningJob(msgspec.Struct, frozen=True, array_like=True):
    """A job that a child is running; *since* is unix time."""

    id: str
    task: str
    since: float


class Presence(msgspec.Struct, frozen=True, omit_defaults=True):
    """One child of one worker. *pid* is the supervisor's, *child* the process that runs the jobs.

    *lag* is by how many seconds its event loop came late of late, at worst. *quiet*: it was told to receive nothing.
    """

    worker: str
    host: str
    pid: int
    child: int
    threads: int
    async_slots: int
    started: float
    queues: tuple[str, ...] = ()
    running: tuple[RunningJob, ...] = ()
    lag: float = 0.0
    quiet: bool = False


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Presence)


def encode(presence: Presence) -> bytes:
    """The bytes of *presence*, for a heartbeat."""
    return _encoder.encode(presence)


def decode(info: bytes) -> Presence | None:
    """The presence in *info*, or None if it is not one: it was written by somebody else."""
    try:
        return _decoder.decode(info)
    except (msgspec.MsgspecError, RecursionError):
        return None
