from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest

from umbel.engines.sqlite_bells import _datagrams as datagrams
from umbel.engines.sqlite_bells import ids_in
from umbel.engines.sqlite_file import NETWORK_FILE_SYSTEMS, Patience, check_version, path_of, refuse_network
from umbel.engines.sqlite_lease import Clock
from umbel.engines.statements import statements
from umbel.exceptions import ImproperlyConfigured

FOLDER = Path("/srv/jobs")


def test_three_slashes_are_relative_and_four_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert path_of("sqlite:///jobs/umbel.db", "broker_url") == tmp_path / "jobs" / "umbel.db"
    assert path_of("sqlite:////srv/umbel.db", "broker_url") == Path("/srv/umbel.db")
    assert path_of("sqlite:////srv/my%20jobs.db", "broker_url") == Path("/srv/my jobs.db")


def test_a_relative_path_stays_where_it_was_when_the_process_moves(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    path = path_of("sqlite:///umbel.db", "broker_url")
    monkeypatch.chdir("/")
    assert path == tmp_path / "umbel.db"


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:",
        "sqlite://",
        "sqlite:///",
        "sqlite://umbel.db",
        "sqlite:///:memory:",
        "sqlite:////srv/",
        "sqlite:///a.db?mode=ro",
        "sqlite:///a%00b.db",
    ],
)
def test_a_url_without_a_file_is_refused_with_the_setting(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"^result_backend: .*write sqlite:///relative/path\.db"):
        path_of(url, "result_backend")


@pytest.mark.parametrize("version", ["3.51.3", "3.51.10", "3.54.1", "4.0.0", "3.50.7", "3.50.8", "3.44.6"])
def test_a_sqlite_without_the_reset_bug_is_taken(version: str) -> None:
    check_version(version)


@pytest.mark.parametrize("version", ["3.40.1", "3.44.5", "3.45.0", "3.50.6", "3.51.0", "3.51.2"])
def test_a_sqlite_with_the_reset_bug_is_refused(version: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=rf"SQLite {version}.*pip install --upgrade 'apsw>=3\.51\.3'"):
        check_version(version)


@pytest.mark.parametrize(("magic", "name"), NETWORK_FILE_SYSTEMS.items())
def test_a_network_file_system_is_refused_by_name(magic: int, name: str) -> None:
    with pytest.raises(ImproperlyConfigured) as error:
        refuse_network(magic, FOLDER, "broker_url")
    assert str(error.value).startswith(f"broker_url: the folder {FOLDER} is on {name}")


@pytest.mark.parametrize(
    "magic",
    [0, 0xEF53, 0x01021994, 0x58465342, 0x9123683E, 0x794C7630],
    ids=["none", "ext4", "tmpfs", "xfs", "btrfs", "overlay"],
)
def test_a_local_file_system_is_taken(magic: int) -> None:
    refuse_network(magic, FOLDER, "broker_url")


def test_patience_ends_at_its_deadline_and_begins_anew() -> None:
    patience = Patience(0.01)
    started = time.monotonic()
    tries = next(tries for tries in itertools.count() if not patience(tries))
    assert tries > 0
    assert time.monotonic() - started >= 0.01
    assert patience(0)


def test_an_injected_clock_stands_for_both_times() -> None:
    clock = Clock(lambda: 12.5)
    assert (clock.wall(), clock.lease()) == (12_500, 12_500)


def test_ids_travel_in_datagrams_of_a_few_kilobytes() -> None:
    ids = [f"{number:0100d}" for number in range(60)]
    parts = datagrams(ids)
    assert [each for part in parts for each in ids_in(part)] == ids
    assert max(map(len, parts)) <= 4200


def test_too_many_ids_become_look_again() -> None:
    [part] = datagrams([f"{number:0100d}" for number in range(1000)])
    assert ids_in(part) == []


def test_every_statement_has_a_name_and_says_what_it_takes_and_answers() -> None:
    for file in ("send", "receive", "settle", "reclaim", "heartbeat", "unpark", "inspect"):
        found = statements("umbel.brokers.sqlite.queries", f"{file}.sql")
        assert found
        assert all(each.startswith("-- ") for each in found.values())
