"""What limits and control cost plain jobs: ``python -m benchmarks.control [--engine …] [--rounds N] [--jobs N]``.

One worker drains one queue, by default on Redis, in slices (`benchmarks.slices`): jobs are run as they are, and with a
soft and a hard time limit each while an operator revokes ten jobs a second and looks once a second what runs, a process
of its own on the same machine (`benchmarks.control_operator`). His own work is no work of the worker; as it takes its
part of the same processors, the rate has it in it, and the CPU tells it apart. What he costs is by the second, not by
the job: on a machine that is slow, or busy, he costs more of the rate. The marks of jobs that were revoked while they
waited stay in the queue while plain slices run.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles

from benchmarks.contenders import CONTENDERS, POSTGRES, REDIS, SQLITE, UMBEL
from benchmarks.control_operator import REVOKED_A_SECOND
from benchmarks.servers import Servers
from benchmarks.slices import WORKING, Share, neighbours
from benchmarks.stage import Mode, staged

WHAT = "limits,revokes,looks"
NAMES = {REDIS: UMBEL, SQLITE: f"{UMBEL}-sqlite", POSTGRES: f"{UMBEL}-postgres"}
PAIRS = 3  # a round; with 480,000 jobs each is about two seconds of both, so that all that is done each second is in it
PARTS: tuple[str, ...] = ("children", "supervisor", "broker", "operator")


@dataclass(frozen=True)
class Governed:
    """Plain jobs beside those with limits and control.

    By pair of neighbours, some seconds of each: *kept* of the rate, and *cpu*, how many times the CPU of worker and
    broker a job takes. By part, the microseconds of CPU that a job takes, *plain* and *controlled*: the medians.
    """

    kept: list[float]
    cpu: list[float]
    plain: dict[str, float] = field(default_factory=dict)
    controlled: dict[str, float] = field(default_factory=dict)


def measure(servers: Servers, rounds: int, jobs: int, what: str = WHAT, engine: str = REDIS) -> Governed:
    """Drain *jobs* jobs a round, in slices."""
    contender = next(one for one in CONTENDERS if one.name == NAMES[engine])
    with staged(contender, Mode("def", results=True), servers) as stage:
        found: list[tuple[Share, Share]] = []
        for _ in range(rounds):
            stage.clear()
            found += neighbours(stage, jobs, what, PAIRS)
    return Governed(
        [controlled.rate / plain.rate for plain, controlled in found],
        [controlled.work / plain.work for plain, controlled in found],
        *({part: median(each[place].cpu[part] for each in found) for part in PARTS} for place in (0, 1)),
    )


def lines(found: Governed) -> list[str]:
    """What was measured, for the report."""
    told = [
        "Plain jobs, in turns with the same ones with a soft and a hard time limit each, while an operator looks once",
        f"a second what runs and revokes {REVOKED_A_SECOND} jobs a second; {len(found.kept)} pairs of neighbours.",
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
    """The median, and where the middle half of them is."""
    low, _, high = quantiles(parts, n=4, method="inclusive") if len(parts) > 1 else (parts[0],) * 3
    return f"{median(parts):.1%} ({low:.1%} to {high:.1%})"


def main(arguments: list[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.control", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=480_000)
    parser.add_argument("--engine", choices=sorted(NAMES), default=REDIS)
    parser.add_argument("--what", default=WHAT, help=f"some of {WHAT}")
    given = parser.parse_args(arguments)
    with Servers() as servers:
        print("\n".join(lines(measure(servers, given.rounds, given.jobs, given.what, given.engine))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
