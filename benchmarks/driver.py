"""The harness's hand inside a contender's virtual environment: one verb, one line of JSON on standard output.

``python -m benchmarks.driver <app module> enqueue N | bulk N | fill N | delayed N | latency N | worker``
``python -m benchmarks.driver <flows module> group N | chord N | chain N | worker``

Standard library only, and nothing of the harness: it must run where only the contender is installed.
"""

import gc
import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast

WARM_UP = 50
FLOWS = ("group", "chord", "chain")


class App(Protocol):
    """What each module in `benchmarks.peers` offers; ``bulk``, ``fill`` and ``delayed`` only where it can."""

    def open(self) -> None:
        """Open the client's connection, so that it is not timed."""

    def enqueue(self, count: int) -> None:
        """Send *count* no-op jobs by one call each; each call returns after the broker's answer."""

    def bulk(self, count: int) -> None:
        """Send *count* no-op jobs by the contender's bulk call."""

    def fill(self, count: int) -> None:
        """Send *count* no-op jobs as fast as possible; not timed."""

    def delayed(self, count: int) -> None:
        """Send *count* no-op jobs due in an hour, as fast as possible; not timed."""

    def latency(self, count: int) -> list[float]:
        """Seconds from the call to its value, for *count* jobs one after the other."""
        ...

    def worker_command(self) -> list[str]:
        """Arguments for the interpreter that start a worker."""
        ...


class Flows(Protocol):
    """What each module of flows in `benchmarks.peers` offers: each sends a flow and answers how to wait for its value.

    A group's value is the sum of its members' values, all 1; a chord's when its body began (nanoseconds of the
    monotonic clock) and that sum; a chain's how many steps ran.
    """

    def group(self, count: int) -> Callable[[], object]:
        """*count* jobs side by side."""
        ...

    def chord(self, count: int) -> Callable[[], object]:
        """The same, and a body that gets the list of their values."""
        ...

    def chain(self, count: int) -> Callable[[], object]:
        """*count* steps one after the other."""
        ...


def main(arguments: list[str]) -> None:
    """Run one verb of one application and print what it measured."""
    module, verb, *rest = arguments
    app = cast(App, importlib.import_module(module))
    if verb == "worker":
        os.execv(sys.executable, [sys.executable, *app.worker_command()])  # noqa: S606 - the worker takes our place
    count = int(rest[0])
    app.open()
    measured: object
    if verb in FLOWS:
        measured = _flow(getattr(app, verb), count)
    else:
        measured = _latency(app, count) if verb == "latency" else _sending(app, verb, count)
    print(json.dumps(measured), flush=True)


def _sending(app: App, verb: str, count: int) -> dict[str, float]:
    """Send *count* jobs and tell the seconds it took and the moment it ended (seconds, monotonic clock)."""
    send = _sender(app, verb)
    gc.collect()
    started = time.monotonic()
    send(count)
    ended = time.monotonic()
    return {"count": count, "seconds": ended - started, "ended": ended}


def _sender(app: App, verb: str) -> Callable[[int], None]:
    """The application's function for *verb*; to fill a queue, the fastest it has."""
    if verb != "fill":
        return cast(Callable[[int], None], getattr(app, verb))
    return getattr(app, "fill", None) or getattr(app, "bulk", None) or app.enqueue


def _latency(app: App, count: int) -> dict[str, list[float]]:
    """Time *count* round trips after a few that are not counted."""
    app.latency(WARM_UP)
    return {"seconds": app.latency(count)}


def _flow(send: Callable[[int], Callable[[], object]], count: int) -> dict[str, object]:
    """Time a flow of *count* jobs after a small one: to its last message, and to its value (seconds); peak memory."""
    send(2)()
    gc.collect()
    started = time.monotonic()
    wait = send(count)
    sent = time.monotonic()
    value = wait()
    seconds = time.monotonic() - started
    return {"sent": sent - started, "seconds": seconds, "value": value, "peak": _peak()}


def _peak() -> int:
    """The most memory (RSS, bytes) that this process has had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024


if __name__ == "__main__":
    main(sys.argv[1:])
