"""What is said of a SQLite file and of the disk below it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from umbel.engines.sqlite_health import Disk, Look, findings, kind_of
from umbel.model.finding import Finding

SOUND = Look("wal", 2, 4096 * 256, ())
ROOMY = Disk("ext4", 10**10, 0)


def told(looked: Look = SOUND, below: Disk = ROOMY) -> dict[str, Finding]:
    return {each.name: each for each in findings(looked, below, "3.54.1")}


def test_a_sound_file_needs_no_advice() -> None:
    assert [each.advice for each in told().values() if each.advice] == []
    assert {name: each.value for name, each in told().items()} == {
        "version": "SQLite 3.54.1",
        "durability": "disk, write-ahead log",
        "tables": "version 2",
        "size": "1.0 MB",
        "file system": "ext4",
        "free space": "9,536.7 MB",
        "log": "0.0 MB",
        "integrity": "checked, sound",
    }


@pytest.mark.parametrize(
    ("looked", "below", "name", "advice"),
    [
        (SOUND, ROOMY._replace(free=10**7), "free space", "nearly full.*make room"),
        (SOUND, ROOMY._replace(log=10**9), "log", "cannot be emptied.*end it"),
        (SOUND._replace(journal="delete"), ROOMY, "durability", "no write-ahead log"),
        (SOUND._replace(damage=("page 3 is never used",)), ROOMY, "integrity", "damaged.*restore a backup"),
    ],
)
def test_each_danger_is_told_with_its_cure(looked: Look, below: Disk, name: str, advice: str) -> None:
    found = told(looked, below)
    assert re.search(advice, found[name].advice)
    assert [each.name for each in found.values() if each.advice] == [name]


def test_damage_is_called_broken_and_a_check_that_was_not_made_is_not_told() -> None:
    assert told(SOUND._replace(damage=("row missing",)))["integrity"].broken
    assert "integrity" not in told(SOUND._replace(damage=None))


def test_the_kind_of_a_file_system_is_that_of_the_longest_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"a / ext4 rw\nb {tmp_path.parent} xfs rw\nc /elsewhere nfs rw\n")
    assert kind_of(tmp_path, mounts) == "xfs"
    assert kind_of(tmp_path, tmp_path / "none") == ""
