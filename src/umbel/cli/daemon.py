"""Daemon: a worker in the background, under another user, known by a file with its process id."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Final

from umbel.cli.operating import Daemon
from umbel.exceptions import ImproperlyConfigured

MODE: Final = 0o644
MAX_UMASK: Final = 0o777


@contextlib.contextmanager
def living(daemon: Daemon) -> Generator[None]:
    """Live as *daemon* says; the file with the process id is there for the length of the block.

    With ``-D`` the block runs in the background and the caller's process ends with exit code 0 when the file is
    written. Raises `ImproperlyConfigured`, before the process that was started has ended.
    """
    pidfile = Path(daemon.pidfile).absolute() if daemon.pidfile else None
    if pidfile is not None:
        _refuse_a_second(pidfile)
    if daemon.umask:
        os.umask(_umask(daemon.umask))
    _become(daemon.uid, daemon.gid)
    told = _detach(daemon.logfile) if daemon.detach else None
    try:
        if pidfile is not None:
            _write(pidfile)
        if told is not None:
            os.write(told, b"1")
            os.close(told)
        yield
    finally:
        if pidfile is not None:
            _remove(pidfile)


def _refuse_a_second(pidfile: Path) -> None:
    pid = _pid_in(pidfile)
    if pid is not None and pid != os.getpid() and _lives(pid):
        raise ImproperlyConfigured(f"{pidfile} names process {pid}, which lives: stop it first")


def _pid_in(pidfile: Path) -> int | None:
    try:
        return int(pidfile.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None  # none, or one that a crash has cut off


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _write(pidfile: Path) -> None:
    # A new file, put in place in one step: whoever follows a link that is there would write where somebody else likes.
    fresh = pidfile.with_name(f".{pidfile.name}.{os.getpid()}")
    try:
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
        with os.fdopen(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, MODE), "w") as file:
            file.write(f"{os.getpid()}\n")
        fresh.replace(pidfile)
    except OSError as error:
        raise ImproperlyConfigured(f"the pidfile {pidfile} cannot be written: {error.strerror}") from error


def _remove(pidfile: Path) -> None:
    if _pid_in(pidfile) == os.getpid():
        with contextlib.suppress(OSError):
            pidfile.unlink()


def _umask(text: str) -> int:
    try:
        mask = int(text, 8)
    except ValueError:
        mask = -1
    if not 0 <= mask <= MAX_UMASK:
        raise ImproperlyConfigured(f"--umask is {text!r}: give it in octal digits, such as 022")
    return mask


def _become(user: str, group: str) -> None:
    import grp
    import pwd

    try:
        entry = None if not user else (pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user))
        gid = entry.pw_gid if entry is not None else -1
        if group:
            gid = int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise ImproperlyConfigured(f"--uid or --gid: {error.args[0]!s}") from error
    try:
        if gid >= 0 and gid != os.getegid():
            os.setgid(gid)
        if entry is not None and entry.pw_uid != os.geteuid():
            os.initgroups(entry.pw_name, gid)
            os.setuid(entry.pw_uid)
    except PermissionError as error:
        raise ImproperlyConfigured("--uid and --gid: only root may become somebody else") from error


def _detach(logfile: str) -> int:
    """Go on in the background; answers where to write one byte when all is well, for the caller's process waits."""
    seen, told = os.pipe()
    if os.fork():
        os.close(told)
        fine = os.read(seen, 1)
        os._exit(0 if fine else 2)
    os.close(seen)
    os.setsid()
    if os.fork():
        os._exit(0)  # a leader of a session could be given a terminal again
    _redirect(logfile)
    return told


def _redirect(logfile: str) -> None:
    """No input, and what is printed goes where the log goes."""
    sys.stdout.flush()
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(logfile, os.O_WRONLY | os.O_APPEND | os.O_CREAT, MODE)
    for ours, stream in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(ours, stream)
    os.close(nothing)
    os.close(log)
