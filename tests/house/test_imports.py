"""What an import costs, and what is never imported."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Callable
from math import inf
from pathlib import Path

import pytest

from tests.house.source import Source, project, sources

IMPORT_SECONDS = 0.060
HELP_SECONDS = 0.150
ROUNDS = 30
HEAVY = {
    "apsw",
    "click",
    "hiredis",
    "jinja2",
    "multiprocessing",
    "opentelemetry",
    "pamqp",
    "prometheus_client",
    "psycopg",
    "pydantic",
    "redis",
    "sqlalchemy",
    "sqlite3",
    "starlette",
    "uvloop",
}
ENGINES = {  # a driver, and how the names of the files of its one engine begin
    "apsw": "sqlite",
    "hiredis": "redis",
    "obstore": "objects",
    "pamqp": "amqp",
    "psycopg": "postgres",
    "psycopg_pool": "postgres",
    "sqlalchemy": "sql",
}
UNSAFE = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle"}


@pytest.mark.parametrize("statement", ["import umbel", "from umbel import Umbel"])
def test_importing_loads_no_driver(statement: str) -> None:
    loaded = _python(f"import sys; {statement}; print(*sys.modules)").split()
    assert HEAVY & set(loaded) == set()


def test_importing_is_quick() -> None:
    program = "import time; start = time.process_time(); import umbel; print(time.process_time() - start)"
    assert _least(lambda: float(_python(program)), IMPORT_SECONDS) < IMPORT_SECONDS


def test_help_is_quick() -> None:
    assert _least(_seconds_of_help, HELP_SECONDS) < HELP_SECONDS


def test_the_core_installs_four_packages() -> None:
    names = [requirement.partition(">=")[0] for requirement in project()["project"]["dependencies"]]
    assert names == ["apsw", "click", "cronsim", "msgspec"]


def test_nothing_that_runs_code_when_loaded_is_imported() -> None:
    everything = sources("src", "examples", "benchmarks")
    assert [str(source.path) for source in everything if _imported(source, UNSAFE)] == []


def test_each_driver_is_met_in_its_own_engine() -> None:
    strays = [
        f"{source.path}: {driver}"
        for source in sources()
        for driver in _imported(source, set(ENGINES))
        if source.path.parent.name != "engines" or not re.match(rf"{ENGINES[driver]}(_|$)", source.path.stem)
    ]
    assert strays == []


def _imported(source: Source, wanted: set[str]) -> set[str]:
    """Give which of the packages *wanted* are imported anywhere in *source*."""
    if not any(name in source.text for name in wanted):
        return set()  # most files, and to walk through their trees takes seconds
    nodes = list(ast.walk(source.tree))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
    return wanted & {name.partition(".")[0] for name in names}


def _python(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout


def _least(measure: Callable[[], float], enough: float) -> float:
    """What it takes at least, or the first that is less than *enough*."""
    least = inf
    for _ in range(ROUNDS):  # what else runs can only add to it
        least = min(least, measure())
        if least < enough:
            break
    return least


def _seconds_of_help() -> float:
    """Measure processor time: on a quiet machine the time that passes, and no test beside this one changes it."""
    umbel = Path(sys.executable).with_name("umbel")
    process = subprocess.Popen([umbel, "--help"], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime
