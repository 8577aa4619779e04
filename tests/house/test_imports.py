"""What an import costs, and what is never imported."""

import ast
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.house.source import project, sources

IMPORT_SECONDS = 0.060
HELP_SECONDS = 0.150
ROUNDS = 5
HEAVY = {
    "apsw",
    "click",
    "hiredis",
    "jinja2",
    "multiprocessing",
    "psycopg",
    "pydantic",
    "redis",
    "sqlalchemy",
    "sqlite3",
    "starlette",
    "uvloop",
}
UNSAFE = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle"}


@pytest.mark.parametrize("statement", ["import umbel", "from umbel import Umbel"])
def test_importing_loads_no_driver(statement: str) -> None:
    loaded = _python(f"import sys; {statement}; print(*sys.modules)").split()
    assert HEAVY & set(loaded) == set()


@pytest.mark.quiet
def test_importing_is_quick() -> None:
    program = "import time; start = time.process_time(); import umbel; print(time.process_time() - start)"
    assert _median(lambda: float(_python(program))) < IMPORT_SECONDS


@pytest.mark.quiet
def test_help_is_quick() -> None:
    assert _median(_seconds_of_help) < HELP_SECONDS


def test_the_core_installs_four_packages() -> None:
    names = [requirement.partition(">=")[0] for requirement in project()["project"]["dependencies"]]
    assert names == ["apsw", "click", "cronsim", "msgspec"]


def test_nothing_that_runs_code_when_loaded_is_imported() -> None:
    assert [found for source in sources("src", "examples", "benchmarks") for found in _unsafe(source.tree)] == []


def _unsafe(tree: ast.Module) -> list[str]:
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return [name for name in names if name.partition(".")[0] in UNSAFE]


def _python(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout


def _median(measure: Callable[[], float]) -> float:
    measure()  # the first run compiles and fills the disk cache
    return statistics.median(measure() for _ in range(ROUNDS))


def _seconds_of_help() -> float:
    """Measure processor time: on a quiet machine the time that passes, and no test beside this one changes it."""
    umbel = Path(sys.executable).with_name("umbel")
    process = subprocess.Popen([umbel, "--help"], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime
