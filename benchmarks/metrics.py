"""What is measured, and the book in which every value is kept."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True)
class Metric:
    """One thing that is measured: a column of a table."""

    title: str
    higher_is_better: bool = True
    digits: int = 0


METRICS = {
    "enqueue": Metric("enqueue one by one, jobs/s"),
    "bulk": Metric("enqueue in bulk, jobs/s"),
    "def": Metric("run `def`, jobs/s"),
    "async": Metric("run `async def`, jobs/s"),
    "p50": Metric("call to value p50, ms", higher_is_better=False, digits=2),
    "p99": Metric("call to value p99, ms", higher_is_better=False, digits=2),
    "pss": Metric("worker memory (PSS), MB", higher_is_better=False, digits=1),
    "rss": Metric("worker memory (RSS), MB", higher_is_better=False, digits=1),
    "bytes": Metric("Redis memory a queued job, bytes", higher_is_better=False),
    "enqueue-off": Metric("enqueue one by one, jobs/s"),
    "bulk-off": Metric("enqueue in bulk, jobs/s"),
    "def-off": Metric("run `def`, jobs/s"),
    "async-off": Metric("run `async def`, jobs/s"),
    "flow-sent": Metric("send a group, s", higher_is_better=False, digits=3),
    "flow-group": Metric("group, to all its results, s", higher_is_better=False, digits=3),
    "flow-chord": Metric("chord, to its value, s", higher_is_better=False, digits=3),
    "flow-body": Metric("chord, last member to body, ms", higher_is_better=False, digits=1),
    "flow-chain": Metric("chain, to its value, s", higher_is_better=False, digits=3),
}
"""By name; those that end in ``-off`` are measured with results off, ``flow-`` are of whole flows."""

GIVE_UP = 2
"""Failures after which a contender has no further turn in that mode."""

FLOWS = tuple(name for name in METRICS if name.startswith("flow-"))
RESULTS_OFF = tuple(name for name in METRICS if name.endswith("-off"))
RESULTS_ON = tuple(name for name in METRICS if name not in FLOWS + RESULTS_OFF)


@dataclass(frozen=True)
class Summary:
    """Median and extremes of the values of several rounds."""

    middle: float
    least: float
    most: float

    @classmethod
    def of(cls, values: list[float]) -> "Summary":
        """Summarize at least one value."""
        return cls(median(values), min(values), max(values))


@dataclass
class Book:
    """Values by metric, contender and round; and what went wrong, by what was tried."""

    values: dict[str, dict[str, dict[int, float]]] = field(default_factory=dict)
    failures: dict[str, list[str]] = field(default_factory=dict)

    def enter(self, contender: str, turn: int, measured: dict[str, float]) -> None:
        """Keep what *contender* did in round *turn*."""
        for metric, value in measured.items():
            self.values.setdefault(metric, {}).setdefault(contender, {})[turn] = value

    def fail(self, contender: str, what: str, error: str) -> None:
        """Note that *contender* could not do *what*."""
        self.failures.setdefault(f"{contender}, {what}", []).append(error)

    def gave_up(self, contender: str, what: str) -> bool:
        """Whether *contender* failed too often to try again."""
        return len(self.failures.get(f"{contender}, {what}", ())) >= GIVE_UP

    def add(self, other: "Book") -> None:
        """Take in what *other* has."""
        for metric, contenders in other.values.items():
            self.values.setdefault(metric, {}).update(contenders)
        self.failures.update(other.failures)

    def turns(self, metric: str, contender: str) -> dict[int, float]:
        """Its values by round."""
        return self.values.get(metric, {}).get(contender, {})

    def summary(self, metric: str, contender: str) -> Summary | None:
        """Median and spread, if there is a value."""
        values = list(self.turns(metric, contender).values())
        return Summary.of(values) if values else None

    def ratio(self, metric: str, contender: str, other: str, metric_of_other: str = "") -> Summary | None:
        """How many times better *contender* is than *other*, from the rounds in which both were measured."""
        mine, theirs = self.turns(metric, contender), self.turns(metric_of_other or metric, other)
        pairs = [(mine[turn], theirs[turn]) for turn in mine.keys() & theirs.keys()]
        if not pairs:
            return None
        higher = METRICS[metric].higher_is_better
        return Summary.of([one / two if higher else two / one for one, two in pairs])

    def best(self, metric: str, among: Iterable[str]) -> str | None:
        """The contender of *among* with the best median."""
        found = [(summary.middle, name) for name in among if (summary := self.summary(metric, name))]
        if not found:
            return None
        return (max if METRICS[metric].higher_is_better else min)(found)[1]
