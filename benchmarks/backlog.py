"""Whether Umbel's costs grow with its backlog: rate and memory with ten thousand jobs queued, and with a million."""

import time
from dataclasses import dataclass

from benchmarks import drain
from benchmarks.clock import tell
from benchmarks.contenders import UMBEL, Contender
from benchmarks.metrics import Summary
from benchmarks.passes import MEGABYTE
from benchmarks.probe import Probe
from benchmarks.process_tree import ProcessTree
from benchmarks.servers import Servers
from benchmarks.stage import ContenderFailed, Mode, Stage, staged

SMALL = 10_000  # jobs
TIMES = 10  # small backlogs
MEASURED = 0.2  # of the large backlog is run; the rest stays queued throughout


@dataclass(frozen=True)
class Backlog:
    """Jobs a second with a small and a large backlog, and the worker's memory (PSS, megabytes) after each."""

    queued: int
    delayed: int
    small: Summary
    large: float
    memory_small: float
    memory_large: float

    @property
    def kept(self) -> float:
        """The part of the small backlog's rate that is left with the large one."""
        return self.large / self.small.middle


def measure(contender: Contender, servers: Servers, jobs: int) -> Backlog:
    """Drain small backlogs, then a part of *jobs* queued beside *jobs* delayed ones."""
    assert contender.name == UMBEL
    with staged(contender, Mode("def", results=True), servers) as stage:
        tell(f"backlog: {TIMES} times {SMALL:,} jobs")
        rates, memory_small = _small(stage)
        stage.clear()
        tell(f"backlog: sending {jobs:,} delayed and {jobs:,} queued jobs")
        stage.drive("delayed", jobs)
        stage.drive("fill", jobs)
        tell("backlog: running some of them")
        large, memory_large = _large(stage, int(jobs * MEASURED))
    return Backlog(jobs, jobs, Summary.of(rates), large, memory_small, memory_large)


def _small(stage: Stage) -> tuple[list[float], float]:
    """Rates of a worker that is up, each from the moment the last job was sent to the last one's end."""
    with stage.worker() as (tree, probe):
        stage.drive("fill", SMALL)
        drain.sample(stage, tree, probe, SMALL)
        rates = [_burst(stage, tree, probe) for _ in range(TIMES)]
        return rates, tree.memory().pss / MEGABYTE


def _burst(stage: Stage, tree: ProcessTree, probe: Probe) -> float:
    """The rate of one small backlog."""
    before = probe.total()
    with drain.recording(probe) as samples:
        sent = float(stage.drive("fill", SMALL)["ended"])
        drain.sample(stage, tree, probe, before + SMALL)
        time.sleep(2 * drain.POLL)
    after = [one for one in samples if one[0] >= sent and one[1] < before + SMALL]
    if len(after) < 2:
        raise ContenderFailed("the small backlog was gone before it was sent")
    return (after[-1][1] - after[0][1]) / (after[-1][0] - after[0][0])


def _large(stage: Stage, count: int) -> tuple[float, float]:
    """The rate over *count* jobs, and the memory after them."""
    with stage.worker() as (tree, probe):
        drained = drain.watch(stage, tree, probe, count)
        return drained.rate, tree.memory().pss / MEGABYTE


def lines(found: Backlog) -> list[str]:
    """The findings as a Markdown table."""
    rate, memory = found.small, found.memory_small
    small = f"{rate.middle:,.0f} ({rate.least:,.0f} to {rate.most:,.0f})"
    return [
        "| backlog | run `def`, jobs/s | worker memory (PSS), MB |",
        "|---|---|---|",
        f"| {SMALL:,} queued, {TIMES} times | {small} | {memory:.1f} |",
        f"| {found.queued:,} queued, {found.delayed:,} delayed | {found.large:,.0f} | {found.memory_large:.1f} |",
        f"| kept | {found.kept:.0%} | {found.memory_large - memory:+.1f} |",
    ]
