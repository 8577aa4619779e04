"""Assets: the files that pages load: hashed names, so that a browser may keep them for ever."""

from __future__ import annotations

import gzip
import hashlib
from functools import cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

KINDS: Final = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}


class Asset:
    """One file: its *content*, and of what *kind* it is."""

    def __init__(self, content: bytes, kind: str) -> None:
        self.content: Final = content
        self.kind: Final = kind

    @cached_property
    def packed(self) -> bytes:
        """The content for browsers that take gzip; always the same bytes."""
        return gzip.compress(self.content, 9, mtime=0)


class Assets:
    """The files in ``static``, of a dashboard that is mounted under *prefix*. Read once."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._hashed: dict[str, str] = {}
        self._served: dict[str, Asset] = {}
        self._add(files("umbel.dashboard") / "static", "")

    def url(self, name: str) -> str:
        """The address of the file *name*, such as ``umbel.css``. Raises `KeyError`."""
        return f"{self._prefix}/static/{self._hashed[name]}"

    def get(self, hashed: str) -> Asset | None:
        """The file that has the address ``/static/<hashed>``."""
        return self._served.get(hashed)

    def _add(self, folder: Traversable, under: str) -> None:
        for each in folder.iterdir():
            if each.is_dir():
                self._add(each, f"{under}{each.name}/")
            elif (kind := KINDS.get(each.name.rpartition(".")[2])) is not None:
                content = each.read_bytes()
                stem, _, ending = f"{under}{each.name}".rpartition(".")
                self._hashed[f"{stem}.{ending}"] = f"{stem}.{hashlib.sha256(content).hexdigest()[:12]}.{ending}"
                self._served[self._hashed[f"{stem}.{ending}"]] = Asset(content, kind)
