"""What the suites of the history stand on: a history over an empty database, a clock, and what happens in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from umbel.contracts.history import Archive, Transaction
from umbel.history import History
from umbel.model.event import Batch, Event, Kind, Tally

NOW = 1_800_000_000.0
PATIENT_SECONDS = 60.0
"""How long a read may take: here nobody asks."""
ROWS = (
    "job",
    "job_body",
    "job_result",
    "attempt",
    "arg",
    "error",
    "error_minute",
    "rollup",
    "minute",
    "flow",
    "schedule_run",
    "gap",
    "error_hour",
    "flow_count",
)
FREE = {"seq", "last_seq", "change", "heard", "first", "last", "seen", "pairs", "path_id", "id", "task_id", "queue_id",
        "worker_id", "error_id"}  # fmt: skip
"""Columns that depend on what came first."""


FILTERS = {
    "": "dcba",
    "state:failed": "b",
    "state:failed,succeeded": "ba",
    "state:FAILURE": "b",
    "-state:failed": "dca",
    "state!=failed,succeeded": "dc",
    "task:shop.buy": "dba",
    "task:mail.*": "c",
    "task:*l.send": "c",
    "task:*a*": "c",
    "task:none": "",
    "queue:orders state:queued": "d",
    "worker:w": "ba",
    "error:ValueError": "b",
    "error:*Error -task:mail.*": "b",
    "group:1": "b",
    "flow:f1": "c",
    "root:r": "c",
    "parent:p": "c",
    "id:a,d": "da",
    "priority>=5": "c",
    "priority:9": "c",
    "retries:0": "dca",
    "retries>0": "b",
    "attempt:2": "b",
    "run>1s": "b",
    "run<1s": "a",
    "run>=500ms run<=2s": "ba",
    "wait<250ms": "a",
    "arg.lang:de": "ca",
    "kwargs.lang:de": "ca",
    "arg.lang:de,en": "dca",
    "arg.lang:de arg.user.id:42": "a",
    'arg.user.id:"42"': "c",
    "arg.n:1.5": "d",
    "arg.flag:true": "d",
    "arg.none:null": "d",
    "args.0:7": "b",
    "arg.id:7": "b",
    "header.tenant:acme": "b",
    "-arg.lang:de state:queued": "d",
    "arg.lang!=de": "db",
    "has:error": "b",
    "has:result": "ba",
    "has:progress": "c",
    "since:1h": "dcb",
    "until:1h": "a",
    "since:3h until:1h": "a",
    "finished:1m": "ba",
    "started<2027-01-15T08:00:01": "ba",
    "state:failed OR arg.lang:en": "db",
    "(state:failed OR arg.lang:en) -task:shop.buy": "",
    "NOT (state:failed OR state:succeeded)": "dc",
    '"acme corp"': "b",
    "mail": "c",
    "valueerror": "b",
    '"no such text"': "",
}
"""Filters, and which of the four jobs they find."""


class Clock:
    """The time of a test."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def event(kind: Kind, subject: str, attempt: int = 0, at: float = NOW, **body: Any) -> Event:
    """An event of *subject*, a job of the task shop.buy in the queue orders."""
    task, queue, envelope = body.pop("task", "shop.buy"), body.pop("queue", "orders"), body.pop("envelope", b"")
    return Event(kind, at, subject, task, queue, attempt, body, envelope)


def batch(number: int, *events: Event, source: str = "s", worker: str = "", tallies: Sequence[Tally] = ()) -> Batch:
    """A batch of *source*."""
    return Batch(source, number, NOW, events, tuple(tallies), worker=worker)


def life(job: str, fails: int = 1, *, ends: Kind = "task-succeeded") -> list[Event]:
    """A job that fails some times, and then ends."""
    found = [event("task-sent", job, args="[1]", kwargs='{"lang":"de"}', envelope=b"bytes of " + job.encode())]
    for attempt in range(1, fails + 1):
        found.append(event("task-started", job, attempt, NOW + attempt, wait=0.5))
        found.append(event("task-retried", job, attempt, NOW + attempt + 0.5, run=0.5, error="ValueError",
                           message=f"no {attempt}", eta=NOW + attempt + 1))  # fmt: skip
    last = fails + 1
    found.append(event("task-started", job, last, NOW + last))
    found.append(event(ends, job, last, NOW + last + 0.25, run=0.25, result="42"))
    return found


class HistoryStage:
    """The hook is `make`, over what is empty."""

    archive: Archive
    history: History
    clock: Clock

    def make(self) -> Archive:
        """A client of the database under test."""
        raise NotImplementedError

    def plans(self, transaction: Transaction, text: str, values: Sequence[object]) -> str:
        """How the database would carry out a statement."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _stage(self) -> Iterator[None]:
        self.clock = Clock()
        self.archive = self.make()
        self.history = History(self.archive, self.clock)
        yield
        self.history.close()

    def write(self, *batches: Batch) -> int:
        """Ingest *batches*; answers how many were new."""
        return self.history.ingest(batches).batches

    def ids(self, text: str = "", **given: Any) -> list[str]:
        """The ids of the jobs that a filter matches."""
        return [row.id for row in self.history.jobs(text, **given).rows]

    # --- hands

    def _four_jobs(self) -> None:
        """Four jobs: a has succeeded, b has failed twice, c is queued in a flow, d is queued."""
        early = NOW - 7_200
        self.write(batch(1, event("worker-online", "w", tasks={"shop.buy": ["id", "more"]})))
        self.write(
            batch(
                2,
                event("task-sent", "a", at=early, kwargs='{"lang":"de","user":{"id":42}}', envelope=b"bytes of a"),
                event("task-succeeded", "a", 1, NOW, run=0.5, wait=0.1, result='"fine"'),
                event("task-sent", "b", at=NOW - 60, args="[7]", headers='{"tenant":"acme"}'),
                event("task-retried", "b", 1, NOW, run=1.0, wait=0.5, error="ValueError", message="no 1"),
                event("task-failed", "b", 2, NOW, run=2.0, error="ValueError", message="no 2", result='"acme corp"'),
                worker="w",
            )
        )
        self.write(
            batch(
                3,
                event("task-sent", "c", task="mail.send", queue="mails", flow="f1", root="r", parent="p", priority=9,
                      kwargs='{"lang":"de","user":{"id":"42"}}'),
                event("task-progress", "c", 0, state="PROGRESS", meta='{"done":1}', task="mail.send", queue="mails"),
                event("task-sent", "d", kwargs='{"lang":"en","n":1.5,"flag":true,"none":null}'),
            )
        )  # fmt: skip

    def _gaps(self) -> list[Any]:
        return sorted(self.history.standing().gaps, key=lambda gap: gap.first)

    def _contents(self) -> dict[str, list[dict[str, Any]]]:
        """All rows, without what depends on what came first."""
        return self.archive.read(lambda step: {table: self._table(step, table) for table in ROWS}, PATIENT_SECONDS)

    def _table(self, transaction: Transaction, table: str) -> list[dict[str, Any]]:
        names = self.columns(transaction, table)
        free = FREE - {"id"} if table in ("job", "flow") else FREE
        rows = transaction.ask(f"select * from {table}", ())  # noqa: S608 - one of ROWS
        found = [{name: each for name, each in zip(names, row, strict=True) if name not in free} for row in rows]
        return sorted(found, key=repr)

    def columns(self, transaction: Transaction, table: str) -> list[str]:
        """The columns of *table*, in their order."""
        raise NotImplementedError

    def _empty(self) -> None:
        """Delete everything."""
        raise NotImplementedError
