"""The options that say how a worker is run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
import pytest

from umbel.cli import daemon as module
from umbel.cli.daemon import living
from umbel.cli.operating import Daemon, apply_include, apply_settings, daemon_of, operating, told_in_vain
from umbel.exceptions import ImproperlyConfigured


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("UMBEL_WORKER_LEASE", "UMBEL_INCLUDE", "PYTHONDONTWRITEBYTECODE"):
        monkeypatch.setenv(name, "")


def given(*words: str) -> dict[str, Any]:
    """What the options make of *words*."""

    @click.command
    @click.option("-f", "--logfile", default="")
    @operating
    def command(**options: Any) -> dict[str, Any]:
        return options

    answer: dict[str, Any] = command.main([*words], standalone_mode=False)
    return answer


def test_settings_as_words_count_as_given_by_variables() -> None:
    apply_settings(("worker.lease=30",))
    assert os.environ["UMBEL_WORKER_LEASE"] == "30"


@pytest.mark.parametrize("word", ["worker.leese=30", "worker.lease", "worker.lease=-1", "worker.lease=soon"])
def test_a_word_that_is_no_setting_is_refused(word: str) -> None:
    with pytest.raises(ImproperlyConfigured):
        apply_settings((word,))
    assert os.environ["UMBEL_WORKER_LEASE"] == ""


def test_modules_to_include_are_handed_on() -> None:
    apply_include("a,b")
    assert os.environ["UMBEL_INCLUDE"] == "a,b"


def test_options_that_tune_nothing_are_told_by_name() -> None:
    options = given("-O", "fair", "--without-gossip", "--prefetch-multiplier", "1")
    assert sorted(told_in_vain(options)) == ["--prefetch-multiplier", "--without-gossip", "-O"]
    assert not options.keys() & {"optimization", "without_gossip", "purge"}


def test_purge_is_refused_with_what_to_use_instead() -> None:
    with pytest.raises(ImproperlyConfigured, match="umbel purge"):
        told_in_vain(given("--purge"))


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("-D", "--reload", "-f", "log"), "leave out -D"),
        (("-D",), "give -f"),
        (("--reload-dir", "src"), "give --reload"),
        (("--reload-include", "*.yaml"), "give --reload"),
    ],
)
def test_options_that_contradict_one_another_are_refused(words: tuple[str, ...], why: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=why):
        daemon_of(given(*words))


def test_a_reload_writes_no_compiled_files() -> None:
    daemon_of(given("--reload"))
    assert os.environ["PYTHONDONTWRITEBYTECODE"] == "1"


def test_a_pidfile_is_there_for_the_length_of_the_block_alone(tmp_path: Path) -> None:
    pidfile = tmp_path / "pid"
    with living(Daemon(pidfile=str(pidfile))):
        assert int(pidfile.read_text()) == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_a_pidfile_of_a_living_process_is_respected_and_one_of_a_dead_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pidfile = tmp_path / "pid"
    pidfile.write_text("1\n")
    with pytest.raises(ImproperlyConfigured, match="process 1"), living(Daemon(pidfile=str(pidfile))):
        pass
    monkeypatch.setattr(module, "_lives", lambda pid: False)
    with living(Daemon(pidfile=str(pidfile))):
        assert int(pidfile.read_text()) == os.getpid()


def test_a_pidfile_is_not_written_through_a_link(tmp_path: Path) -> None:
    precious, pidfile = tmp_path / "precious", tmp_path / "pid"
    precious.write_text("dear\n")
    pidfile.symlink_to(precious)
    with living(Daemon(pidfile=str(pidfile))):
        assert precious.read_text() == "dear\n"


@pytest.mark.parametrize("daemon", [Daemon(umask="abc"), Daemon(umask="7777"), Daemon(uid="no-such-user")])
def test_a_user_or_mask_that_there_is_not_is_refused(daemon: Daemon) -> None:
    with pytest.raises(ImproperlyConfigured), living(daemon):
        pass
