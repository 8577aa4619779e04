"""How scripts are put together."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from umbel.brokers.redis.calls import FOLDER as BROKER
from umbel.claims.redis.operations import FOLDER as CLAIMS
from umbel.engines.redis_command import SHARED, Script, load
from umbel.stores.redis.operations import FOLDER as STORE

ROOMS = (BROKER, CLAIMS, STORE)
SCRIPTS = [(folder, path.stem) for folder in (*ROOMS, SHARED) for path in sorted(folder.glob("*.lua"))]
LOADED = [(room, name) for folder, name in SCRIPTS for room in ((BROKER, CLAIMS) if folder == SHARED else (folder,))]


def test_a_script_gets_what_it_includes_once_and_in_order(tmp_path: Path) -> None:
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "a.lua").write_text("-- a\n")
    (tmp_path / "include" / "b.lua").write_text("-- includes: a\n-- b\n")
    (tmp_path / "verb.lua").write_text("#!lua flags=no-writes\n-- verb\n-- includes: b a\nreturn 1\n")
    text = load(tmp_path, "verb").text
    expected = "#!lua flags=no-writes\n-- a\n-- includes: a\n-- b\n-- verb\n-- includes: b a\nreturn 1\n"
    assert text == expected


def test_an_old_server_gets_the_script_without_its_first_line() -> None:
    script = Script("verb", "#!lua flags=allow-oom\nreturn 1\n")
    assert script.plain_text == "return 1\n"
    assert script.sha == hashlib.sha1(script.text.encode(), usedforsecurity=False).hexdigest()
    assert script.plain_sha == hashlib.sha1(b"return 1\n", usedforsecurity=False).hexdigest()


@pytest.mark.parametrize(("folder", "name"), SCRIPTS, ids=[name for _, name in SCRIPTS])
def test_each_script_says_what_it_takes_and_answers(folder: Path, name: str) -> None:
    lines = (folder / f"{name}.lua").read_text().splitlines()
    assert lines[0].startswith("#!lua")
    assert lines[1].startswith(f"-- {name}: ")
    head = "\n".join(lines[:10])
    assert "-- KEYS[1] " in head
    assert "ARGV " in head


ADDING = ("admit", "amend", "flow_more", "flow_start", "flow_store", "schedule", "send", "tell")


@pytest.mark.parametrize(("folder", "name"), SCRIPTS, ids=[name for _, name in SCRIPTS])
def test_only_what_adds_is_refused_by_a_full_server(folder: Path, name: str) -> None:
    first = (folder / f"{name}.lua").read_text().splitlines()[0]
    assert (first == "#!lua") == (name in ADDING)


@pytest.mark.parametrize(("folder", "name"), LOADED, ids=[f"{room.parts[-3]} {name}" for room, name in LOADED])
def test_no_script_carries_what_it_does_not_use(folder: Path, name: str) -> None:
    text = load(folder, name).text
    for path in (*(folder / "include").glob("*.lua"), *(SHARED / "include").glob("*.lua")):
        if path.read_text() in text:
            assert text.count(path.stem) > path.read_text().count(path.stem) + 1, path.stem


def test_what_is_shared_stands_in_no_room() -> None:
    names = [path.relative_to(SHARED) for path in SHARED.rglob("*.lua")]
    assert [room / name for room in ROOMS for name in names if (room / name).exists()] == []
