"""Slices of one drain: turn and turn about, some thousand jobs at a time, with and without something.

So what is compared are neighbouring moments of the same processes: from one start of a worker to the next, and from one
minute to the next, the same work takes up to twice the CPU. Beside the rate, what each part takes of the CPU for a job
is told: where they saturate the processors, as here, it decides on the rate, and what else the machine does disturbs it
less.
"""

import os
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TypeAlias

import psutil

from benchmarks import drain
from benchmarks.clock import tell
from benchmarks.stage import ContenderFailed, Stage

VICTIMS = 1_000  # more than are revoked while a round takes
WARM, SLICED, PAUSE = 0.05, 0.72, 0.002  # of the jobs: before the first slice, in all of them, and before each
ORDER = ("rest", "govern", "govern", "rest")  # what drifts falls on both alike
TIMES = 6
TOGETHER = 3  # times `ORDER`: the machine's pace changes within a second, so slices are short, and some count as one
PARTS: tuple[str, ...] = ("children", "supervisor", "broker", "operator", "recorder")
WORKING: tuple[str, ...] = PARTS[:3]
"""Whose CPU the jobs need."""


@dataclass(frozen=True)
class Mark:
    """A moment: of the monotonic clock, with the jobs that had run, and the seconds of CPU that the parts had used."""

    at: float
    jobs: int
    cpu: dict[str, float]


Slice: TypeAlias = tuple[str, Mark, Mark]
"""What was said to the operator, and from where to where."""


@dataclass(frozen=True)
class Share:
    """Some slices of a drain together: jobs a second, and microseconds of CPU for each job by part."""

    rate: float
    cpu: dict[str, float]

    @property
    def work(self) -> float:
        """Microseconds of CPU for each job, of worker and broker."""
        return sum(self.cpu[part] for part in WORKING)


def sliced(stage: Stage, jobs: int, what: str) -> tuple[Share, Share]:
    """Fill the queue, and drain it in slices: the plain ones together, and those in which an operator does *what*."""
    return _shares(_drained(stage, jobs, what, TIMES), what)


def neighbours(stage: Stage, jobs: int, what: str, times: int) -> list[tuple[Share, Share]]:
    """The same, *times* pairs: the plain ones of `TOGETHER` turns, and those of the same turns with *what*."""
    slices = _drained(stage, jobs, what, times * TOGETHER)
    size = len(ORDER) * TOGETHER
    pairs = [_shares(slices[at : at + size], what) for at in range(0, len(slices) // size * size, size)]
    return pairs or [_shares(slices, what)]


def _drained(stage: Stage, jobs: int, what: str, times: int) -> list[Slice]:
    """`ORDER` so many *times*, or less often if there are too few jobs for it."""
    stage.drive("fill", jobs)
    slices: list[Slice] = []
    with operating(stage, what) as operator, stage.worker() as (tree, probe):
        drain.sample(stage, tree, probe, int(WARM * jobs))
        parts = Parts()

        def reached(count: float) -> Mark:
            drain.sample(stage, tree, probe, min(int(count), jobs))
            return Mark(time.monotonic(), probe.total(), parts.used())

        for line in ORDER * times:
            _say(operator, line)
            began = reached(probe.total() + PAUSE * jobs)
            ended = reached(began.jobs + SLICED * jobs / len(ORDER * times))
            if ended.jobs >= jobs:
                break  # the queue is empty
            slices.append((line, began, ended))
    return slices[: len(slices) // len(ORDER) * len(ORDER)]


def _shares(slices: Sequence[Slice], what: str) -> tuple[Share, Share]:
    """The plain ones together, and those with *what*."""
    plain, governed = (_share([one[1:] for one in slices if one[0] == line]) for line in ("rest", "govern"))
    for name, share in (("without", plain), (f"with {what}", governed)):
        told = ", ".join(f"{part} {value:.2f}" for part, value in share.cpu.items() if value)
        tell(f"slices  {name:<26} {share.rate:8,.0f} jobs/s   CPU a job (µs): {told}")
    return plain, governed


@contextmanager
def operating(stage: Stage, what: str) -> Generator[subprocess.Popen[str]]:
    """An operator, who waits for his orders, and has sent what he is going to revoke."""
    victims = VICTIMS if "revokes" in what else 0
    command = [sys.executable, "-m", "benchmarks.control_operator", what, str(victims)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=stage.environment, stdin=pipe, stdout=pipe, text=True) as operator:
        try:
            _hear(operator, "here")
            yield operator
        finally:
            operator.kill()


def _say(operator: subprocess.Popen[str], line: str) -> None:
    """Tell *operator* what to do, and wait until it is so."""
    assert operator.stdin is not None
    operator.stdin.write(f"{line}\n")
    operator.stdin.flush()
    _hear(operator, line)


def _hear(operator: subprocess.Popen[str], line: str) -> None:
    assert operator.stdout is not None
    if (heard := operator.stdout.readline().strip()) != line:
        raise ContenderFailed(f"the operator answered {heard!r}, not {line!r}")


def _share(slices: Sequence[tuple[Mark, Mark]]) -> Share:
    ran = sum(ended.jobs - began.jobs for began, ended in slices)
    if not ran:
        raise ContenderFailed("there are too few jobs to measure")
    cpu = {part: 1e6 * sum(ended.cpu[part] - began.cpu[part] for began, ended in slices) / ran for part in PARTS}
    return Share(ran / sum(ended.at - began.at for began, ended in slices), cpu)


class Parts:
    """The processes of all parts, found once: to find them takes longer than to ask them."""

    def __init__(self) -> None:
        """Find them."""
        self._clocks: list[tuple[str, int]] = []
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                part = _part(" ".join(process.cmdline()), process.ppid())
                # As clock_getcpuclockid(3) makes it on Linux: it does not count in ticks.
                self._clocks.append((part, ~process.pid << 3 | 2))

    def used(self) -> dict[str, float]:
        """Seconds of CPU that each part has used."""
        found = dict.fromkeys(PARTS, 0.0)
        for part, clock in self._clocks:
            found[part] += time.clock_gettime(clock)
        return found


def _part(words: str, parent: int) -> str:
    """Which part a process with the command line *words* is."""
    if "redis-server" in words or "postgres:" in words or words.endswith("/postgres"):
        return "broker"
    if "benchmarks.control_operator" in words:
        return "operator"
    if words.endswith(" recorder"):
        return "recorder"
    return "supervisor" if parent == os.getpid() else "children"
