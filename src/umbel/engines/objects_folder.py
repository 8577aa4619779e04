"""Objects as files of one folder, shared by processes of one host."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from umbel.engines.objects import Found, Objects
from umbel.model.finding import Finding

_LOCK: Final = ".lock"


class Folder(Objects):
    """The files in a folder. A write is on disk when it returns; what files lack, a lock makes up for."""

    def __init__(self, url: str, setting: str, deadline: float, connect_timeout: float) -> None:
        super().__init__(url, setting, deadline, connect_timeout)
        self._path = Path(unquote(urlsplit(url).path))

    def create(self, key: str, body: bytes) -> bool:
        """Write a file unless there is one."""
        created = super().create(key, body)
        self._sync(key)
        return created

    def replace(self, key: str, body: bytes, version: dict[str, str]) -> bool:
        """Write over a file if it is still the one with *version*."""
        with self._locked():
            found = self.read(key)
            if found is None or found.version != version:
                return False
            self.overwrite(key, body)
        return True

    def overwrite(self, key: str, body: bytes) -> None:
        """Write a file whatever there is."""
        super().overwrite(key, body)
        self._sync(key)

    def remove(self, key: str, version: dict[str, str]) -> None:
        """Delete a file if it is still the one with *version*."""
        with self._locked():
            found = self.read(key)
            if found is not None and found.version == version:
                self.delete(key)

    def entries(self) -> Iterator[tuple[str, Found]]:
        """Every file, one after the other."""
        for path in self._path.iterdir():
            found = None if path.name.startswith(".") else self.read(path.name)
            if found is not None:
                yield path.name, found

    def about(self) -> list[Finding]:
        """The disk below the folder."""
        state = os.statvfs(self._path)
        return [Finding("kind", "files"), Finding("free space", f"{state.f_bavail * state.f_frsize / 2**20:,.0f} MB")]

    @contextmanager
    def _locked(self) -> Generator[None]:
        descriptor = os.open(self._path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _sync(self, key: str) -> None:
        for path in (self._path / key, self._path):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:  # deleted by another meanwhile
                continue
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
