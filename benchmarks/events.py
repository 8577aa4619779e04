"""What watching costs work: ``python -m benchmarks.events [--engine Redis|SQLite] [--rounds N] [--jobs N]``.

A worker drains a queue in slices (`benchmarks.slices`), in which it tells of its jobs or does not; then again, beside a
recorder that writes what it is told into a history. Worker, broker and recorder share the machine. The recorder works
in slices without events, too, on what was told before, and so takes from their rate: its CPU is charged whole to the
jobs that were told of.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.contenders import CONTENDERS, REDIS, SQLITE, UMBEL
from benchmarks.servers import Servers
from benchmarks.slices import Share, sliced
from benchmarks.stage import Mode, Stage, staged

NAMES = {REDIS: UMBEL, SQLITE: "umbel-sqlite"}
RECORDER = ("-m", "umbel", "-A", "benchmarks.peers.umbel_app:app", "-q", "recorder")
READY_SECONDS = 20.0
PARTS: tuple[str, ...] = ("worker", "broker", "recorder")


@dataclass(frozen=True)
class Turn:
    """One drained queue: microseconds of CPU a job by part, and jobs a second, without events and with them."""

    off: dict[str, float]
    on: dict[str, float]
    off_rate: float
    on_rate: float


@dataclass(frozen=True)
class Cost:
    """What *way* costs on *engine*: of the rate without events the share that is kept, each round; CPU by part (µs).

    *kept_by_cpu* is that share as the CPU time of a job, of all parts together, would have it.
    """

    engine: str
    way: str
    rate: float
    kept: tuple[float, ...]
    cpu: dict[str, float]
    kept_by_cpu: tuple[float, ...] = ()


def measure(servers: Servers, engines: Sequence[str], rounds: int, jobs: int) -> list[Cost]:
    """Take turns."""
    costs: list[Cost] = []
    for engine in engines:
        contender = next(one for one in CONTENDERS if one.name == NAMES[engine])
        with staged(contender, Mode("def", results=True), servers) as stage:
            pairs = [(turn(stage, jobs, recorded=False), turn(stage, jobs, recorded=True)) for _ in range(rounds)]
        plain, recorded = (list(turns) for turns in zip(*pairs, strict=True))
        off = {part: median(one.off[part] for one in plain) for part in PARTS}
        costs.append(Cost(engine, "off", median(one.off_rate for one in plain), (1.0,), off, (1.0,)))
        costs += [_cost(engine, "on", plain), _cost(engine, "recorded", recorded)]
    return costs


def _cost(engine: str, way: str, turns: Sequence[Turn]) -> Cost:
    kept = tuple(one.on_rate / one.off_rate for one in turns)
    by_cpu = tuple(sum(one.off.values()) / sum(one.on.values()) for one in turns)
    cpu = {part: median(one.on[part] for one in turns) for part in PARTS}
    return Cost(engine, way, median(one.on_rate for one in turns), kept, cpu, by_cpu)


def turn(stage: Stage, jobs: int, *, recorded: bool) -> Turn:
    """Drain *jobs* jobs once."""
    stage.clear()
    history = stage.folder / "history.db"
    stage.environment |= {"UMBEL_HISTORY_URL": f"sqlite:///{history}"}
    with ExitStack() as stack:
        if recorded:
            stack.enter_context(recording(stage, history))
        off, on = sliced(stage, jobs, "events")
    for each in stage.folder.glob("history.db*"):
        each.unlink()
    return Turn(_by_part(off, 0.0), _by_part(on, off.cpu["recorder"] + on.cpu["recorder"]), off.rate, on.rate)


def _by_part(share: Share, recorder: float) -> dict[str, float]:
    """The CPU of a job by part; as many slices are with events as without."""
    worker = share.cpu["children"] + share.cpu["supervisor"]
    return {"worker": worker, "broker": share.cpu["broker"], "recorder": recorder}


@contextmanager
def recording(stage: Stage, history: Path) -> Generator[None]:
    """A recorder that runs for the length of the block."""
    with (stage.folder / "recorder.log").open("w") as log:
        recorder = subprocess.Popen([sys.executable, *RECORDER], env=stage.environment, stdout=log, stderr=log)
        try:
            end = time.monotonic() + READY_SECONDS
            while not history.exists() and time.monotonic() < end:
                time.sleep(0.02)
            yield
        finally:
            recorder.kill()
            recorder.wait()


def lines(costs: Sequence[Cost]) -> list[str]:
    """What was measured, for the report."""
    heads = ("", "jobs/s", "of the rate without events", "CPU a job, µs: worker", "broker", "recorder", "rate by CPU")
    told = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for one in costs:
        cells = " | ".join(f"{one.cpu[part]:.1f}" for part in PARTS)
        shares = f"{_spread(one.kept)} | {cells} | {_spread(one.kept_by_cpu)}"
        told.append(f"| {one.engine}, events {one.way} | {one.rate:,.0f} | {shares} |")
    return told


def _spread(shares: Sequence[float]) -> str:
    """The median of *shares*, and between what they are."""
    return f"{median(shares):.0%} ({min(shares):.0%} to {max(shares):.0%})" if shares else ""


def main(arguments: list[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.events", description=__doc__)
    parser.add_argument("--engine", action="append", choices=sorted(NAMES), default=[])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=160_000)
    given = parser.parse_args(arguments)
    with Servers() as servers:
        costs = measure(servers, given.engine or list(NAMES), given.rounds, given.jobs)
    print("\n".join(lines(costs)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
