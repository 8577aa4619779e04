"""What the command line asks for."""

import argparse
from dataclasses import dataclass

from benchmarks.metrics import METRICS


@dataclass(frozen=True)
class Options:
    """One run. *seconds* is how long one measurement should take, *calls* how many round trips are timed.

    Groups have *members*, chains a tenth of that; schedules tick for *ticking* seconds;
    *watched* jobs are drained at a time to see what events cost.
    """

    rounds: int
    seconds: float
    calls: int
    only: frozenset[str]
    metrics: frozenset[str]
    backlog: int
    members: int
    ticking: int
    watched: int
    write: bool
    fresh: bool


def parse(arguments: list[str]) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure Umbel beside its peers.")
    parser.add_argument(
        "--quick", action="store_true", help="one short round and a small backlog, to see that it works"
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds over all contenders (default 3)")
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="only this contender; may be repeated"
    )
    parser.add_argument(
        "--metric",
        action="append",
        default=[],
        metavar="NAME",
        choices=sorted(METRICS),
        help="only this metric; may be repeated",
    )
    parser.add_argument(
        "--backlog",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="at the end, with a million jobs queued and a million delayed",
    )
    parser.add_argument("--write", action="store_true", help="write benchmarks/RESULTS.md")
    parser.add_argument("--fresh", action="store_true", help="install every contender again, at its latest version")
    given = parser.parse_args(arguments)
    quick = bool(given.quick)
    backlog = 100_000 if quick else 1_000_000
    return Options(
        rounds=1 if quick else given.rounds,
        seconds=1.0 if quick else 3.0,
        calls=100 if quick else 400,
        only=frozenset(given.only),
        metrics=frozenset(given.metric) or frozenset(METRICS),
        backlog=backlog if given.backlog else 0,
        members=1_000 if quick else 10_000,
        ticking=8 if quick else 60,
        watched=10_000 if quick else 60_000,
        write=given.write,
        fresh=given.fresh,
    )
