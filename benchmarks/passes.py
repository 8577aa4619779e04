"""One pass: one contender on the stage once, measured in everything that is asked of it there."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from benchmarks import drain
from benchmarks.contenders import LOOP, REDIS, Contender
from benchmarks.servers import Servers
from benchmarks.stage import ContenderFailed, Mode, Stage, staged

COUNTED = 10_000  # jobs queued to see what one takes
LEAST = 500  # jobs a measurement
MEGABYTE = 1e6


@dataclass(frozen=True)
class Sizes:
    """How many jobs each measurement sends or runs."""

    enqueue: int = 1_000
    bulk: int = 2_000
    drain: int = 1_500
    calls: int = 20

    def fitted(self, measured: dict[str, float], seconds: float) -> "Sizes":
        """Sizes that would take about *seconds* at the rates just *measured*."""
        found = {name.partition("-")[0]: rate for name, rate in measured.items()}
        rates = {
            "enqueue": found.get("enqueue"),
            "bulk": found.get("bulk"),
            "drain": found.get("def", found.get("async")),
        }
        share = {"enqueue": 0.5, "bulk": 0.4, "drain": 1.0}
        sizes = {name: max(LEAST, round(rate * seconds * share[name], -2)) for name, rate in rates.items() if rate}
        return replace(self, **{name: int(size) for name, size in sizes.items()})


def wanted(contender: Contender, mode: Mode, metrics: Collection[str]) -> frozenset[str]:
    """Those of *metrics* that a pass in *mode* can measure of *contender*."""
    end = "" if mode.results else "-off"
    names = {f"{mode.kind}{end}"}
    if contender.results_only and not mode.results:
        possible: set[str] = set()
    elif mode.kind == "async":
        possible = names if contender.has_async else set()
    elif contender.name == LOOP:
        possible = names & {"def"}
    else:
        possible = names | {f"enqueue{end}"} | ({f"bulk{end}"} if contender.has_bulk else set())
        if mode.results:
            possible |= {"pss", "rss"} | ({"p50", "p99"} if contender.returning else set())
            possible |= {"bytes"} if contender.engine == REDIS else set()
    return frozenset(possible.intersection(metrics))


def run(contender: Contender, mode: Mode, servers: Servers, sizes: Sizes, names: frozenset[str]) -> dict[str, float]:
    """Put *contender* on the stage and measure *names*."""
    measured: dict[str, float] = {}
    with staged(contender, mode, servers) as stage:
        for name in sorted(names):
            verb = name.partition("-")[0]
            if verb in ("enqueue", "bulk"):
                measured[name] = _sending(stage, verb, sizes.enqueue if verb == "enqueue" else sizes.bulk)
        if "bytes" in names:
            measured["bytes"] = _bytes_a_job(stage)
        if names & {mode.kind, f"{mode.kind}-off", "p50", "p99", "pss", "rss"}:
            measured |= _working(stage, mode, sizes)
    return {name: value for name, value in measured.items() if name in names}


def _sending(stage: Stage, verb: str, count: int) -> float:
    """Jobs a second that the client sends; the queue is empty before and after."""
    told = stage.drive(verb, count)
    stage.clear()
    return count / float(told["seconds"])


def _bytes_a_job(stage: Stage) -> float:
    """How much the server's memory grows for one queued job."""
    before = stage.servers.redis.used_memory()
    stage.drive("fill", COUNTED)
    grown = stage.servers.redis.used_memory() - before
    stage.clear()
    return grown / COUNTED


def _working(stage: Stage, mode: Mode, sizes: Sizes) -> dict[str, float]:
    """Let a worker drain a full queue; then its memory, and round trips while it has nothing else to do."""
    stage.drive("fill", sizes.drain)
    with stage.worker() as (tree, probe):
        drained = drain.watch(stage, tree, probe, sizes.drain)
        if drained.ran != sizes.drain:
            raise ContenderFailed(f"{drained.ran} runs of {sizes.drain} jobs")
        measured = {mode.kind if mode.results else f"{mode.kind}-off": drained.rate}
        memory = tree.memory()
        measured |= {"pss": memory.pss / MEGABYTE, "rss": memory.rss / MEGABYTE}
        if mode.results and mode.kind == "def" and stage.contender.name != LOOP and stage.contender.returning:
            measured |= _latency(stage, sizes.calls)
    return measured


def _latency(stage: Stage, calls: int) -> dict[str, float]:
    """Milliseconds from call to value: median and 99th percentile."""
    taken = sorted(1000 * second for second in stage.drive("latency", calls)["seconds"])
    return {"p50": taken[len(taken) // 2], "p99": taken[int(len(taken) * 0.99)]}
