"""How soon the dashboard on a history can be looked at: its start, and the first paint of its first page."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import httpx
import psutil
from playwright.sync_api import sync_playwright

from tests.servers import chromium

TIMES: Final = 5
SECONDS: Final = 60.0
FLAGS: Final = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
PAINTED: Final = """() => new Promise(resolve => {
  const look = () => {
    const found = performance.getEntriesByName("first-contentful-paint");
    found.length ? resolve(found[0].startTime) : setTimeout(look, 5);
  };
  look();
})"""


class Start(NamedTuple):
    """Medians: seconds from the command to the whole first page, those of a processor, and ms to the first paint."""

    seconds: float
    processor: float
    paint: float


class Seen(NamedTuple):
    """One start of the command: where its dashboard is, and what it took until that had answered."""

    address: str
    seconds: float
    processor: float


def measured(url: str, folder: Path) -> Start:
    """Start the dashboard on the history at *url* some times, and look at the last one; told as it goes."""
    starts: list[Seen] = []
    for _ in range(TIMES):
        with _started(url, folder) as seen:
            starts.append(seen)
    with _started(url, folder) as seen:
        paint = statistics.median(_paints(seen.address))
    found = Start(
        statistics.median(each.seconds for each in starts), statistics.median(each.processor for each in starts), paint
    )
    print(f"\nthe dashboard answers after {found.seconds:.2f} s, {found.processor:.2f} s of a processor; "
          f"first paint after {paint:.0f} ms", flush=True)  # fmt: skip
    return found


@contextmanager
def _started(url: str, folder: Path) -> Generator[Seen]:
    command = [sys.executable, "-m", "umbel", "-b", f"sqlite:///{folder}/umbel.db", "dashboard", "--port", "0",
               "--no-recorder", "--log-format", "text"]  # fmt: skip
    begun = time.perf_counter()
    process = subprocess.Popen(
        command, env={**os.environ, "UMBEL_HISTORY_URL": url}, stderr=subprocess.PIPE, text=True, cwd=folder
    )
    try:
        assert process.stderr is not None
        said = process.stderr.readline()
        found = re.search(r"http://\S+", said)
        if found is None:
            raise RuntimeError(f"the dashboard did not start: {said}")
        address = found[0].rstrip("/")
        httpx.get(f"{address}/", timeout=SECONDS).raise_for_status()
        seconds, times = time.perf_counter() - begun, psutil.Process(process.pid).cpu_times()
        yield Seen(address, seconds, times.user + times.system)
    finally:
        process.terminate()
        process.communicate()


def _paints(address: str) -> list[float]:
    """Ms from the click to the first paint of something, each time without anything kept from before."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.install(), args=list(FLAGS))
        found: list[float] = []
        for _ in range(TIMES + 1):  # the browser itself has to warm up
            page = browser.new_page()
            page.goto(f"{address}/")
            found.append(float(page.evaluate(PAINTED)))
            page.close()
        browser.close()
    return found[1:]
