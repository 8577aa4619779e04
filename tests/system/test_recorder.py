"""`umbel recorder` and `umbel list FILTER`: real processes on an embedded file."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.system.harness import Worker, environment, eventually
from umbel import Umbel
from umbel.exceptions import HistoryUnavailable
from umbel.history import History, open_history
from umbel.settings import Settings

TASKS = """
from umbel import Umbel

app = Umbel("shop")

@app.task
def buy(number: int, lang: str = "de") -> int:
    if number == 2:
        raise ValueError(f"no number {number}")
    return number
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project."""
    (tmp_path / "tasks.py").write_text(TASKS)
    return tmp_path


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[[str], Worker]]:
    """Starts a command that goes on; it ends with the test."""
    with ExitStack() as stack:

        def started(name: str) -> Worker:
            command = [sys.executable, "-m", "umbel", "-A", "tasks", name]
            process = Worker(command, folder, environment(), folder / f"{name}.log")
            stack.callback(process.end)
            return process

        yield started


def umbel(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "umbel", "-A", "tasks", *words],
        cwd=folder, env=environment(), capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip


def recorded(history: History, text: str) -> int:
    """How many jobs a filter finds by now."""
    try:
        return history.facets(text).total
    except HistoryUnavailable:
        return 0


def test_what_happened_is_recorded_whoever_was_killed(folder: Path, start: Callable[[str], Worker]) -> None:
    settings = Settings(broker_url=f"sqlite:///{folder}/shop.umbel.db")
    history, app = open_history(settings), Umbel("shop", broker=settings.broker_url, set_as_current=False)
    assert umbel(folder, "list", "state:failed").returncode == 1
    first = start("recorder")
    for number in range(3):
        app.send_task("tasks.buy", [number])
    worker = start("worker")
    eventually(lambda: recorded(history, "state:succeeded,failed") == 3, "three ends in the history")
    worker.stop()
    first.end()
    app.send_task("tasks.buy", [2], {"lang": "en"})
    second = start("recorder")
    eventually(lambda: recorded(history, "state:queued arg.lang:en") == 1, "what came meanwhile")
    assert second.stop() == 0
    assert (recorded(history, ""), history.standing().gaps) == (4, ())
    history.close()
    app.close()
    _shown(folder)


def _shown(folder: Path) -> None:
    """See to it that the command line shows the same."""
    listed = umbel(folder, "list", "state:failed arg.number:2 since:1h", "--json")
    assert [row["error"] for row in json.loads(listed.stdout)] == ["ValueError"]
    assert "no number <n>" in umbel(folder, "list", "error:ValueError").stdout
    wrong = umbel(folder, "list", "state:failed colour:red")
    assert (wrong.returncode, "there is no field 'colour'" in wrong.stderr) == (2, True)
    assert umbel(folder, "list", "state:failed", "--state", "dead").returncode == 2
