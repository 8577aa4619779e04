"""A small disk that can be full: a file system in memory with a size, for the data of a server or a file.

    with Disk(folder, megabytes=16) as disk:
        server = launch(Redis(appendonly="always", config=(f"dir {disk.path}",)))
        disk.fill()     # no byte is left: writes fail with "No space left on device"
        disk.free()     # and go on

Only root may mount it: for anybody else, and in a container that may not, it is a `DiskError` that says so.
"""

import contextlib
import errno
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final, Self

_NAME: Final = "umbel-tests-disk"
_BALLAST: Final = "ballast"
_MEGABYTE: Final = 1024 * 1024


class DiskError(Exception):
    """The disk cannot be mounted on this machine; the text says why."""


class Disk:
    """A file system of *megabytes* at *path*, which is made; until `close`, which loses what is on it."""

    def __init__(self, path: Path, megabytes: int) -> None:
        """Mount it, writable for everybody, so that a server which is not root can have its data there."""
        self.path = path
        _remove_orphans()
        path.mkdir(parents=True, exist_ok=True)
        _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=1777", f"{_NAME}-{os.getpid()}", str(path))

    @property
    def left(self) -> int:
        """How many bytes are free."""
        state = os.statvfs(self.path)
        return state.f_bavail * state.f_frsize

    def fill(self) -> None:
        """Take all that is free, and what becomes free by the way, until `free`."""
        with (self.path / _BALLAST).open("ab", buffering=0) as ballast:
            for size in (_MEGABYTE, 4096):
                _write_all(ballast.fileno(), bytes(size))

    def free(self) -> None:
        """Give back what `fill` took."""
        (self.path / _BALLAST).unlink(missing_ok=True)

    def close(self) -> None:
        """Unmount it, whoever still has files open on it, and remove its folder."""
        _run("umount", "--lazy", str(self.path))
        self.path.rmdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _write_all(file: int, block: bytes) -> None:
    """Write *block* again and again until there is no room for another one."""
    while True:
        try:
            if os.write(file, block) < len(block):
                return
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return


def _run(*command: str) -> None:
    """Run `mount` or `umount`. Raises `DiskError`."""
    if shutil.which(command[0]) is None:
        raise DiskError(f"a small disk needs the program {command[0]}, which is not on this machine")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DiskError(
            f"a small disk cannot be mounted here: {done.stderr.strip()}. The tests of a full disk need root, or "
            "CAP_SYS_ADMIN in a container"
        )


def _remove_orphans() -> None:
    """Unmount the disks of test runs that were killed."""
    for line in Path("/proc/mounts").read_text().splitlines():
        name, path = line.split()[:2]
        owner = name.removeprefix(f"{_NAME}-")
        if owner != name and not Path(f"/proc/{owner}").exists():
            subprocess.run(("umount", "--lazy", path), check=False, capture_output=True)
            with contextlib.suppress(OSError):
                Path(path).rmdir()
