"""The harness's hand inside a contender's virtual environment: one verb, one line of JSON on standard output.

``python -m benchmarks.driver <app module> enqueue N | bulk N | fill N | delayed N | latency N | worker``

Standard library only, and nothing of the harness: it must run where only the contender is installed.
"""

import gc
import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Protocol, cast

WARM_UP = 50


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


def main(arguments: list[str]) -> None:
    """Run one verb of one application and print what it measured."""
    module, verb, *rest = arguments
    app = cast(App, importlib.import_module(module))
    if verb == "worker":
        os.execv(sys.executable, [sys.executable, *app.worker_command()])  # noqa: S606 - the worker takes our place
    count = int(rest[0])
    app.open()
    print(json.dumps(_latency(app, count) if verb == "latency" else _sending(app, verb, count)), flush=True)


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


if __name__ == "__main__":
    main(sys.argv[1:])
