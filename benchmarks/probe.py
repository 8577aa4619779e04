"""The counter that every contender's task bumps: one shared memory file, the same few lines in every environment.

Standard library only. The file is an array of unsigned 64-bit numbers. Slot 0 holds how many slots were given out,
every further slot is the count of one thread of one process, on a cache line of its own. A slot has a single writer,
so ``slot += 1`` needs no lock; a forked child takes a fresh slot. The number after the count is when it last grew.
"""

import fcntl
import mmap
import os
import threading
import time
from pathlib import Path

VARIABLE = "UMBEL_BENCH_PROBE"
SLOTS = 1024
STRIDE = 8  # numbers a slot, 64 bytes
NUMBER = 8  # bytes


class Probe:
    """One shared counter file, opened for counting or for reading."""

    def __init__(self, path: str) -> None:
        self._file = Path(path).open("r+b")  # noqa: SIM115 - open as long as the process counts
        self._numbers = memoryview(mmap.mmap(self._file.fileno(), SLOTS * STRIDE * NUMBER)).cast("Q")

    @classmethod
    def create(cls, path: str) -> "Probe":
        """Make an empty counter file at *path* and open it."""
        Path(path).write_bytes(bytes(SLOTS * STRIDE * NUMBER))
        return cls(path)

    def take_slot(self) -> int:
        """Reserve a slot for the calling thread; the index of its number."""
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            self._numbers[0] += 1
            taken = self._numbers[0]
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        if taken >= SLOTS:
            raise RuntimeError(f"more than {SLOTS - 1} threads counted")
        return taken * STRIDE

    def bump(self, index: int) -> None:
        """Count one job on the number at *index*, which only this thread writes."""
        self._numbers[index] += 1

    def stamp(self, index: int) -> None:
        """Note the moment beside the number at *index*."""
        self._numbers[index + 1] = time.monotonic_ns()

    def last(self) -> int:
        """When a job was last counted by `stamped_hit`: nanoseconds of the monotonic clock."""
        return max(self._numbers[slot * STRIDE + 1] for slot in range(1, self._numbers[0] + 1))

    def total(self) -> int:
        """Jobs counted by all threads of all processes so far."""
        last = self._numbers[0] + 1
        return sum(self._numbers[slot * STRIDE] for slot in range(1, last))

    def writers(self) -> int:
        """How many threads have counted at least one job."""
        return self._numbers[0]


_local = threading.local()
_opening = threading.Lock()
_opened: list[Probe] = []


def hit() -> None:
    """Count one job. Costs well under a microsecond; thread-safe and fork-safe."""
    try:
        _local.bump(_local.index)
    except AttributeError:
        _open().bump(_local.index)


def stamped_hit() -> None:
    """Count one job, and note the moment."""
    hit()
    _opened[0].stamp(_local.index)


def _open() -> Probe:
    """Take the calling thread's slot, opening the file at the first call of the process."""
    with _opening:
        if not _opened:
            _opened.append(Probe(os.environ[VARIABLE]))
        _local.index = _opened[0].take_slot()
    _local.bump = _opened[0].bump
    return _opened[0]


def _forget() -> None:
    """Make a forked child open the file anew: else it would share its parent's slot, and its lock on the file."""
    vars(_local).clear()
    _opened.clear()


os.register_at_fork(after_in_child=_forget)
