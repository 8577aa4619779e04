"""What the state of a SQLite file and of the disk below it means for jobs. The judging is pure; `examine` looks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

import apsw

from umbel.engines.sqlite import SqliteEngine
from umbel.engines.sqlite_file import Connection, File
from umbel.model.finding import Finding

_LITTLE_SPACE_BYTES: Final = 256 * 1024 * 1024
_LONG_LOG_BYTES: Final = 256 * 1024 * 1024
_MOUNTS: Final = Path("/proc/mounts")


class Look(NamedTuple):
    """What the file tells of itself; *damage* are the lines of a check of all pages, if there was one."""

    journal: str
    version: int
    bytes: int
    damage: tuple[str, ...] | None


class Disk(NamedTuple):
    """The file system below the file: its kind, what is left on it, and how long the log is; bytes."""

    kind: str
    free: int
    log: int


async def examine(engine: SqliteEngine, *, thorough: bool) -> list[Finding]:
    """What there is to say about the file; *thorough* reads all of it. Errors as of any other step."""
    looked = await engine.submit_read(lambda connection: look(connection, thorough=thorough))
    return findings(looked, disk(engine.file), apsw.sqlite_lib_version())


def look(connection: Connection, *, thorough: bool) -> Look:
    """Read the file's own account of itself."""

    def one(pragma: str) -> int | str:
        row = connection.execute(f"pragma {pragma}").fetchone()
        value: int | str = row[0] if row else ""
        return value

    damage = None
    if thorough:
        lines = [str(line) for (line,) in connection.execute("pragma integrity_check(10)")]
        damage = () if lines == ["ok"] else tuple(lines)
    size = int(one("page_count")) * int(one("page_size"))
    return Look(str(one("journal_mode")), int(one("user_version")), size, damage)


def disk(file: File) -> Disk:
    """Look at the file system. Opens nothing: that would drop SQLite's locks."""
    state = os.statvfs(file.path.parent)
    try:
        log = file.log.stat().st_size
    except FileNotFoundError:
        log = 0
    return Disk(kind_of(file.path.parent, _MOUNTS), state.f_bavail * state.f_frsize, log)


def kind_of(folder: Path, mounts: Path) -> str:
    """The kind of the file system that holds *folder*, by the table *mounts*; empty if it cannot be told."""
    try:
        lines = [line.split() for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return ""
    real = folder.resolve()
    fitting = [words for words in lines if len(words) > 2 and real.is_relative_to(words[1])]  # noqa: PLR2004 - columns
    return max(fitting, key=lambda words: len(words[1]))[2] if fitting else ""


def findings(looked: Look, below: Disk, sqlite: str) -> list[Finding]:
    """What the file and the disk mean; *sqlite* is the version of the library."""
    made = [Finding("version", f"SQLite {sqlite}"), _journal(looked), Finding("tables", f"version {looked.version}")]
    kind = [Finding("file system", below.kind)] if below.kind else []
    return [*made, Finding("size", _megabytes(looked.bytes)), *kind, _space(below), _log(below), *_damage(looked)]


def _journal(looked: Look) -> Finding:
    if looked.journal == "wal":
        return Finding("durability", "disk, write-ahead log")
    return Finding(
        "durability", f"journal mode {looked.journal}", "the file has no write-ahead log: see who changed it"
    )


def _space(below: Disk) -> Finding:
    little = below.free < _LITTLE_SPACE_BYTES
    advice = "the disk is nearly full: soon jobs are refused; make room" if little else ""
    return Finding("free space", _megabytes(below.free), advice)


def _log(below: Disk) -> Finding:
    long = below.log > _LONG_LOG_BYTES
    advice = "the log cannot be emptied: some process has read for long, end it" if long else ""
    return Finding("log", _megabytes(below.log), advice)


def _damage(looked: Look) -> list[Finding]:
    if looked.damage is None:
        return []
    if not looked.damage:
        return [Finding("integrity", "checked, sound")]
    advice = "the file is damaged: stop all workers, keep a copy of it and of its log, then restore a backup"
    return [Finding("integrity", "; ".join(looked.damage), advice, broken=True)]


def _megabytes(number: int) -> str:
    return f"{number / 1024 / 1024:,.1f} MB"
