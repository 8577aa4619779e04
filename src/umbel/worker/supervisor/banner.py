"""The banner: what the worker is about to do, in the shape that Celery's users know."""

from __future__ import annotations

import sys

from umbel.engines.address import masked
from umbel.worker.supervisor.plan import Plan


def banner(plan: Plan, verbose: bool) -> str:
    """The text to print at the start; with the names of all tasks if *verbose*."""
    results = masked(plan.settings.result_backend) or "disabled"
    lines = [
        "",
        f" {plan.worker} (Python {'.'.join(map(str, sys.version_info[:3]))})",
        "",
        "[config]",
        f".> app:         {plan.main or '(unnamed)'}",
        f".> transport:   {plan.broker}",
        f".> results:     {results}",
        f".> concurrency: {concurrency(plan)}",
        "",
        "[queues]",
        *(f".> {queue}" for queue in plan.queues),
        "",
    ]
    if verbose:
        lines += ["[tasks]", *(f"  . {task}" for task in plan.tasks), ""]
    return "\n".join(lines) + "\n"


def concurrency(plan: Plan) -> str:
    """How many jobs run at a time, and what that number is made of."""
    sizing = plan.sizing
    total = sizing.processes * sizing.threads
    processes = _count(sizing.processes, "process", "processes")
    threads = _count(sizing.threads, "thread", "threads")
    return f"{total} ({processes} x {threads} + {sizing.async_slots} async each)"


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
