"""Processes started in sessions of their own, their whole tree, and the memory of that tree. Linux only."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

STOP_SECONDS = 10


@dataclass(frozen=True)
class Memory:
    """Resident memory of a process tree in bytes: *pss* counts shared pages once, *rss* once a process."""

    pss: int
    rss: int


class ProcessTree:
    """One or more commands and all that they start."""

    def __init__(
        self, commands: Sequence[Sequence[str]], environment: Mapping[str, str], folder: Path, log: IO[bytes]
    ) -> None:
        self._roots = [
            subprocess.Popen(
                command,
                env=environment,
                cwd=folder,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            for command in commands
        ]

    def alive(self) -> bool:
        """Whether every root process still runs."""
        return all(root.poll() is None for root in self._roots)

    def memory(self) -> Memory:
        """Memory of the tree as it is now."""
        pss = rss = 0
        for pid in self._members():
            try:
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines[1:]}
            pss += sizes.get("Pss", 0)
            rss += sizes.get("Rss", 0)
        return Memory(pss, rss)

    def stop(self) -> None:
        """Ask it to end; after a grace period end what is left of it."""
        members = self._members()
        for root in self._roots:
            root.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        while (left := _left(members | self._members())) and time.monotonic() < deadline:
            time.sleep(0.02)
            self.alive()
        for pid in left:
            _kill(pid)
        for root in self._roots:
            root.wait()

    def kill(self) -> None:
        """End all of it at once and without warning."""
        for root in self._roots:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(root.pid, signal.SIGKILL)
            root.wait()

    def _members(self) -> dict[int, int]:
        """The roots, their descendants and what shares their sessions, each with its start in clock ticks."""
        states = {pid: _state(pid) for pid in _processes()}
        roots = {root.pid for root in self._roots}
        found = {pid: states.get(pid, GONE).started for pid in roots}
        grown = True
        while grown:
            grown = False
            for pid, state in states.items():
                if pid not in found and (state.parent in found or state.session in roots):
                    found[pid] = state.started
                    grown = True
        return found


def _processes() -> list[int]:
    """Every process of the machine."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


class _State(NamedTuple):
    parent: int
    session: int
    started: int


GONE = _State(0, 0, 0)


def _state(pid: int) -> _State:
    """What the kernel says of a process; `GONE` if it ended or is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return GONE
    return GONE if fields[0] == "Z" else _State(int(fields[1]), int(fields[3]), int(fields[19]))


def _left(members: Mapping[int, int]) -> list[int]:
    """Those that still run; a number that was given to another process since is not among them."""
    return [pid for pid, started in members.items() if started and _state(pid).started == started]


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
