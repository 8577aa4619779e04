"""One contender on the stage: its broker, its driver and its worker, for one kind of task."""

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.contenders import Contender
from benchmarks.environments import ROOT, interpreter
from benchmarks.probe import VARIABLE, Probe
from benchmarks.process_tree import ProcessTree
from benchmarks.servers import Servers

DRIVER_SECONDS = 300
LOOK_SECONDS = 1.0
LOG_TAIL = 1500  # characters


class ContenderFailed(Exception):
    """The contender's driver or worker did not do what was asked; the text says what it printed."""


@dataclass(frozen=True)
class Mode:
    """What is asked of the application: *kind* of task, ``def`` or ``async``, and whether results are stored."""

    kind: str
    results: bool


class Stage:
    """Verbs on one contender in one mode. A worker is started and stopped by `worker`."""

    def __init__(self, contender: Contender, mode: Mode, servers: Servers, folder: Path) -> None:
        self.contender = contender
        self.servers = servers
        self.folder = folder
        self._files = folder / "files"
        self._tree: ProcessTree | None = None
        self.environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "UMBEL_BENCH_BROKER": servers.broker(contender.engine, self._files),
            "UMBEL_BENCH_BACKEND": servers.backend(contender.engine),
            "UMBEL_BENCH_RESULTS": "1" if mode.results else "0",
            "UMBEL_BENCH_KIND": mode.kind,
            "UMBEL_BENCH_VARIANT": contender.variant,
            VARIABLE: str(folder / "probe"),
        }

    def clear(self) -> None:
        """Empty the broker."""
        self.servers.clear(self.contender.engine)
        shutil.rmtree(self._files, ignore_errors=True)
        self._files.mkdir()

    def drive(self, verb: str, count: int) -> dict[str, Any]:
        """Run one verb of `benchmarks.driver`; what it measured."""
        command = [interpreter(self.contender), "-m", "benchmarks.driver", self.contender.module, verb, str(count)]
        pipe = subprocess.PIPE
        with subprocess.Popen(
            command, env=self.environment, cwd=self.folder, stdout=pipe, stderr=pipe, text=True
        ) as driver:
            try:
                told, errors = self._answer(driver, f"{verb} {count}")
            except BaseException:
                driver.kill()
                raise
        if driver.returncode:
            raise ContenderFailed(f"{verb} {count} failed: {errors[-LOG_TAIL:]}")
        measured: dict[str, Any] = json.loads(told.splitlines()[-1])
        return measured

    def _answer(self, driver: subprocess.Popen[str], what: str) -> tuple[str, str]:
        """What *driver* prints until it ends, which it may never do once the worker that it waits for has ended."""
        deadline = time.monotonic() + DRIVER_SECONDS
        while True:
            try:
                return driver.communicate(timeout=LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                if time.monotonic() > deadline:
                    raise ContenderFailed(f"{what} took more than {DRIVER_SECONDS} s") from None
                if self._tree is not None and not self._tree.alive():
                    raise ContenderFailed(f"{what}: the worker has ended: {self.log_tail()}") from None

    @contextmanager
    def worker(self) -> Generator[tuple[ProcessTree, Probe]]:
        """A running worker and a fresh counter of the jobs it ran."""
        probe = Probe.create(self.environment[VARIABLE])
        command = [interpreter(self.contender), "-m", "benchmarks.driver", self.contender.module, "worker"]
        with (self.folder / "worker.log").open("w+b") as log:
            self._tree = ProcessTree([command] * self.contender.workers, self.environment, self.folder, log)
            try:
                yield self._tree, probe
            finally:
                self._tree.stop()
                self._tree = None

    def log_tail(self) -> str:
        """The end of what the last worker printed."""
        return (self.folder / "worker.log").read_text(errors="replace")[-LOG_TAIL:]


@contextmanager
def staged(contender: Contender, mode: Mode, servers: Servers) -> Generator[Stage]:
    """A stage in a temporary folder of its own, with an empty broker before and after."""
    folder = Path(tempfile.mkdtemp(prefix="umbel-bench-"))
    stage = Stage(contender, mode, servers, folder)
    try:
        stage.clear()
        yield stage
    finally:
        stage.clear()
        shutil.rmtree(folder, ignore_errors=True)
