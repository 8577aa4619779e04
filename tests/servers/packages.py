"""Find a server's program, and install its package where it is missing."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path


def program(names: Sequence[str], package: str) -> str:
    """Give the path of the first of *names* that is installed; if none is, install Debian's *package* first.

    Raises `FileNotFoundError` if the package brings no such program or cannot be installed.
    """
    path = _which(names)
    if path is None:
        _install(names, package)
        path = _which(names)
    if path is None:
        raise FileNotFoundError(f"no {' or '.join(names)} on this machine: install the package {package}")
    return path


def _which(names: Sequence[str]) -> str | None:
    return next((path for name in names if (path := shutil.which(name))), None)


def _install(names: Sequence[str], package: str) -> None:
    """Install *package* unless another process does it meanwhile. Raises `FileNotFoundError` with apt-get's words."""
    if shutil.which("apt-get") is None:
        return
    with (Path(tempfile.gettempdir()) / "umbel-tests-install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _which(names) is not None or _apt("install", package).returncode == 0:
            return
        _apt("update")  # a new machine may have no list of packages, or an old one
        done = _apt("install", package)
        if done.returncode != 0:
            raise FileNotFoundError(f"{package} cannot be installed: {done.stdout[-1000:]}")


def _apt(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run apt-get without questions."""
    return subprocess.run(
        ["apt-get", "--yes", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120", *arguments],
        env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
