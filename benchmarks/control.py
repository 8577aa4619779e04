"""What limits and control cost plain jobs: ``python -m benchmarks.control [--rounds N] [--jobs N] [--what …]``.

One worker drains one queue on Redis. Turn and turn about, some thousand jobs at a time, they are run as they are, and
with a soft and a hard time limit each while an operator revokes ten jobs a second and looks once a second what runs
(`benchmarks.control_operator`, a process of its own on the same machine). So what is compared are neighbouring moments
of the same processes. Beside the rate, what each part takes of the CPU for a job is told: where they saturate the
processors, as here, it decides on the rate, and what else the machine does disturbs it less. The operator's own work is
no work of the worker; as it takes its part of the same processors, the rate has it in it, and the CPU tells it apart.
What an operator costs is by the second, not by the job: on a machine that is slow, or busy, he costs more of the rate.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from statistics import median

import psutil

from benchmarks import drain
from benchmarks.clock import tell
from benchmarks.contenders import CONTENDERS, UMBEL
from benchmarks.control_operator import REVOKED_A_SECOND
from benchmarks.servers import Servers
from benchmarks.stage import ContenderFailed, Mode, Stage, staged

WHAT = "limits,revokes,looks"
VICTIMS = 1_000  # more than are revoked while a round takes
WARM, SLICE, PAUSE = 0.05, 0.03, 0.002  # of the jobs: before the first slice, in each, and before each
ORDER = ("rest", "govern", "govern", "rest")  # what drifts falls on both alike
TIMES = 6  # at most; as often as there are jobs for it
PARTS: tuple[str, ...] = ("children", "supervisor", "broker", "operator")
WORKING: tuple[str, ...] = PARTS[:3]
"""Whose CPU the jobs need."""


@dataclass(frozen=True)
class Mark:
    """A moment: of the monotonic clock, with the jobs that had run, and the seconds of CPU that the parts had used."""

    at: float
    jobs: int
    cpu: dict[str, float]


@dataclass(frozen=True)
class Share:
    """Some slices of a drain together: jobs a second, and microseconds of CPU for each job by part."""

    rate: float
    cpu: dict[str, float]

    @property
    def work(self) -> float:
        """Microseconds of CPU for each job, without those of the operator."""
        return sum(self.cpu[part] for part in WORKING)


@dataclass(frozen=True)
class Governed:
    """Plain jobs beside those with limits and control.

    By round: *kept* of the rate, and *cpu*, how many times the CPU of worker and broker a job takes. By part, the
    microseconds of CPU that a job takes, *plain* and *controlled*, the medians of all rounds.
    """

    kept: list[float]
    cpu: list[float]
    plain: dict[str, float] = field(default_factory=dict)
    controlled: dict[str, float] = field(default_factory=dict)


def measure(servers: Servers, rounds: int, jobs: int, what: str = WHAT) -> Governed:
    """Drain *jobs* jobs a round, in slices."""
    contender = next(one for one in CONTENDERS if one.name == UMBEL)
    with staged(contender, Mode("def", results=True), servers) as stage:
        found = [turn(stage, jobs, what) for _ in range(rounds)]
    return Governed(
        [controlled.rate / plain.rate for plain, controlled in found],
        [controlled.work / plain.work for plain, controlled in found],
        *({part: median(each[place].cpu[part] for each in found) for part in PARTS} for place in (0, 1)),
    )


def turn(stage: Stage, jobs: int, what: str) -> tuple[Share, Share]:
    """Fill the queue, and drain it in slices; the plain ones together, and those with limits and control."""
    stage.clear()
    stage.drive("fill", jobs)
    slices: list[tuple[str, Mark, Mark]] = []
    with operating(stage, what) as operator, stage.worker() as (tree, probe):
        drain.sample(stage, tree, probe, int(WARM * jobs))
        parts = Parts()

        def reached(count: float) -> Mark:
            drain.sample(stage, tree, probe, min(int(count), jobs))
            return Mark(time.monotonic(), probe.total(), parts.used())

        for line in ORDER * TIMES:
            _say(operator, line)
            began = reached(probe.total() + PAUSE * jobs)
            ended = reached(began.jobs + SLICE * jobs)
            if ended.jobs >= jobs:
                break  # the queue is empty
            slices.append((line, began, ended))
    del slices[len(slices) // len(ORDER) * len(ORDER) :]
    plain, controlled = (_share([one[1:] for one in slices if one[0] == line]) for line in ("rest", "govern"))
    for name, share in (("plain", plain), ("controlled", controlled)):
        told = ", ".join(f"{part} {value:.2f}" for part, value in share.cpu.items())
        tell(f"control  {name:<10} {share.rate:8,.0f} jobs/s   CPU a job (µs): {told}")
    return plain, controlled


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
    if "redis-server" in words:
        return "broker"
    if "control_operator" in words:
        return "operator"
    return "supervisor" if parent == os.getpid() else "children"


def lines(found: Governed) -> list[str]:
    """What was measured, for the report."""
    told = [
        "Plain jobs, in turns with the same ones with a soft and a hard time limit each, while an operator looks once",
        f"a second what runs and revokes {REVOKED_A_SECOND} jobs a second; {len(found.kept)} rounds.",
        "",
        f"* rate kept: {_told(found.kept)}; the operator, on the same machine, takes his part of it",
        f"* CPU of worker and broker a job: {_told(found.cpu)}",
    ]
    if not found.plain:
        return told
    told += ["", f"| CPU a job, µs | {' | '.join(PARTS)} | without the operator |", "|" + "---|" * (len(PARTS) + 2)]
    for name, cpu in (("plain", found.plain), ("with limits and control", found.controlled)):
        cells = " | ".join(f"{cpu[part]:.2f}" for part in PARTS)
        told.append(f"| {name} | {cells} | {sum(cpu[part] for part in WORKING):.2f} |")
    return told


def _told(parts: Sequence[float]) -> str:
    return f"{median(parts):.1%} ({min(parts):.1%} to {max(parts):.1%})"


def main(arguments: list[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.control", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=160_000)
    parser.add_argument("--what", default=WHAT, help=f"some of {WHAT}")
    given = parser.parse_args(arguments)
    with Servers() as servers:
        print("\n".join(lines(measure(servers, given.rounds, given.jobs, given.what))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
