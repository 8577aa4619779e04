"""What watching costs work: ``python -m benchmarks.events [--engine Redis|SQLite] [--rounds N] [--jobs N]``.

Turn and turn about, a worker drains the same jobs without events, with events, and with events that a recorder writes
into a history meanwhile. Worker, broker and recorder share the machine. What is measured is measured between the first
and the last 5 % of the jobs, without the start of any process: the rate, and the CPU time of worker, broker and
recorder, which what else the machine does disturbs less. Where they saturate the processors, it decides on the rate.
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
from benchmarks.probe import Probe
from benchmarks.process_tree import ProcessTree
from benchmarks.servers import Servers
from benchmarks.stage import ContenderFailed, Mode, Stage, staged

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
class Mark:
    """A moment of a drain: the monotonic clock, how many jobs ran by then, and the CPU seconds of each part."""

    at: float
    jobs: int
    cpu: dict[str, float]


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
        found: list[dict[str, Turn]] = []
        with staged(contender, Mode("def", results=True), servers) as stage:
            for number in range(rounds):
                order = WAYS[number % len(WAYS) :] + WAYS[: number % len(WAYS)]
                found.append({way: turn(stage, engine, way, jobs) for way in order})
        costs += [_cost(engine, way, found) for way in WAYS]
    return costs


def _cost(engine: str, way: str, found: Sequence[dict[str, Turn]]) -> Cost:
    kept = tuple(each[way].rate / each["off"].rate for each in found)
    by_cpu = tuple(sum(each["off"].cpu.values()) / sum(each[way].cpu.values()) for each in found)
    cpu = {part: median(each[way].cpu[part] for each in found) for part in PARTS}
    return Cost(engine, way, median(each[way].rate for each in found), kept, cpu, by_cpu)


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
        tree, probe = stack.enter_context(stage.worker())
        begun, ended = (_reached(stage, tree, probe, int(share * jobs)) for share in (drain.FROM, drain.TO))
    for each in stage.folder.glob("history.db*"):
        each.unlink()
    ran = ended.jobs - begun.jobs
    if ran <= 0:
        raise ContenderFailed(f"{jobs} jobs are too few to measure")
    cpu = {part: 1e6 * (ended.cpu[part] - begun.cpu[part]) / ran for part in PARTS}
    took = Turn(engine, way, ran / (ended.at - begun.at), cpu)
    told = ", ".join(f"{part} {value:.1f}" for part, value in took.cpu.items())
    tell(f"events  {engine:<7} {way:<9} {took.rate:8,.0f} jobs/s   CPU a job (µs): {told}")
    return took


def _reached(stage: Stage, tree: ProcessTree, probe: Probe, count: int) -> Mark:
    """The moment at which *count* jobs had run; waits for it."""
    drain.sample(stage, tree, probe, count)
    return Mark(time.monotonic(), probe.total(), _used())


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
    parser.add_argument("--jobs", type=int, default=160_000)
    given = parser.parse_args(arguments)
    with Servers() as servers:
        costs = measure(servers, given.engine or list(NAMES), given.rounds, given.jobs)
    print("\n".join(lines(costs)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
