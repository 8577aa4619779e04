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

import msgspec

from umbel.model.presence import RunningJob

SLOT_BYTES: Final = 384
_WORD_BYTES: Final = 8
_HEAD_BYTES: Final = 5 * _WORD_BYTES
# A slot: flag (1: started, 2: limited, too, 3: in a process of its own), nothing, length of the text, nothing, unix
# time of the start, the moments of the soft and the hard limit, then "id NUL task".
_HEAD: Final = struct.Struct("=2xH4xddd")
_MAX_TEXT_BYTES: Final = SLOT_BYTES - _HEAD.size
_SLOT: Final = struct.Struct(f"{_HEAD.format}{_MAX_TEXT_BYTES}s")
_STARTED: Final = 1
_LIMITED: Final = 2
_ISOLATED: Final = 3
NEVER: Final = float("inf")
FULL: Final = float("inf")
"""What `Board.heard` says while the child has no room for a job, and therefore asks for none."""
_CLOCK: Final = time.CLOCK_BOOTTIME if hasattr(time, "CLOCK_BOOTTIME") else time.CLOCK_MONOTONIC


def boot_seconds() -> float:
    """The clock of the trust word: it runs while the machine is suspended, and no clock step moves it."""
    return clock_gettime(_CLOCK)


class Limited(msgspec.Struct, frozen=True):
    """A job that runs under limits: the moments, in `boot_seconds`, at which they pass; `NEVER` for none.

    *isolated*: it has a process of its own, which its child ends by itself.
    """

    id: str
    task: str
    soft: float
    hard: float
    isolated: bool = False


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

    @property
    def ended(self) -> int:
        """How many jobs have ended in the child for good, as the broker has confirmed."""
        return int(self._words[2])

    def end(self, jobs: int) -> None:
        """Note that so many *jobs* more have."""
        self._words[2] += jobs

    def turn(self, lag: float, due: float) -> None:
        """Note that the child's loop has turned, at worst *lag* seconds late; it is to again in *due* (0: never)."""
        self._words[3] = lag
        self._words[4] = clock_gettime(_CLOCK) + due if due else 0.0

    @property
    def lag(self) -> float:
        """By how many seconds the child's event loop came late of late, at worst, or has been late up to now."""
        due = self._words[4]
        return max(self._words[3], clock_gettime(_CLOCK) - due) if due else 0.0

    def trusted(self) -> bool:
        """Tell whether a job may be started now."""
        return clock_gettime(_CLOCK) < self._words[0]

    def take(
        self, job_id: str, task: str, limits: tuple[float | None, float | None] | None = None, *, isolated: bool = False
    ) -> int:
        """Note that *job_id* starts; answers the slot to give back. Raises IndexError when no slot is free.

        It is to end within its *limits*, the soft and the hard one in seconds, None for none; see `Limited`.
        """
        slot = self._free.pop()
        text = f"{job_id}\0{task}".encode()
        if len(text) > _MAX_TEXT_BYTES:
            text = text[:_MAX_TEXT_BYTES]  # an id has at most 255 bytes: only the name of the task is cut
        if limits is None:
            flag, soon, late = _STARTED, NEVER, NEVER
        else:
            flag, now = _LIMITED, clock_gettime(_CLOCK)
            soft, hard = limits
            soon, late = NEVER if soft is None else now + soft, NEVER if hard is None else now + hard
        page = self._page
        _SLOT.pack_into(page, slot, len(text), unix_time(), soon, late, text)
        # Last, and one byte: a child killed before this line had not called user code, one killed after it had.
        page[slot] = _ISOLATED if isolated else flag
        return slot

    def give(self, slot: int) -> None:
        """Note that the outcome of the job in *slot* exists, and free the slot."""
        self._page[slot] = 0
        self._free.append(slot)

    def started(self) -> list[RunningJob]:
        """The jobs that have started and have no outcome yet; exact once the child is dead or stopped."""
        return [job for slot in self._starts if self._page[slot] and (job := self._read(slot)) is not None]

    def limited(self) -> list[Limited]:
        """The jobs that run under limits; a look costs next to nothing if there are none."""
        flags = self._page[_HEAD_BYTES::SLOT_BYTES]
        if _LIMITED not in flags and _ISOLATED not in flags:
            return []
        copies = [self._copy(slot) for slot in self._starts if self._page[slot] >= _LIMITED]
        return [_limited(page) for page in copies if page is not None]

    def close(self) -> None:
        """Give back memory and file."""
        self._words.release()
        self._view.release()
        self._page.close()
        os.close(self.fd)

    def _read(self, slot: int) -> RunningJob | None:
        page = self._copy(slot)
        return None if page is None else RunningJob(*_text(page), _HEAD.unpack_from(page)[1])

    def _copy(self, slot: int) -> bytes | None:
        first = self._page[slot : slot + SLOT_BYTES]
        if first != self._page[slot : slot + SLOT_BYTES] or not first[0]:
            return None  # the child is writing just now: rather nothing than a mixture of two jobs
        return first


def _limited(page: bytes) -> Limited:
    _, _, soft, hard = _HEAD.unpack_from(page)
    return Limited(*_text(page), soft, hard, page[0] == _ISOLATED)


def _text(page: bytes) -> tuple[str, str]:
    """The id and the task in the copy of a slot."""
    length = _HEAD.unpack_from(page)[0]
    job_id, _, task = page[_HEAD.size : _HEAD.size + length].partition(b"\0")
    return job_id.decode(errors="replace"), task.decode(errors="replace")


def _size(slots: int) -> int:
    return _HEAD_BYTES + SLOT_BYTES * slots
