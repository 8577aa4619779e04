"""What batches tell beside jobs: workers, the parameters of tasks, flows, and the runs of schedules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

import msgspec

from umbel.contracts.history import Transaction
from umbel.history.bounds import moment, number, real, short, text
from umbel.history.names import Naming
from umbel.model.event import Batch, Event

MAX_QUEUES: Final = 4_096
MAX_JOBS: Final = 16_384
MAX_PARAMETERS: Final = 64


def write(transaction: Transaction, naming: Naming, batches: Sequence[Batch], now: float) -> None:
    """Write what the events of *batches* say that are not a job's."""
    for batch in batches:
        for event in batch.events:
            name = short(event.id)
            if not name:
                continue
            if event.kind.startswith("worker-"):
                _worker(transaction, naming, event, now)
            elif event.kind == "schedule-tick":
                at = moment(event.at, now)
                tick = real(event.body.get("tick"))
                due = at if tick is None else tick
                transaction.rows("ingest.schedule_run", name, due, short(event.body.get("job")), at)
            elif event.kind.startswith("flow-"):
                _flow(transaction, event, now)


def _flow(transaction: Transaction, event: Event, now: float) -> None:
    body, at = event.body, moment(event.at, now)
    if event.kind == "flow-ended":
        transaction.rows("ingest.flow_ended", short(event.id), short(body.get("state")) or "ended", at, now)
        return
    total = number(body.get("total"), -1)
    root = short(body.get("root")) or None
    name = short(body.get("name"))
    transaction.rows("ingest.flow_started", short(event.id), name, root, total if total >= 0 else None, at, now)


def _worker(transaction: Transaction, naming: Naming, event: Event, now: float) -> None:
    body, at = event.body, moment(event.at, now)
    naming.prepare("worker", [short(event.id)])
    online, offline = event.kind == "worker-online", event.kind == "worker-offline"
    transaction.rows(
        "ingest.worker",
        naming("worker", short(event.id)),
        short(body.get("host")),
        number(body.get("pid"), 0),
        short(body.get("version")),
        _json(body.get("queues"), MAX_QUEUES) or "",
        _count(body.get("slots")),
        _count(body.get("used")),
        _count(body.get("rss")),
        real(body.get("cpu")),
        None if offline else _json(body.get("jobs"), MAX_JOBS),
        _count(body.get("processed")),
        at if online else None,
        at,
        at if offline else None,
    )
    if not offline:
        release = short(body.get("release"))
        transaction.rows("ingest.worker_release", naming("worker", short(event.id)), at, release)
    for sort, name in (("umbel", short(body.get("version"))), ("app", short(body.get("release")))):
        if online and name:
            transaction.rows("ingest.release", sort, name, at)
    if online and isinstance(tasks := body.get("tasks"), dict):
        _signatures(transaction, naming, cast("dict[str, Any]", tasks))


def _signatures(transaction: Transaction, naming: Naming, tasks: dict[str, Any]) -> None:
    known = {short(name): _parameters(names) for name, names in tasks.items() if short(name)}
    naming.prepare("task", known)
    for name, parameters in sorted(known.items()):
        transaction.rows("ingest.signature", naming("task", name), msgspec.json.encode(parameters).decode())


def _parameters(names: Any) -> list[str]:
    found: list[Any] = [*names] if isinstance(names, list | tuple) else []
    return [short(each) for each in found[:MAX_PARAMETERS]]


def _count(value: Any) -> int | None:
    found = number(value, -1)
    return found if found >= 0 else None


def _json(value: Any, most: int) -> str | None:
    if value is None:
        return None
    try:
        told = msgspec.json.encode(value, enc_hook=str).decode()
    except (TypeError, ValueError, UnicodeError):
        return None
    return text(told, most)
