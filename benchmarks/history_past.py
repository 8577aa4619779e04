"""A past for the history: a million jobs of the last seven days, the same ones each time, straight into the tables."""

from __future__ import annotations

import random
import time
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any, Final

import msgspec
import psycopg

from umbel.contracts.history import Archive, Transaction
from umbel.history.archives import archive_at
from umbel.history.arguments import hashed
from umbel.history.counters import Counters
from umbel.history.envelopes import ZLIB_LEVEL
from umbel.history.histogram import packed
from umbel.history.names import Names, Naming
from umbel.history.states import CODES
from umbel.settings import Settings

TASKS: Final = 400
QUEUES: Final = 50
WORKERS: Final = 20
GROUPS: Final = 40
CHUNK: Final = 10_000
DAYS: Final = 7
TEXT: Final = "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore " * 4
STATES: Final = (
    ("succeeded",) * 960 + ("failed",) * 15 + ("dead",) * 5 + ("cancelled",) * 10 + ("running", "queued") * 5
)
POSTGRESQL: Final = "postgresql"
_INDEXES: Final = """
select c.relname::text, t.relname::text, pg_get_indexdef(c.oid), n.conname::text, pg_get_constraintdef(n.oid)
from pg_index i join pg_class c on c.oid = i.indexrelid join pg_class t on t.oid = i.indrelid
left join pg_constraint n on n.conindid = c.oid
where t.relnamespace = to_regnamespace('umbel_history') and t.relname in ('job', 'job_body', 'job_result', 'arg')
"""
_SQLITE_INDEXES: Final = """
select name, sql from sqlite_master
where type = 'index' and sql is not null and tbl_name in ('job', 'job_body', 'job_result', 'arg')
"""
_hashed: Final = lru_cache(maxsize=200_000)(hashed)


def fill(url: str, jobs: int) -> float:
    """Fill the history at *url* with *jobs* unless it has as many; answers the seconds that took."""
    start = time.monotonic()
    archive = archive_at(url, Settings())
    archive.write(lambda _: None)
    if _top(archive) < jobs:
        with _without_indexes(url, archive):
            Past(jobs).fill(archive)
    archive.close()
    return time.monotonic() - start


def _top(archive: Archive) -> int:
    ((top,),) = archive.read(lambda step: step.rows("search.top"), 10.0)
    return int(top)


@contextmanager
def _without_indexes(url: str, archive: Archive) -> Generator[None]:
    """Make the indexes anew afterwards: in a fraction of the time."""
    if not url.startswith(POSTGRESQL):
        found = archive.write(lambda step: step.ask(_SQLITE_INDEXES, ()))
        for name, _ in found:
            archive.write(partial(_told, f"drop index {name}"))
        yield
        for _, text in found:
            archive.write(partial(_told, text))
        return
    with psycopg.connect(url, autocommit=True) as line:
        line.execute("set search_path to umbel_history; set maintenance_work_mem = '256MB'")
        indexes = line.execute(_INDEXES.encode()).fetchall()
        for index, table, _, constraint, _ in indexes:
            drop = f"alter table {table} drop constraint {constraint}" if constraint else f"drop index {index}"
            line.execute(drop.encode())
        yield
        for _, table, text, constraint, rule in indexes:
            make = f"alter table {table} add constraint {constraint} {rule}" if constraint else text
            line.execute(make.encode())
        line.execute("vacuum (analyze)")  # as autovacuum would have done within a week
        line.execute("checkpoint")


def _told(text: str, step: Transaction) -> None:
    step.ask(text, ())


class Past:
    """Makes *jobs* jobs, for each *seed* the same ones."""

    def __init__(self, jobs: int, seed: int = 6) -> None:
        self._jobs = jobs
        self._chance = random.Random(seed)
        self._end = time.time()
        self._envelopes = [zlib.compress(self._chance.randbytes(250), ZLIB_LEVEL) for _ in range(500)]

    def fill(self, archive: Archive) -> None:
        """Write them into *archive*, which is empty."""
        names = archive.write(self._named)
        for start in range(0, self._jobs, CHUNK):
            archive.write(partial(self._chunk, names, start))
        archive.write(lambda transaction: self._figures(transaction, names))

    def _named(self, transaction: Transaction) -> dict[str, list[int]]:
        counters = Counters(transaction)
        naming = Naming(transaction, Names(), counters)
        found: dict[str, list[int]] = {}
        for sort, count in (("task", TASKS), ("queue", QUEUES), ("worker", WORKERS), ("path", 5)):
            words = [f"{sort}.{number}" for number in range(count)]
            if sort == "path":
                words = ["arg.user.id", "arg.lang", "arg.total", "args.0", "arg.text"]
            naming.prepare(sort, words)  # type: ignore[arg-type]
            found[sort] = [naming(sort, word) for word in words]  # type: ignore[arg-type]
        for number in counters.take("error", GROUPS):
            kind = f"shop.Error{number}"
            transaction.rows("ingest.error", number, f"print{number}", kind, "no <n>", "a.py:f", self._end)
        counters.save()
        return found

    def _chunk(self, names: dict[str, list[int]], start: int, transaction: Transaction) -> None:
        counters = Counters(transaction)
        count = min(CHUNK, self._jobs - start)
        seqs, changes = counters.take("seq", count), counters.take("change", count)
        rows, bodies, results, found = [], [], [], []
        minutes: dict[int, list[int]] = {}
        for seq, change in zip(seqs, changes, strict=True):
            sent = self._end - DAYS * 86_400 * (1 - seq / self._jobs)
            row, body, pairs = self._job(names, seq, change, sent)
            rows.append(row)
            bodies.append(body)
            results.append((seq, "null"))
            found += [(path, value, seq) for path, value in pairs]
            minutes.setdefault(int(sent) // 60 * 60, []).append(seq)
        transaction.many("ingest.new_jobs", rows)
        transaction.many("ingest.new_bodies", bodies)
        transaction.many("ingest.new_results", results)
        transaction.many("ingest.new_args", sorted(found))
        for minute, each in minutes.items():
            transaction.rows("ingest.minute", minute, each[0], each[-1])
        counters.save()

    def _job(self, names: dict[str, list[int]], seq: int, change: int, sent: float) -> tuple[Any, Any, Any]:
        some = self._chance.random
        state = STATES[int(some() * len(STATES))]
        user, lang, total = int(some() * 100_000), ("de", "en", "fr", "es")[int(some() * 4)], int(some() * 10_000)
        path = names["path"]
        pairs = [
            (path[0], _hashed(user)), (path[1], _hashed(lang)), (path[2], _hashed(total)), (path[3], hashed(seq)),
            (path[4], _hashed(f"text {int(some() * 1_000)}")),
        ]  # fmt: skip
        ended, failed = state not in ("running", "queued"), state in ("failed", "dead")
        wait, run = some() * 0.4, some()
        row = (
            seq, _id(sent, self._chance.getrandbits(80)),
            *(names[sort][int(some() * len(names[sort]))] for sort in ("task", "queue", "worker")), 1, CODES[state],
            2 if ended else 0, 1, 9 if ended else 2, sent, 0, 0, sent, 1, None, None, sent + wait,
            sent + wait + run if ended else None, round(wait * 1000), round(run * 1000) if ended else None,
            1 + int(some() * (GROUPS - 1)) if failed else None, 1 if failed else -1,
            f"flow{seq // 100}" if seq % 20 == 0 else None, None, None, None, None, None, None,
            self._end, change, 0, None,
        )  # fmt: skip
        kwargs = f'{{"user":{{"id":{user}}},"lang":"{lang}","total":{total},"text":"{TEXT[:400]}"}}'
        envelope = self._envelopes[seq % len(self._envelopes)]
        return row, (seq, 1, envelope, f"[{seq}]", kwargs, None, msgspec.msgpack.encode(pairs)), pairs

    def _figures(self, transaction: Transaction, names: dict[str, list[int]]) -> None:
        histogram = packed(dict.fromkeys(range(20, 60), 5))
        for span, count in ((10, 360), (60, 1_440), (3_600, 168), (86_400, 8)):
            rows = [
                (span, task, 0, int(self._end) // span * span - span * back, 9, 8, 1, 0, 0, 0, histogram, histogram)
                for back in range(count)
                for task in (0, *names["task"][: 400 if span >= 3_600 else 20])
            ]
            transaction.many("ingest.put_rollups", rows)
        for back in range(1_440):
            for group in range(1, 10):
                minute = int(self._end) // 60 * 60 - 60 * back
                transaction.rows("ingest.error_minute", minute, group, 2)
                transaction.rows("ingest.error_hour", minute // 3_600 * 3_600, group, 2)
        for queue in (0, *names["queue"]):  # 0 stands for all
            for back in range(360):
                bucket = int(self._end) // 10 * 10 - 10 * back
                transaction.rows("ingest.queue_sample", queue, bucket, back, 1, 1, 0, 0, 0, 500, 0)


def _id(sent: float, chance: int) -> str:
    """An id as jobs have them: they sort by the moment."""
    digits = f"{int(sent * 1000):012x}{chance:020x}"
    return f"{digits[:8]}-{digits[8:12]}-7{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"
