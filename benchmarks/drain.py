"""How fast a worker drains its queue, seen from inside the tasks."""

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.probe import Probe
from benchmarks.process_tree import ProcessTree
from benchmarks.stage import ContenderFailed, Stage

FROM, TO = 0.05, 0.95  # of the jobs: the steady part between start-up and tail
POLL = 0.005  # seconds
STALL = 20.0  # seconds without one job


@dataclass(frozen=True)
class Drained:
    """A drained queue: *rate* in jobs a second over the steady part, *ran* how many jobs ran in all."""

    rate: float
    ran: int


def watch(stage: Stage, tree: ProcessTree, probe: Probe, count: int) -> Drained:
    """Wait until *count* jobs ran; the rate between 5 % and 95 % of them."""
    samples = sample(stage, tree, probe, count)
    first = next(one for one in samples if one[1] >= FROM * count)
    last = next(one for one in samples if one[1] >= TO * count)
    if last[0] <= first[0]:
        raise ContenderFailed(f"{count} jobs are too few to time")
    return Drained((last[1] - first[1]) / (last[0] - first[0]), samples[-1][1])


def sample(stage: Stage, tree: ProcessTree, probe: Probe, count: int) -> list[tuple[float, int]]:
    """Moments (seconds, monotonic clock) with the jobs run by then, until there are *count*."""
    samples = [(time.monotonic(), probe.total())]
    changed = samples[0][0]
    while samples[-1][1] < count:
        time.sleep(POLL)
        now, total = time.monotonic(), probe.total()
        if total != samples[-1][1]:
            changed = now
        samples.append((now, total))
        if now - changed > STALL or not tree.alive():
            raise ContenderFailed(f"worker stopped at {total} of {count} jobs: {stage.log_tail()}")
    return samples


@contextmanager
def recording(probe: Probe) -> Generator[list[tuple[float, int]]]:
    """Take such samples in a thread, while the block does something else."""
    samples: list[tuple[float, int]] = []
    done = threading.Event()

    def record() -> None:
        while not done.wait(POLL):
            samples.append((time.monotonic(), probe.total()))

    thread = threading.Thread(target=record)
    thread.start()
    try:
        yield samples
    finally:
        done.set()
        thread.join()
