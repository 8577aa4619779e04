"""Results in a SQL database: PostgreSQL, MySQL, MariaDB, or a SQLite file of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, Final

from umbel.contracts.powers import Record
from umbel.engines import sql_health, sql_table
from umbel.engines.sql import Connection, Layout, SqlEngine
from umbel.engines.sql_file import refuse_file
from umbel.model.finding import Finding, apart
from umbel.settings import Settings
from umbel.stores.threaded import ThreadedStore

SETTING: Final = "result_backend"
MAX_IDS: Final = 500
TIDY_ROWS: Final = 1000
TIDY_SECONDS: Final = 60.0

Write = Callable[[Connection, Sequence[sql_table.Row], int], bool]


def connect(url: str, settings: Settings, clock: Callable[[], float] = time.time) -> ThreadedStore:
    """The store at *url*, ``db+postgresql://…`` and so on; opens nothing yet. Raises `ImproperlyConfigured`."""
    deadline, timeout = settings.broker_send_deadline, settings.broker_connection_timeout
    engine = SqlEngine(url, SETTING, deadline, timeout, layout=Layout.of(settings))
    if engine.file is not None:
        refuse_file(engine.file, SETTING, settings)
    return ThreadedStore(SqlShelf(engine, clock), settings.broker_send_deadline)


class SqlShelf:
    """One table of records and claims; *clock* answers unix seconds. All hosts must agree about the time."""

    tidy_seconds: float = TIDY_SECONDS

    def __init__(self, engine: SqlEngine, clock: Callable[[], float] = time.time) -> None:
        self.name = engine.name
        self._engine = engine
        self._clock = clock

    def look(self, ids: Collection[str]) -> dict[str, bytes]:
        """The records of *ids* that are there, in one statement for each few hundred."""
        now = self._now()
        found: dict[str, bytes] = {}
        for some in _portions(ids):
            found |= self._engine.run(partial(sql_table.read, ids=some, now=now))
        return found

    def put(self, records: Sequence[Record]) -> list[bool]:
        """Store records, first wins; one transaction."""
        stored = self._write(records, sql_table.put)
        return [stored.get(record.id) == record.value for record in records]

    def claim(self, claims: Sequence[Record]) -> list[bytes | None]:
        """Claim ids for their owner, or answer their records; one transaction."""
        stored = self._write(claims, sql_table.claim)
        return [stored.get(claim.id) for claim in claims]

    def forget(self, job_id: str) -> None:
        """Delete the record, if there is one."""
        self._engine.run(lambda connection: sql_table.delete(connection, job_id))

    def tidy(self) -> None:
        """Delete what has expired, a few rows at a time, so that no lock is held for long."""
        while self._engine.run(lambda connection: sql_table.clean(connection, self._now(), TIDY_ROWS)) == TIDY_ROWS:
            pass

    def examine(self, *, thorough: bool) -> list[Finding]:
        """How it stands with the database; see `Examiner`."""
        del thorough
        before = time.time()
        state = self._engine.run(sql_health.look)
        told = float(state.told.get("now", before))
        return sql_health.findings(state, told - apart(told, before, time.time()))

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        self._engine.close()

    def _write(self, records: Sequence[Record], write: Write) -> dict[str, bytes | None]:
        """Write the first of each id; answers what is stored afterwards."""
        now = self._now()
        first: dict[str, Record] = {}
        for record in records:
            first.setdefault(record.id, record)
        # In one order for all writers: they wait for each other, and never in a circle.
        rows = [_row(first[job_id], now, write is sql_table.claim) for job_id in sorted(first)]

        def step(connection: Connection) -> dict[str, bytes | None]:
            if write(connection, rows, now):
                return {row["id"]: row["value"] for row in rows}
            return {**sql_table.read(connection, first, now)}

        return self._engine.run(step)

    def _now(self) -> int:
        return int(self._clock() * 1000)


def _row(record: Record, now: int, is_claim: bool) -> dict[str, Any]:
    value = None if is_claim else record.value
    return {"id": record.id, "expires": now + round(record.ttl * 1000), "owner": record.owner, "value": value}


def _portions(ids: Collection[str]) -> Iterator[list[str]]:
    rest = iter(ids)
    while portion := list(islice(rest, MAX_IDS)):
        yield portion
