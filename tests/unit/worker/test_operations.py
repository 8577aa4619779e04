"""The pure parts of how a worker is run: growing and shrinking, .gitignore, what systemd is told."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from umbel.cli import main as cli
from umbel.exceptions import ImproperlyConfigured
from umbel.settings import Settings
from umbel.worker.options import WorkerOptions
from umbel.worker.sizing import autoscale_limits, resolve
from umbel.worker.supervisor.autoscaler import IDLE_SECONDS, Autoscaler
from umbel.worker.supervisor.gitignore import Gitignore
from umbel.worker.supervisor.health import Verdict
from umbel.worker.supervisor.notify import Notify
from umbel.worker.supervisor.watcher import Watcher

SLOTS = 2


class Few:
    """Children that are only counted."""

    def __init__(self, count: int, running: int = 0) -> None:
        self.count = count
        self.jobs = running

    def running(self) -> int:
        """As many as were said."""
        return self.jobs

    def grow(self, number: int) -> int:
        """So many more."""
        self.count += number
        return self.count

    def shrink(self, number: int) -> int:
        """So many fewer."""
        self.count -= number
        return self.count


def test_a_worker_grows_by_what_waits_beyond_its_free_slots() -> None:
    children = Few(1, running=2)
    Autoscaler(children, SLOTS, 10, 1).look(5, 0.0)
    assert children.count == 1 + 3


def test_a_worker_does_not_grow_for_what_it_has_slots_for() -> None:
    children = Few(3, running=1)
    Autoscaler(children, SLOTS, 10, 1).look(5, 0.0)
    assert children.count == 3


def test_a_worker_never_has_more_children_than_it_may() -> None:
    children = Few(1, running=2)
    Autoscaler(children, SLOTS, 4, 1).look(1000, 0.0)
    assert children.count == 4


def test_a_worker_shrinks_when_it_was_idle_for_long_enough_and_not_below_its_least() -> None:
    children = Few(5)
    scaler = Autoscaler(children, SLOTS, 10, 2)
    scaler.look(0, 0.0)
    scaler.look(0, IDLE_SECONDS - 1)
    assert children.count == 5
    scaler.look(0, IDLE_SECONDS)
    assert children.count == 2


def test_a_worker_keeps_the_children_that_run_something_and_one_slot_free() -> None:
    children = Few(5, running=3)
    scaler = Autoscaler(children, SLOTS, 10, 1)
    scaler.look(0, 0.0)
    scaler.look(0, IDLE_SECONDS)
    assert children.count == 2


def test_work_in_between_starts_the_idle_time_anew() -> None:
    children = Few(5)
    scaler = Autoscaler(children, SLOTS, 10, 1)
    scaler.look(0, 0.0)
    scaler.look(1, IDLE_SECONDS / 2)
    scaler.look(0, IDLE_SECONDS)
    assert children.count == 5


@pytest.mark.parametrize(("text", "limits"), [("10,3", (10, 3)), ("4", (4, 1)), ("4,0", (4, 1))])
def test_the_limits_of_a_worker_are_read_as_celery_reads_them(text: str, limits: tuple[int, int]) -> None:
    assert autoscale_limits(text) == limits
    assert resolve(WorkerOptions(app="a", autoscale=text), Settings()).processes == limits[1]


@pytest.mark.parametrize("text", ["3,10", "0", "x", "3,-1,2", ""])
def test_limits_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="MAX,MIN"):
        autoscale_limits(text)


def test_only_processes_are_scaled() -> None:
    with pytest.raises(ImproperlyConfigured, match="prefork"):
        resolve(WorkerOptions(app="a", autoscale="3,1", pool="threads"), Settings())


@pytest.mark.parametrize(
    ("rule", "path", "ignored"),
    [
        ("*.log", "a/b/x.log", True),
        ("/build", "build", True),
        ("/build", "a/build", False),
        ("build/", "a/build", True),
        ("docs/*.py", "docs/x.py", True),
        ("docs/*.py", "docs/a/x.py", False),
        ("a/**/x.py", "a/b/c/x.py", True),
        ("a/**/x.py", "a/x.py", True),
        ("**/gen", "a/gen", True),
        ("gen/**", "gen/a/b.py", True),
        ("x[0-9].py", "x1.py", True),
        ("x[!0-9].py", "x1.py", False),
        ("# x", "# x", False),
        ("\\#x", "#x", True),
        ("x.py", "ax.py", False),
        ("a.py\n!a.py", "a.py", False),
    ],
)
def test_a_rule_of_gitignore_means_what_it_means_to_git(rule: str, path: str, ignored: bool) -> None:
    assert Gitignore(rule.splitlines()).ignores(path, folder=not path.endswith((".py", ".log", "x"))) == ignored


def test_the_watcher_sees_code_and_nothing_else(tmp_path: Path) -> None:
    for name in ("a.py", "umbel.toml", "p/b.py", "x.txt", ".hidden/c.py", "venv/d.py", "made/e.py", "p/f.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / ".gitignore").write_text("made/\n")
    (tmp_path / "p" / ".gitignore").write_text("/f.py\n")
    others = Watcher([tmp_path], ["*.txt"]).look()
    assert {os.path.relpath(path, tmp_path) for path in others} == {"a.py", "umbel.toml", "p/b.py", "x.txt"}
    watcher = Watcher([tmp_path])
    seen = watcher.look()
    assert {os.path.relpath(path, tmp_path) for path in seen} == {"a.py", "umbel.toml", "p/b.py"}
    (tmp_path / "p" / "b.py").write_text("1")
    assert watcher.look() != seen


def test_the_rules_of_the_repository_around_hold_in_a_part_of_it(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".gitignore").write_text("src/made.py\n")
    (tmp_path / "src").mkdir()
    for name in ("made.py", "a.py"):
        (tmp_path / "src" / name).write_text("")
    assert [Path(path).name for path in Watcher([tmp_path / "src"]).look()] == ["a.py"]


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match="no such folder"):
        Watcher([tmp_path / "nowhere"])


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """What listens to services."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "notify"))
        made.setblocking(False)
        yield made


def test_the_service_manager_is_told_and_its_variables_are_not_handed_on(manager: socket.socket) -> None:
    environment = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "30000000", "HOME": "/"}
    notify = Notify(environment)
    assert environment == {"HOME": "/"}
    notify.ready("receives")
    assert manager.recv(100) == b"READY=1\nSTATUS=receives"
    notify.sign(Verdict(live=True))
    assert manager.recv(100) == b"WATCHDOG=1"
    notify.stopping("stopping")
    assert manager.recv(100).startswith(b"STOPPING=1")


def test_a_worker_that_is_not_live_gives_no_sign_of_life(manager: socket.socket) -> None:
    notify = Notify({"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "30000000"})
    notify.sign(Verdict(live=False))
    with pytest.raises(BlockingIOError):
        manager.recv(100)


def test_the_watchdog_of_another_process_is_left_alone(manager: socket.socket) -> None:
    notify = Notify({"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"})
    notify.sign(Verdict(live=True))
    with pytest.raises(BlockingIOError):
        manager.recv(100)


def test_a_worker_that_no_manager_asked_says_nothing() -> None:
    Notify({}).ready("nobody hears")


def test_the_page_about_running_workers_names_options_that_there_are() -> None:
    page = (Path(__file__).parents[3] / "docs" / "operations.md").read_text()
    context = click.Context(cli.group)
    commands = [cli.group.get_command(context, name) for name in ("worker", "health", "dev")]
    known = {
        word for each in commands if each is not None for option in each.get_params(context) for word in option.opts
    }
    foreign = {"--create-home", "--interval", "--start-period"}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page)) - foreign
    assert len(named) > 10
    assert named <= known


def test_a_manager_that_is_gone_harms_nobody(tmp_path: Path) -> None:
    Notify({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready("nobody hears")
