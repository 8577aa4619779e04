"""In which order the tests run beside each other: long ones first, so that none is left to run alone at the end.

Each process of pytest-xdist begins with a part of the list and is given some of another's end when it has done its own.
So the long modules are dealt to the beginnings of the parts, and the many short ones stand behind them, neighbours
together, so that each server is started by few processes. A folder in `LONG` is one part, for its tests share what is
dear to start, such as a browser.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

T = TypeVar("T")

LONG: Final[dict[str, float]] = {
    "tests/system/test_rabbitmq.py": 200,
    "tests/system/test_worker_processes.py": 180,
    "tests/system/test_chaos.py": 170,
    "tests/system/test_postgres_restarts.py": 65,
    "tests/dashboard/browser/": 60,
    "tests/system/test_operations.py": 40,
    "tests/system/test_cli.py": 30,
    "tests/system/test_pages.py": 20,
    "tests/typing/test_typing.py": 20,
    "tests/system/test_rabbitmq_flows.py": 20,
    "tests/system/test_redis_servers.py": 20,
    "tests/conformance/test_sqlite_processes.py": 15,
    "tests/conformance/test_rabbitmq_engine.py": 15,
    "tests/conformance/test_two_engines.py": 15,
    "tests/conformance/test_postgres_engine.py": 15,
    "tests/conformance/test_sql_server.py": 15,
    "tests/conformance/test_postgres_model.py": 12,
    "tests/conformance/test_model.py": 10,
    "tests/system/test_rabbitmq_alone.py": 10,
    "tests/system/test_control.py": 10,
    "tests/system/test_limits.py": 10,
    "tests/system/test_disk_full.py": 10,
    "tests/system/test_flow_chaos.py": 10,
    "tests/conformance/test_network.py": 8,
    "tests/conformance/test_object_server.py": 8,
    "tests/system/test_schedules.py": 8,
    "tests/system/test_metrics.py": 10,
    "tests/dashboard/test_access_api.py": 10,
    "tests/system/test_telemetry_page.py": 8,
    "tests/system/test_tracing.py": 8,
    "tests/system/test_demo.py": 8,
    "tests/dashboard/test_access.py": 8,
    "tests/dashboard/test_server.py": 8,
    "tests/conformance/test_control_model.py": 5,
    "tests/conformance/test_redis_model.py": 5,
}
"""Modules, or folders, whose tests take long, and about how many seconds together; `pytest --durations` tells."""


def dealt(tests: Sequence[T], module_of: Callable[[T], str], processes: int) -> list[T]:
    """*tests* in the order in which *processes* take them; as they are, if there is nothing to deal."""
    modules: dict[str, list[T]] = {}
    for test in tests:
        modules.setdefault(_together(module_of(test)), []).append(test)
    beginnings: list[list[T]] = [[] for _ in range(processes)]
    seconds = [0.0] * processes
    for module in sorted(set(LONG) & set(modules), key=lambda name: (-LONG[name], name)):
        place = seconds.index(min(seconds))
        beginnings[place] += modules.pop(module)
        seconds[place] += LONG[module]
    short = [test for module in modules.values() for test in module]
    return _joined(beginnings, short, len(tests))


def _together(module: str) -> str:
    """Under which name of `LONG` *module* runs; its own if it is in none of those folders."""
    return next((name for name in LONG if name.endswith("/") and module.startswith(name)), module)


def _joined(beginnings: list[list[T]], short: list[T], left: int) -> list[T]:
    """Fill each part up to the length that pytest-xdist will give to it."""
    ordered: list[T] = []
    for number, beginning in enumerate(beginnings):
        length = left // (len(beginnings) - number)
        fill = max(0, length - len(beginning))
        ordered += [*beginning, *short[:fill]]
        short = short[fill:]
        left -= length
    return ordered + short
