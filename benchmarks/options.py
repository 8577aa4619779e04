"""What the command line asks for."""

import argparse
from dataclasses import dataclass

from benchmarks.contenders import CONTENDERS
from benchmarks.metrics import METRICS


@dataclass(frozen=True)
class Options:
    """One run. *seconds* is how long one measurement should take, *calls* how many round trips are timed.

    Of the *minutes* that *parts* may take together each has its share: a round that would not end within it is not
    begun, and once all are over no part is. The history and the backlog have so many jobs, groups have *members*,
    chains a tenth of that; schedules tick for *ticking* seconds; *watched* jobs are drained at a time to see what
    events cost, *governed* to see what control costs.
    """

    parts: tuple[str, ...]
    rounds: int
    minutes: float
    seconds: float
    calls: int
    only: frozenset[str]
    metrics: frozenset[str]
    backlog: int
    members: int
    ticking: int
    watched: int
    governed: int
    history: int
    write: bool
    fresh: bool
    quick: bool


def parse(arguments: list[str], parts: tuple[str, ...], usual: tuple[str, ...]) -> Options:
    """Read the command line: some of *parts*, or the *usual* ones. Ends with a sentence if it cannot be."""
    parser = _parser(parts)
    given = parser.parse_args(arguments)
    quick = bool(given.quick)
    if quick and given.write:
        parser.error("what is measured with --quick is not written into RESULTS.md")
    chosen = {part for one in given.part for part in one.split(",") if part}
    if chosen - set(parts):
        parser.error(f"no part is named {', '.join(sorted(chosen - set(parts)))}; there are {', '.join(parts)}")
    return Options(
        parts=tuple(part for part in parts if part in (chosen or usual)),
        rounds=1 if quick else given.rounds,
        minutes=given.minutes,
        seconds=0.5 if quick else 1.5,
        calls=50 if quick else 200,
        only=frozenset(given.only),
        metrics=frozenset(given.metric) or frozenset(METRICS),
        backlog=50_000 if quick else 1_000_000,
        members=500 if quick else 10_000,
        ticking=8 if quick else 60,
        watched=10_000 if quick else 160_000,
        governed=60_000 if quick else 480_000,
        history=20_000 if quick else 1_000_000,
        write=given.write,
        fresh=given.fresh,
        quick=quick,
    )


def _parser(parts: tuple[str, ...]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure Umbel beside its peers.")
    parser.add_argument(
        "--part",
        action="append",
        default=[],
        metavar="NAME,…",
        help=f"only this, beside what was found before; may be repeated: {', '.join(parts)}",
    )
    parser.add_argument("--quick", action="store_true", help="one short round of all, to see that it works")
    parser.add_argument("--rounds", type=int, default=3, help="rounds over all contenders (default 3)")
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="leave out rounds that would make it take longer"
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        choices=sorted(one.name for one in CONTENDERS),
        help="only this contender; may be repeated",
    )
    parser.add_argument(
        "--metric",
        action="append",
        default=[],
        metavar="NAME",
        choices=sorted(METRICS),
        help="only this metric; may be repeated",
    )
    parser.add_argument("--write", action="store_true", help="write benchmarks/RESULTS.md")
    parser.add_argument("--fresh", action="store_true", help="install every contender again, at its latest version")
    return parser
