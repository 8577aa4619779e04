"""What the kernel does for the worker's processes: death with the parent, who dies first, names in `ps`."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import threading
from importlib import import_module
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_OOM_SCORE: Final = Path("/proc/self/oom_score_adj")
_MAX_OOM_SCORE: Final = 1000
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
_USER_TIME: Final = 11
"""Where in the line of a process, after its name, the time stands that it has computed; the kernel's for it follows."""

IGNORED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP)
"""The signals that are for the supervisor alone."""


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Be sent the signal *number* when *parent* ends, however it ends; where that is missing, pipes must do.

    Call it in the main thread. Ends this process at once if *parent* has ended already.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != parent:  # it ended before the kernel knew of our wish
        os._exit(1)


def take_copies_along() -> None:
    """Have the processes that this one forks in its main thread end when it does, however that comes.

    What such a copy forks in turn goes on, as do programs that are started without a fork in Python. To be called once.
    """
    me, forking = os.getpid(), [False]

    def note() -> None:
        forking[0] = os.getpid() == me and threading.current_thread() is threading.main_thread()

    def bind() -> None:
        if forking[0]:
            die_with_parent(me)

    os.register_at_fork(before=note, after_in_child=bind)


def kill_the_rest() -> None:
    """End the group of processes that this one leads, but for this one."""
    leader = os.getpid()
    with contextlib.suppress(OSError):  # it has begun a session of its own: then it goes with them
        os.setpgid(0, os.getpgid(os.getppid()))
    kill_group(leader)


def kill(process: int) -> None:
    """End the process behind the pidfd *process*, which may have ended: unlike its id, that never means another one."""
    ask(process, signal.SIGKILL)


def ask(process: int, number: int) -> None:
    """Send a signal to the process behind the pidfd *process*, which may have ended."""
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(process, number)


def dump_on_signal() -> None:
    """Write the stacks of all threads to stderr at SIGUSR1, whatever they do; children inherit that."""
    faulthandler.register(signal.SIGUSR1, all_threads=True)


def lead() -> None:
    """Begin a group of processes, so that what this one starts can be ended with it, and no Ctrl-C reaches it."""
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)


def kill_left_behind(process: int, pid: int) -> None:
    """If the process behind the pidfd *process*, which has ended but was not waited for, was killed: end its group."""
    ended = os.waitid(os.P_PIDFD, process, os.WEXITED | os.WNOWAIT)
    if ended is not None and ended.si_code != os.CLD_EXITED:
        kill_group(pid)


def kill_group(pid: int) -> None:
    """End the group of processes that *pid*, a process that was not waited for yet, leads or led."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # it leads no group, or a task has left ours
        os.killpg(pid, signal.SIGKILL)


def die_first(points: int) -> None:
    """Let the kernel, when it is out of memory, take this process rather than another; *points* of 1000."""
    try:
        _OOM_SCORE.write_text(str(min(_MAX_OOM_SCORE, int(_OOM_SCORE.read_text()) + points)))
    except (OSError, ValueError):
        return  # not Linux, or not permitted: the kernel decides by size, as ever


def resident(pid: int) -> int:
    """The resident memory of process *pid* in bytes; 0 if it is gone, or if the kernel does not tell."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return 0


def peak() -> int:
    """The most resident memory that this process ever had, in KiB; 0 if the kernel does not tell.

    Not ``ru_maxrss``: that also knows of the program which this process was before it was replaced by this one.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")))
    except (OSError, ValueError, IndexError, StopIteration):
        return 0


def processor_seconds(pid: int) -> float:
    """How long process *pid* has computed so far, in seconds; 0 if it is gone, or if the kernel does not tell."""
    try:
        # After the name of the program, which may have anything in it but ends with the last ")".
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return (int(fields[_USER_TIME]) + int(fields[_USER_TIME + 1])) / _TICKS_A_SECOND
    except (OSError, ValueError, IndexError):
        return 0.0


def ignore_signals() -> None:
    """Leave Ctrl-C and the TERM of a service manager to the supervisor, which tells the other processes what to do.

    By a function, not by SIG_IGN: programs started by a task would inherit that and could not be terminated.
    """
    for each in IGNORED:
        signal.signal(each, _nothing)


def set_title(text: str) -> None:
    """Show *text* in `ps`, if setproctitle is installed."""
    with contextlib.suppress(ImportError):
        import_module("setproctitle").setproctitle(text)


def _nothing(*_: object) -> None:
    """A signal that is not for us."""
