"""The board: a page of shared memory a child. Its trust word is written by the supervisor, the rest by the child.

The supervisor reads the slots also after the child was killed: they say which jobs had started. Therefore a job is on
the board before its user code is called, and off it only when its outcome exists.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from time import clock_gettime
from time import time as unix_time
from typing import Final, Self

from umbel.model.presence import RunningJob

SLOT_BYTES: Final = 384
_WORD_BYTES: Final = 8
_HEAD_BYTES: Final = 2 * _WORD_BYTES
# A slot: flag (1: started), nothing, length of the text, nothing, unix time of the start, then "id NUL task".
_HEAD: Final = struct.Struct("=2xH4xd")
_MAX_TEXT_BYTES: Final = SLOT_BYTES - _HEAD.size
FULL: Final = float("inf")
"""What `Board.heard` says while the child has no room for a job, and therefore asks for none."""
_CLOCK: Final = time.CLOCK_BOOTTIME if hasattr(time, "CLOCK_BOOTTIME") else time.CLOCK_MONOTONIC


def boot_seconds() -> float:
    """The clock of the trust word: it runs while the machine is suspended, and no clock step moves it."""
    return clock_gettime(_CLOCK)


class Board:
    """Shared by one child and its supervisor. Taking and giving slots is safe between the threads of the child."""

    def __init__(self, fd: int, slots: int) -> None:
        """Map the shared memory behind *fd*, whose size must fit *slots*; the board owns *fd* from now on."""
        self.fd = fd
        self._page = mmap.mmap(fd, _size(slots))
        self._view = memoryview(self._page)
        self._words = self._view[:_HEAD_BYTES].cast("d")  # eight aligned bytes are written in one piece
        self._starts = [_HEAD_BYTES + SLOT_BYTES * slot for slot in range(slots)]
        self._free = self._starts[::-1]

    @classmethod
    def create(cls, slots: int) -> Self:
        """A new board with *slots* slots, trusted by nobody, nothing started."""
        fd = os.memfd_create("umbel-board", os.MFD_CLOEXEC)
        os.ftruncate(fd, _size(slots))
        return cls(fd, slots)

    @classmethod
    def open(cls, fd: int, slots: int) -> Self:
        """The board that somebody else made and handed over as *fd*."""
        return cls(fd, slots)

    @property
    def trust(self) -> float:
        """The moment, in `boot_seconds`, until which the child may start jobs."""
        return self._words[0]

    @trust.setter
    def trust(self, until: float) -> None:
        self._words[0] = until

    @property
    def heard(self) -> float:
        """The moment, in `boot_seconds`, of the broker's last answer to a receive; 0: none yet, `FULL`: none asked."""
        return self._words[1]

    def hear(self) -> None:
        """Note that the broker has answered a receive just now."""
        self._words[1] = clock_gettime(_CLOCK)

    def fill(self) -> None:
        """Note that there is no room for a job, so that no receive is asked for."""
        self._words[1] = FULL

    def trusted(self) -> bool:
        """Tell whether a job may be started now."""
        return clock_gettime(_CLOCK) < self._words[0]

    def take(self, job_id: str, task: str) -> int:
        """Note that *job_id* starts; answers the slot to give back. Raises IndexError when no slot is free."""
        slot = self._free.pop()
        text = b"%b\0%b" % (job_id.encode(), task.encode())
        if len(text) > _MAX_TEXT_BYTES:
            text = text[:_MAX_TEXT_BYTES]  # an id has at most 255 bytes: only the name of the task is cut
        page = self._page
        page[slot + _HEAD.size : slot + _HEAD.size + len(text)] = text
        _HEAD.pack_into(page, slot, len(text), unix_time())
        # Last, and one byte: a child killed before this line had not called user code, one killed after it had.
        page[slot] = 1
        return slot

    def give(self, slot: int) -> None:
        """Note that the outcome of the job in *slot* exists, and free the slot."""
        self._page[slot] = 0
        self._free.append(slot)

    def started(self) -> list[RunningJob]:
        """The jobs that have started and have no outcome yet; exact once the child is dead or stopped."""
        return [job for slot in self._starts if self._page[slot] and (job := self._read(slot)) is not None]

    def close(self) -> None:
        """Give back memory and file."""
        self._words.release()
        self._view.release()
        self._page.close()
        os.close(self.fd)

    def _read(self, slot: int) -> RunningJob | None:
        first = self._page[slot : slot + SLOT_BYTES]
        if first != self._page[slot : slot + SLOT_BYTES] or not first[0]:
            return None  # the child is writing just now: rather nothing than a mixture of two jobs
        length, since = _HEAD.unpack_from(first)
        job_id, _, task = first[_HEAD.size : _HEAD.size + length].partition(b"\0")
        return RunningJob(job_id.decode(errors="replace"), task.decode(errors="replace"), since)


def _size(slots: int) -> int:
    return _HEAD_BYTES + SLOT_BYTES * slots
