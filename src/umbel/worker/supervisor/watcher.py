"""Watcher: sees that the code has changed, by looking at the times of its files."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from umbel.exceptions import ImproperlyConfigured
from umbel.worker.supervisor.gitignore import Gitignore

LOOK_SECONDS: Final = 0.1
SETTLE_SECONDS: Final = 0.05
"""Editors write a file in several steps, and many files at once: wait until nothing changes for so long."""
MANY_FILES: Final = 5_000
WATCHED: Final = (".py", "umbel.toml")
NEVER: Final = frozenset({"__pycache__", "node_modules", "venv", "site-packages"})

logger = logging.getLogger("umbel.worker")

Stamp = dict[str, tuple[int, int]]
"""By path, when it was changed (nanoseconds) and its size."""


class Watcher:
    """Watches Python files and ``umbel.toml`` below *folders*, not in hidden folders nor where .gitignore says no.

    So it does files whose names are like one of the patterns *include*, such as ``*.yaml``.
    """

    def __init__(self, folders: Sequence[Path], include: Sequence[str] = ()) -> None:
        """Raises `ImproperlyConfigured` if one of *folders* is none."""
        for folder in folders:
            if not folder.is_dir():
                raise ImproperlyConfigured(f"--reload-dir {folder}: there is no such folder")
        self._folders = tuple(folders)
        self._include = tuple(include)
        self._seen: Stamp = {}

    async def run(self, changed: asyncio.Event) -> None:
        """Set *changed* whenever a file has; for ever."""
        self._seen = await asyncio.to_thread(self.look)
        if len(self._seen) > MANY_FILES:
            logger.warning("%d files are watched for changes: name fewer with --reload-dir", len(self._seen))
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            # In a thread: a slow disk must not delay a heartbeat.
            found = await asyncio.to_thread(self.look)
            if found != self._seen:
                await self._settle(found)
                changed.set()

    async def _settle(self, found: Stamp) -> None:
        names = sorted({path for path, _ in found.items() ^ self._seen.items()})
        logger.warning("Changed: %s%s", names[0], " …" if names[1:] else "")
        before: Stamp = {}
        while found != before:
            before = found
            await asyncio.sleep(SETTLE_SECONDS)
            found = await asyncio.to_thread(self.look)
        self._seen = found

    def look(self) -> Stamp:
        """The files that are there now."""
        return {path: stamp for folder in self._folders for path, stamp in _files(folder, self._include)}


def _files(top: Path, include: Sequence[str]) -> Iterator[tuple[str, tuple[int, int]]]:
    pending = [(str(top.absolute()), _ignored_above(top))]
    while pending:
        folder, rules = pending.pop()
        rules = [*rules, *_rules_in(folder)]
        try:
            entries = list(os.scandir(folder))
        except OSError:
            continue  # it went away, or is not ours to read
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in NEVER and not entry.name.startswith(".") and not _left_out(entry, rules):
                    pending.append((entry.path, rules))
            elif _watched(entry.name, include) and not _left_out(entry, rules):
                try:
                    found = entry.stat()
                except OSError:
                    continue
                yield entry.path, (found.st_mtime_ns, found.st_size)


def _watched(name: str, include: Sequence[str]) -> bool:
    return name.endswith(WATCHED) or any(fnmatchcase(name, pattern) for pattern in include)


def _left_out(entry: os.DirEntry[str], rules: list[tuple[str, Gitignore]]) -> bool:
    folder = entry.is_dir(follow_symlinks=False)
    return any(each.ignores(entry.path[len(place) :].lstrip("/"), folder=folder) for place, each in rules)


def _rules_in(folder: str) -> list[tuple[str, Gitignore]]:
    try:
        lines = Path(folder, ".gitignore").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [(folder, Gitignore(lines))]


def _ignored_above(top: Path) -> list[tuple[str, Gitignore]]:
    """The rules of the folders above *top*, up to the one that is a repository."""
    rules: list[tuple[str, Gitignore]] = []
    at = top.absolute()
    for above in (at, *at.parents):
        if above != at:
            rules += _rules_in(str(above))
        if (above / ".git").exists():
            return rules
    return []
