"""Writes docs/guarantees.md: the sentences of the conformance suites, and which engine keeps which.

    python -m tests.guarantees            # is the page up to date?
    python -m tests.guarantees --write    # make it so

A sentence is the name of a test. An engine keeps it if a class of its test file below `tests/conformance` runs it.
Only what stands between two marks is written; the rest of the page is by hand.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Final, NamedTuple

from umbel.contracts.capabilities import BROKERS, Power
from umbel.testing import conformance

PAGE: Final = Path(__file__).parents[1] / "docs" / "guarantees.md"
COMMAND: Final = "python -m tests.guarantees --write"
_STORE: Final = "results"
_ORDER: Final = (
    "sending", "resending", "receiving", "order", "delays", "waiting", "sessions", "settling", "reconciling",
    "reclaiming", "limits", "records", "inspector",
)  # fmt: skip
"""The suites in the order of a job's life; those not named come after them, and result stores last."""

ENGINES: Final[Mapping[str, str]] = {
    "memory": "test_memory",
    "SQLite": "test_sqlite",
    "Redis": "test_redis",
    "Redis behind Sentinel": "test_redis_sentinel",
    "Redis Cluster": "test_redis_cluster",
    "PostgreSQL": "test_postgres",
    "PostgreSQL behind pgbouncer": "test_postgres:BehindPgBouncer",
    "RabbitMQ": "test_rabbitmq",
    "RabbitMQ alone": "test_rabbitmq_alone",
}
"""Name to test file; after a colon, how the names of its classes end. The others of that file have no such end."""

STORES: Final[Mapping[str, str]] = {
    **{name: where for name, where in ENGINES.items() if not name.startswith("RabbitMQ")},
    "SQLite by SQLAlchemy": "test_sql_store:Sqlite",
    "PostgreSQL by SQLAlchemy": "test_sql_store:Postgres",
    "the same behind pgbouncer": "test_sql_store:PgBouncer",
    "MariaDB": "test_sql_store:MariaDB",
    "S3": "test_object_store:S3",
    "files": "test_object_store:Files",
}


class Suite(NamedTuple):
    """One module of suites: its title, what it is about, and its sentences by the names of their tests."""

    name: str
    about: str
    sentences: Mapping[str, str]


def suites() -> list[Suite]:
    """Every suite there is, in the order of the page."""
    names = [module.name for module in iter_modules(conformance.__path__)]
    found = [_suite(name) for name in sorted(names, key=_place)]
    return [suite for suite in found if suite.sentences]


def sentence(test: str) -> str:
    """The sentence that is the name of a *test*."""
    words = test.removeprefix("test_").replace("_", " ")
    return f"{words[0].upper()}{words[1:]}."


def lacking(suite: Suite) -> dict[str, list[str]]:
    """By sentence of *suite*, the engines that do not keep it, if there are any."""
    engines = {name: kept(where) for name, where in (STORES if suite.name == _STORE else ENGINES).items()}
    return {
        test: lacks for test in suite.sentences if (lacks := [name for name, has in engines.items() if test not in has])
    }


def kept(where: str) -> set[str]:
    """The tests of suites that the classes at *where* run, see `ENGINES`."""
    module, _, end = where.partition(":")
    others = {other.partition(":")[2] for other in (*ENGINES.values(), *STORES.values())} - {"", end}
    tests: set[str] = set()
    for name, cls in inspect.getmembers(import_module(f"tests.conformance.{module}"), inspect.isclass):
        if name.startswith("Test") and name.endswith(end) and not (not end and name.endswith(tuple(others))):
            tests |= {test for test in dir(cls) if test.startswith("test_") and callable(getattr(cls, test))}
    return tests


def written(page: str) -> str:
    """The text *page* with its generated parts as they should be."""
    for mark, lines in (("powers", _powers()), ("sentences", _sentences())):
        start, end = f"<!-- {mark}: written by `{COMMAND}` -->\n", f"<!-- end of {mark} -->\n"
        if start not in page or end not in page:
            raise SystemExit(f"{PAGE} has lost a mark: {start.strip()} … {end.strip()}")
        head, _, rest = page.partition(start)
        page = "".join([head, start, "\n".join(lines), "\n", end, rest.partition(end)[2]])
    return page


def _place(module: str) -> tuple[int, str]:
    if module == _STORE:
        return len(_ORDER) + 1, module
    return (_ORDER.index(module) if module in _ORDER else len(_ORDER)), module


def _suite(name: str) -> Suite:
    module = import_module(f"{conformance.__name__}.{name}")
    tests: list[str] = []
    for cls in vars(module).values():
        if inspect.isclass(cls) and cls.__module__ == module.__name__:
            tests += [test for test in vars(cls) if test.startswith("test_")]
    about = inspect.cleandoc(module.__doc__ or "").partition("\n\n")[0].replace("\n", " ")
    return Suite(name, about, {test: sentence(test) for test in tests})


def _powers() -> Iterable[str]:
    yield f"| An engine … | {' | '.join(BROKERS)} |"
    yield f"|---|{'---|' * len(BROKERS)}"
    for power in Power:
        marks = ["yes" if power in powers else "-" for powers in BROKERS.values()]
        yield f"| {power.value} | {' | '.join(marks)} |"


def _sentences() -> Iterable[str]:
    every = suites()
    yield f"{sum(len(suite.sentences) for suite in every)} sentences."
    for suite in every:
        lacks = lacking(suite)
        nowhere = [name for name in ENGINES if all(name in lacks.get(test, ()) for test in suite.sentences)]
        yield from ("", f"### {suite.name.replace('_', ' ').capitalize()}", "", f"{suite.about}{_but(nowhere)}", "")
        for test, text in suite.sentences.items():
            yield f"* {text}{_but([name for name in lacks.get(test, ()) if name not in nowhere])}"


def _but(engines: list[str]) -> str:
    if not engines:
        return ""
    *first, last = engines
    return f" *Not on {', '.join(first)} and {last}.*" if first else f" *Not on {last}.*"


def main() -> int:
    """Write the page, or tell whether it should be written."""
    page = PAGE.read_text()
    new = written(page)
    if "--write" in sys.argv[1:]:
        PAGE.write_text(new)
    elif new != page:
        sys.stderr.write(f"{PAGE} is out of date: {COMMAND}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
