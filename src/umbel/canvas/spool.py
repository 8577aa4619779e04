"""Spool: the jobs of a flow between compiling and sending. Many of them are on disk, so that memory does not grow."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from typing import IO, Final

import msgspec

from umbel.model.job import Job

MEMORY_BYTES: Final = 4 * 1024 * 1024
"""How much of the jobs is kept in memory. The rest goes to a file without a name, which only this process can read."""
_JOB_BYTES: Final = 400
"""About what a job takes beside its envelope."""

_LENGTH: Final = struct.Struct(">I")
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(tuple[int, str, str, bytes, int, float, float | None])


class Spool:
    """Jobs with the nodes that send them, in order; they may be read again and again."""

    def __init__(self, memory_bytes: int | None = None) -> None:
        """Begin with none; *memory_bytes* of them stay in memory, by default `MEMORY_BYTES`."""
        self._memory_bytes = MEMORY_BYTES if memory_bytes is None else memory_bytes
        self._left = self._memory_bytes
        self._first: list[tuple[int, Job]] = []
        self._file: IO[bytes] | None = None
        self._filed = 0

    def append(self, node: int, job: Job) -> None:
        """One more. Raises `OSError` when the disk is full."""
        if self._file is None:
            self._first.append((node, job))
            self._left -= len(job.envelope) + _JOB_BYTES
            if self._left <= 0:
                self._open()
            return
        packed = _encoder.encode((node, job.id, job.queue, job.envelope, job.priority, job.delay, job.eta))
        self._file.write(_LENGTH.pack(len(packed)))
        self._file.write(packed)
        self._filed += 1

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()

    def __len__(self) -> int:
        return len(self._first) + self._filed

    def __iter__(self) -> Iterator[tuple[int, Job]]:
        yield from self._first
        if self._file is None:
            return
        self._file.seek(0)
        for _ in range(self._filed):
            (length,) = _LENGTH.unpack(self._file.read(_LENGTH.size))
            node, job_id, queue, envelope, priority, delay, eta = _decoder.decode(self._file.read(length))
            yield node, Job(job_id, queue, envelope, priority, delay, eta)

    def _open(self) -> None:
        try:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - it is gone with the spool
        except OSError:  # nowhere to write: then it is memory after all
            self._left = 2**62
