"""What watching costs work: ``python -m benchmarks.events [--engine Redis|SQLite] [--rounds N] [--jobs N]``.

Turn and turn about, a worker drains the same jobs without events, with events, and with events that a recorder writes
into a history meanwhile. Producers, workers and the recorder share the machine. The CPU time of worker, broker and
recorder is told, too; what else the machine does disturbs it little.
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

import psutil

from benchmarks import drain
from benchmarks.clock import tell
from benchmarks.contenders import CONTENDERS, REDIS, SQLITE, UMBEL
from benchmarks.servers import Servers
from benchmarks.stage import Mode, Stage, staged

WAYS = ("off", "on", "recorded")
"""Without events, with them, and with a recorder that reads them."""
NAMES = {REDIS: UMBEL, SQLITE: "umbel-sqlite"}
RECORDER = ("-m", "umbel", "-A", "benchmarks.peers.umbel_app:app", "-q", "recorder")
READY_SECONDS = 20.0
PARTS: tuple[str, ...] = ("worker", "broker", "recorder")


@dataclass(frozen=True)
class Turn:
    """One drained queue, watched in *way*: jobs a second, and microseconds of CPU a job by part."""

    engine: str
    way: str
    rate: float
    cpu: dict[str, float]


@dataclass(frozen=True)
class Cost:
    """What *way* costs on *engine*: of the rate without events the share that is kept, each round; CPU by part (µs)."""

    engine: str
    way: str
    rate: float
    kept: tuple[float, ...]
    cpu: dict[str, float]


def measure(servers: Servers, engines: Sequence[str], rounds: int, jobs: int) -> list[Cost]:
    """Take turns."""
    costs: list[Cost] = []
    for engine in engines:
        contender = next(one for one in CONTENDERS if one.name == NAMES[engine])
        found: list[dict[str, Turn]] = []
        with staged(contender, Mode("def", results=True), servers) as stage:
            for number in range(rounds):
                order = WAYS[number % len(WAYS) :] + WAYS[: number % len(WAYS)]
                found.append({way: turn(stage, engine, way, jobs) for way in order})
        costs += [_cost(engine, way, found) for way in WAYS]
    return costs


def _cost(engine: str, way: str, found: Sequence[dict[str, Turn]]) -> Cost:
    kept = tuple(each[way].rate / each["off"].rate for each in found)
    cpu = {part: median(each[way].cpu[part] for each in found) for part in PARTS}
    return Cost(engine, way, median(each[way].rate for each in found), kept, cpu)


def turn(stage: Stage, engine: str, way: str, jobs: int) -> Turn:
    """Drain *jobs* jobs once."""
    stage.clear()
    history = stage.folder / "history.db"
    stage.environment |= {
        "UMBEL_BENCH_VARIANT": "silent" if way == "off" else "",
        "UMBEL_HISTORY_URL": f"sqlite:///{history}",
    }
    with ExitStack() as stack:
        if way == "recorded":
            stack.enter_context(recording(stage, history))
        stage.drive("fill", jobs)
        begun = _used()
        tree, probe = stack.enter_context(stage.worker())
        rate = drain.watch(stage, tree, probe, jobs).rate
        used = _used()
    for each in stage.folder.glob("history.db*"):
        each.unlink()
    took = Turn(engine, way, rate, {part: 1e6 * (used[part] - begun[part]) / jobs for part in PARTS})
    cpu = ", ".join(f"{part} {value:.1f}" for part, value in took.cpu.items())
    tell(f"events  {engine:<7} {way:<9} {rate:8,.0f} jobs/s   CPU a job (µs): {cpu}")
    return took


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
    told = ["| | jobs/s | of the rate without events | CPU a job, µs: worker | broker | recorder |", "|" + "---|" * 6]
    for one in costs:
        kept = f"{median(one.kept):.0%} ({min(one.kept):.0%} to {max(one.kept):.0%})"
        cells = " | ".join(f"{one.cpu[part]:.1f}" for part in PARTS)
        told.append(f"| {one.engine}, events {one.way} | {one.rate:,.0f} | {kept} | {cells} |")
    return told


def _used() -> dict[str, float]:
    """Seconds of CPU that the parts have used."""
    found = dict.fromkeys(PARTS, 0.0)
    for process in psutil.Process().children(recursive=True):
        try:
            words = " ".join(process.cmdline())
            ours = "recorder" if words.endswith("recorder") else "worker"
            found["broker" if "redis-server" in words else ours] += sum(process.cpu_times()[:2])
        except psutil.Error:
            continue
    return found


def main(arguments: list[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.events", description=__doc__)
    parser.add_argument("--engine", action="append", choices=sorted(NAMES), default=[])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=60_000)
    given = parser.parse_args(arguments)
    with Servers() as servers:
        costs = measure(servers, given.engine or list(NAMES), given.rounds, given.jobs)
    print("\n".join(lines(costs)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
