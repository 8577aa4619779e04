"""How long the command takes to say what it can do."""

import subprocess
import sys
import time

TIMES = 11


def seconds_of_help() -> list[float]:
    """Seconds of ``umbel --help``, some times, after a first one that is not counted."""
    return [_once() for _ in range(TIMES + 1)][1:]


def _once() -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "umbel", "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started
