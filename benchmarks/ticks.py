"""Schedules of one second while a worker is killed each second: whether each tick is one job, and how late it is."""

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median, quantiles
from typing import NamedTuple

from benchmarks.clock import tell
from benchmarks.contenders import UMBEL, Contender
from benchmarks.peers.terms import PROCESSES
from benchmarks.process_tree import ProcessTree
from benchmarks.servers import Servers
from benchmarks.stage import ContenderFailed, Mode, Stage, staged

SCHEDULES = 120  # of one second
KILLED = 5  # processes of which one is killed each second
UP_SECONDS = 60  # until all tick
DOWN_SECONDS = 40  # until jobs of the killed have run: their lease has to lapse
SENT = "Sent "
APP = "benchmarks.peers.umbel_ticks:app"
LOUD = ("--loglevel", "info", "--log-format", "json")


@dataclass(frozen=True)
class Setting:
    """*title*; who is killed, who beside them is not (words after ``umbel -A app``), for what *part* of the time."""

    title: str
    killed: tuple[str, ...]
    part: float
    beside: tuple[tuple[str, ...], ...] = ()


WORKER = ("worker", "--processes", "1", *LOUD)
SETTINGS = (
    Setting(f"{KILLED} workers", WORKER, 1.0),
    Setting(
        f"{KILLED} `umbel beat`, and a worker that is left alone",
        ("beat", *LOUD),
        0.5,
        (("worker", "--processes", str(PROCESSES), "--no-beat", *LOUD),),
    ),
)


class Late(NamedTuple):
    """Milliseconds after the tick: median, 99th percentile, most."""

    p50: float
    p99: float
    most: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Late":
        """Of at least two."""
        return cls(1000 * median(seconds), 1000 * quantiles(seconds, n=100)[98], 1000 * max(seconds))


class Run(NamedTuple):
    """One run of a tick's job, its *delivery*-th."""

    schedule: str
    tick: float
    job: str
    delivery: int
    at: float


@dataclass(frozen=True)
class Ticked:
    """What came of it. *ticks* were due in *seconds*; *missing* had no job, *doubled* more than one.

    *again* jobs ran twice because their worker was killed before it could say that they had run. *sent* and *ran* tell
    when the job was sent, by the log, and when it ran.
    """

    title: str
    seconds: int
    ticks: int
    missing: int
    doubled: int
    again: int
    sent: Late
    ran: Late


class Troop:
    """The processes of one setting, started in the folder of *stage*; the oldest is killed first."""

    def __init__(self, stage: Stage, setting: Setting) -> None:
        self._book = stage.folder / "ticks"
        self._log = stage.folder / "worker.log"
        self._folder = stage.folder
        self._environment = stage.environment | {"UMBEL_BENCH_TICKS": str(self._book)}
        self._book.touch()
        self._words = setting.killed
        self._steady = [self._start(words) for words in setting.beside]
        self._moving = [self._start(self._words) for _ in range(KILLED)]

    def _start(self, words: tuple[str, ...]) -> ProcessTree:
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "umbel", "-A", APP, *words]
            return ProcessTree([command], self._environment, self._folder, log)

    def replace(self) -> None:
        """Kill one with all its processes, and start another."""
        self._moving.pop(0).kill()
        self._moving.append(self._start(self._words))

    def end(self) -> None:
        """Kill all."""
        for tree in [*self._moving, *self._steady]:
            tree.kill()

    def runs(self) -> list[Run]:
        """What has run."""
        rows = (line.split() for line in self._book.read_text().splitlines())
        return [Run(name, float(tick), job, int(number), float(at)) for name, tick, job, number, at in rows]

    def sent(self) -> dict[str, float]:
        """When each job was sent, by the log; one whose sender was killed between the two is not there."""
        found: dict[str, float] = {}
        for line in self._log.read_text(errors="replace").splitlines():
            if f'"{SENT}' not in line or not line.endswith("}"):
                continue
            told = json.loads(line)
            found.setdefault(told["message"].split()[1], datetime.fromisoformat(told["time"]).timestamp())
        return found

    def printed(self) -> str:
        """The end of the log."""
        return self._log.read_text(errors="replace")[-1500:]


def measure(contenders: Sequence[Contender], servers: Servers, seconds: int) -> list[Ticked]:
    """Measure each setting for *seconds*, if Umbel is among *contenders*."""
    found: list[Ticked] = []
    for ours in [each for each in contenders if each.name == UMBEL]:
        for setting in SETTINGS:
            with staged(ours, Mode("def", results=False), servers) as stage:
                found.append(_one(stage, setting, round(seconds * setting.part)))
            tell(f"ticks: {found[-1]}")
    return found


def _one(stage: Stage, setting: Setting, seconds: int) -> Ticked:
    """Start all, kill for *seconds*, let the rest arrive, and count."""
    troop = Troop(stage, setting)
    try:
        if not _within(UP_SECONDS, lambda: len(troop.runs()) >= 3 * SCHEDULES):
            raise ContenderFailed(f"no ticks within {UP_SECONDS} s: {troop.printed()}")
        first = time.time() + 1
        for number in range(seconds):
            # At any moment of the second: else all kills would meet the same part of a tick.
            time.sleep(max(0.0, first + number + random.random() - time.time()))
            troop.replace()
        _within(DOWN_SECONDS, lambda: not _missing(troop.runs(), first, first + seconds))
    finally:
        troop.end()
    return count(setting.title, troop.runs(), troop.sent(), first, seconds)


def count(title: str, runs: Sequence[Run], sent: Mapping[str, float], first: float, seconds: int) -> Ticked:
    """What *runs* tell of the ticks in the *seconds* from *first*, and *sent* of when each job was sent."""
    runs = [run for run in runs if first <= run.tick < first + seconds]
    # A job that comes again after a kill is not at its first delivery; one that was sent twice is, twice.
    firsts = Counter((run.schedule, run.tick) for run in runs if run.delivery == 1)
    began: dict[str, Run] = {}
    for run in runs:
        began.setdefault(run.job, run)
    return Ticked(
        title,
        seconds,
        ticks=len({(run.schedule, run.tick) for run in runs}),
        missing=_missing(runs, first, first + seconds),
        doubled=sum(1 for times in firsts.values() if times > 1),
        again=sum(1 for run in runs if run.delivery > 1 and run is not began[run.job]),
        sent=Late.of([sent[job] - run.tick for job, run in began.items() if job in sent]),
        ran=Late.of([run.at - run.tick for run in began.values()]),
    )


def _missing(runs: Sequence[Run], first: float, last: float) -> int:
    """How many ticks from *first* to *last* have not run; each schedule's follow from any one of it."""
    found = {(run.schedule, round(run.tick, 3)) for run in runs}
    phases = {run.schedule: run.tick % 1 for run in runs}
    missing = SCHEDULES - len(phases)
    for schedule, phase in phases.items():
        tick = first // 1 + phase
        tick += tick < first
        while tick < last:
            missing += (schedule, round(tick, 3)) not in found
            tick += 1
    return missing


def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Whether *condition* holds before so many seconds are over."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


def lines(found: Sequence[Ticked]) -> list[str]:
    """The findings as a Markdown table."""
    rows = [
        f"| {one.title} | {one.seconds} | {one.ticks:,} | {one.missing} | {one.doubled} | {one.again} "
        f"| {_told(one.sent)} | {_told(one.ran)} |"
        for one in found
    ]
    return [
        f"{SCHEDULES} schedules of one second. One process is killed and replaced each second.",
        "Milliseconds after the tick: median, 99th percentile, most.",
        "",
        "| killed | for, s | ticks | not sent | sent twice | run again after a kill | job sent | job ran |",
        "|---|---|---|---|---|---|---|---|",
        *rows,
    ]


def _told(late: Late) -> str:
    return f"{late.p50:,.0f}, {late.p99:,.0f}, {late.most:,.0f}"
