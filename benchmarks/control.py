"""What limits and control cost plain jobs: ``python -m benchmarks.control [--rounds N] [--jobs N]``, on Redis.

Turn and turn about, a worker drains the same jobs as they are, and with a soft and a hard time limit for each of them,
while a client asks each second what runs and revokes ten jobs a second. The CPU time of the worker is told, too;
what else the machine does disturbs it little.
"""

import argparse
import sys
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

import psutil

from benchmarks import drain
from benchmarks.clock import tell
from benchmarks.contenders import CONTENDERS, UMBEL
from benchmarks.probe import Probe
from benchmarks.process_tree import ProcessTree
from benchmarks.servers import Servers
from benchmarks.stage import Mode, Stage, staged
from umbel import Umbel

LIMITS = {"UMBEL_TASK_SOFT_TIME_LIMIT": "50", "UMBEL_TASK_TIME_LIMIT": "60"}
WARM = 2_000  # jobs
REVOKED_A_SECOND = 10
LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Turn:
    """Jobs a second, and milliseconds of the worker's CPU a thousand jobs."""

    rate: float
    cpu: float


def turn(stage: Stage, jobs: int, *, governed: bool) -> Turn:
    """Drain *jobs* jobs once."""
    stage.clear()
    plain = {name: value for name, value in stage.environment.items() if name not in LIMITS}
    stage.environment = plain | (LIMITS if governed else {})
    with stage.worker() as (tree, probe):
        stage.drive("fill", WARM)
        drain.sample(stage, tree, probe, WARM)
        if governed:
            with controlling(stage):
                return _drained(stage, tree, probe, jobs)
        return _drained(stage, tree, probe, jobs)


def _drained(stage: Stage, tree: ProcessTree, probe: Probe, jobs: int) -> Turn:
    used = _used()
    with drain.recording(probe) as samples:
        stage.drive("fill", jobs)
        drain.sample(stage, tree, probe, WARM + jobs)
    inside = [one for one in samples if drain.FROM * jobs <= one[1] - WARM <= drain.TO * jobs]
    rate = (inside[-1][1] - inside[0][1]) / (inside[-1][0] - inside[0][0])
    return Turn(rate, 1e6 * (_used() - used) / jobs)


def _used() -> float:
    """Seconds of CPU that the processes of the worker have used."""
    found = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            if "umbel" in " ".join(process.cmdline()) and "redis" not in process.name():
                found += sum(process.cpu_times()[:2])
        except psutil.Error:
            continue
    return found


@dataclass(frozen=True)
class Governed:
    """With limits and control, by round: what is kept of the rate, and how many times the worker's CPU it takes."""

    kept: list[float]
    cpu: list[float]


def measure(servers: Servers, rounds: int, jobs: int) -> Governed:
    """Take turns."""
    contender = next(one for one in CONTENDERS if one.name == UMBEL)
    governed = Governed([], [])
    with staged(contender, Mode("def", results=True), servers) as stage:
        for number in range(rounds):
            order = (False, True) if number % 2 else (True, False)
            found = {each: turn(stage, jobs, governed=each) for each in order}
            governed.kept.append(found[True].rate / found[False].rate)
            governed.cpu.append(found[True].cpu / found[False].cpu)
            tell(f"plain {found[False]}, with limits and control {found[True]}")
    return governed


def lines(found: Governed) -> list[str]:
    """What was measured, for the report."""
    return [
        "Plain jobs beside the same ones with a soft and a hard time limit each, while a client asks each second what",
        f"runs and revokes {REVOKED_A_SECOND} jobs a second; {len(found.kept)} rounds.",
        "",
        f"* rate kept: {_told(found.kept)}",
        f"* CPU of the worker: {_told(found.cpu)}",
    ]


def _told(parts: Sequence[float]) -> str:
    return f"{median(parts):.1%} ({min(parts):.1%} to {max(parts):.1%})"


@contextmanager
def controlling(stage: Stage) -> Generator[None]:
    """For the length of the block, look and revoke as a busy operator would."""
    over = threading.Event()
    with Umbel("control", broker=stage.environment["UMBEL_BENCH_BROKER"], set_as_current=False) as app:
        victims = iter([app.send_task("noop", countdown=3600) for _ in range(3_000)])
        look_at = time.monotonic()

        def work() -> None:
            nonlocal look_at
            while not over.wait(1 / REVOKED_A_SECOND):
                app.control.revoke(next(victims))
                if time.monotonic() >= look_at:
                    app.control.inspect().active()
                    look_at = time.monotonic() + LOOK_SECONDS

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def main(arguments: list[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.control", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=20_000)
    given = parser.parse_args(arguments)
    with Servers() as servers:
        print("\n".join(lines(measure(servers, given.rounds, given.jobs))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
