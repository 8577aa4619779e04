"""Real workers in their own processes: started in the folder of a project, watched, hurt, and ended with the test."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil

PROJECTS = Path(__file__).parent / "projects"
DEADLINE_SECONDS = 60.0
FIRST_POLL_SECONDS = 0.005
LAST_POLL_SECONDS = 0.1

_SUCCESS = re.compile(r"/(\d+)\] Task [^\[]+\[([^\]]+)\] succeeded")

T = TypeVar("T")


def eventually(condition: Callable[[], T], what: str, seconds: float = DEADLINE_SECONDS) -> T:
    """The first true answer of *condition*. Raises AssertionError, naming *what*, after *seconds*."""
    deadline = time.monotonic() + seconds
    pause = FIRST_POLL_SECONDS
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(pause)
        pause = min(1.3 * pause, LAST_POLL_SECONDS)  # a look costs time that those at work would need
    return answer


def environment(**variables: str) -> dict[str, str]:
    """The environment of a worker: ours without settings of Umbel, and *variables*."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("UMBEL_")}
    return {**inherited, "PYTHONDONTWRITEBYTECODE": "1", **variables}


class Worker:
    """One `umbel worker`: its supervisor is the process that was started, the others are found below it."""

    def __init__(self, command: list[str], folder: Path, variables: dict[str, str], log: Path) -> None:
        """Start *command* in *folder*; what it prints goes to *log*."""
        self.log = log
        with log.open("ab") as sink:
            self._process = subprocess.Popen(
                [*_dying_with_us(), *command],
                cwd=folder, env=variables, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True,
            )  # fmt: skip
        self.pid = self._process.pid

    @property
    def output(self) -> str:
        """All that it has printed up to now."""
        return self.log.read_text(errors="replace")

    def wait_for(self, text: str, seconds: float = DEADLINE_SECONDS, times: int = 1) -> None:
        """Wait until it has printed *text*, *times* times."""

        def printed() -> bool:
            ended = self._process.poll() is not None  # asked first: what it said last it said before it ended
            if self.output.count(text) >= times:
                return True
            assert not ended, f"ended with {self._process.returncode}:\n{self.output[-4000:]}"
            return False

        try:
            eventually(printed, f"{text!r} in the output", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output[-4000:]}") from None

    def wait_ready(self, seconds: float = DEADLINE_SECONDS) -> Worker:
        """Wait until a child has received; needs ``--loglevel=info``."""
        self.wait_for(" ready.", seconds)
        return self

    def forkserver(self) -> psutil.Process:
        """The process that forks the children; the newest one, should another be on its way out."""
        return eventually(lambda: _below(self.pid), "a forkserver")[-1]

    def children(self) -> list[psutil.Process]:
        """The processes that run jobs, oldest first."""
        return _below(self.forkserver().pid)

    def tree(self) -> list[psutil.Process]:
        """All its processes, while the supervisor lives."""
        try:
            top = psutil.Process(self.pid)
            return [top, *top.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def signal(self, number: int) -> None:
        """Send a signal to the supervisor alone."""
        self._process.send_signal(number)

    def signal_group(self, number: int) -> None:
        """Send a signal to all its processes, as a terminal does."""
        os.killpg(self.pid, number)

    def running(self) -> bool:
        """Whether the supervisor lives."""
        return self._process.poll() is None

    def wait(self, seconds: float = DEADLINE_SECONDS) -> int:
        """The exit code of the supervisor, when it has ended."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds:g} s:\n{self.output[-4000:]}") from None

    def stop(self, seconds: float = DEADLINE_SECONDS) -> int:
        """Ask it to stop, once; answers the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def kill(self) -> None:
        """End the supervisor, and only it, without warning."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """End all its processes without warning, and wait until they have: the next test may use the same server."""
        while left := self._left():
            for process in left:
                kill(process)
            time.sleep(FIRST_POLL_SECONDS)
        self._process.wait()

    def _left(self) -> list[psutil.Process]:
        ended = self._process.poll() is not None
        found = _of_session(self.pid)
        # No process gets our id while one of ours is left. When it is another's, so is all that was found.
        return [] if ended and self.pid in {process.pid for process in found} else alive(found)


class Workers:
    """Starts workers and ends those that are left; use it as a fixture."""

    def __init__(self, folder: Path) -> None:
        """Keep their logs in *folder*."""
        self._folder = folder
        self._started: list[Worker] = []

    def start(self, *words: str, app: str = "ledger_tasks", folder: Path = PROJECTS, **variables: str) -> Worker:
        """Start ``umbel -A app worker`` in *folder* with further *words*, and with *variables* in its environment."""
        command = [sys.executable, "-m", "umbel", "-A", app, "worker", "--loglevel=info", "--log-format=text", *words]
        return self.run(command, folder, **variables)

    def run(self, command: list[str], folder: Path, **variables: str) -> Worker:
        """Start *command*, which is some worker, in *folder*, with *variables* in its environment."""
        log = self._folder / f"worker-{len(self._started) + 1}.log"
        worker = Worker(command, folder, environment(**variables), log)
        self._started.append(worker)
        return worker

    def successes(self) -> set[tuple[int, str]]:
        """Which process (its pid) was told that the success of which job (its id) is settled: it logs that then."""
        logs = (worker.output for worker in self._started)
        return {(int(pid), job) for log in logs for pid, job in _SUCCESS.findall(log)}

    def end(self) -> None:
        """End all processes of all workers."""
        for worker in self._started:
            worker.end()


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those of *processes* that have not ended."""
    return [process for process in processes if _lives(process)]


def kill(process: psutil.Process) -> None:
    """Kill *process*, which may have ended since it was found."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()


def resume(process: psutil.Process) -> None:
    """Let *process* go on, which may have been killed meanwhile by one that was let go before."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.resume()


def _of_session(leader: int) -> list[psutil.Process]:
    """The processes of the session that *leader* began, also when that one is gone: each child has its own group."""
    found: list[psutil.Process] = []
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(pid) == leader:
                found.append(psutil.Process(pid))
    return found


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _below(pid: int) -> list[psutil.Process]:
    try:
        return sorted(alive(psutil.Process(pid).children()), key=lambda process: process.create_time())
    except psutil.NoSuchProcess:
        return []


def _dying_with_us() -> list[str]:
    # The words in front of a command that have the kernel kill it when the tests are killed.
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
