"""Survey as text: what `umbel status` writes of queues and workers."""

from __future__ import annotations

from typing import Final

from umbel.app.survey import ChildRow, Survey, WorkerRow
from umbel.cli.table import duration, table

_QUEUE_HEADS: Final = ("QUEUE", "READY", "DELAYED", "HELD", "RUNNING", "PARKED", "DEAD", "OLDEST")
_CHILD_HEADS: Final = ("WORKER", "PID", "CHILD", "SLOTS", "RUNNING", "LEASED", "LEASE", "UP", "QUEUES")


def as_text(found: Survey) -> str:
    """Two tables, and under each child the jobs that it runs."""
    queues = [
        (row.queue, row.ready, row.delayed, row.held, row.running, row.parked, row.dead, duration(row.oldest_seconds))
        for row in found.queues
    ]
    lines = [f"broker  {found.broker}", ""]
    lines += table(_QUEUE_HEADS, queues) if queues else ["no queue was used yet"]
    lines.append("")
    children = [(worker, child) for worker in found.workers for child in worker.children]
    if not children:
        return "\n".join([*lines, "no worker is running"])
    head, *rows = table(_CHILD_HEADS, [_cells(worker, child) for worker, child in children])
    lines.append(head)
    for (_, child), row in zip(children, rows, strict=True):
        lines.append(row)
        lines += [f"    {job.task}[{job.id}]  {duration(job.seconds)}" for job in child.running]
    return "\n".join(lines)


def _cells(worker: WorkerRow, child: ChildRow) -> tuple[object, ...]:
    return (
        worker.worker,
        worker.pid,
        child.pid or "-",  # not forked yet at its first heartbeat
        f"{child.threads}+{child.async_slots} async",
        len(child.running),
        child.leased,
        duration(child.lease_left),
        duration(child.up_seconds),
        ",".join(child.queues) + (" (quiet)" if child.quiet else ""),
    )
