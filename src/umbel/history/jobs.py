"""Jobs as they are shown: pages, facets, and one job."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from umbel.contracts.history import Transaction
from umbel.history.clauses import Meaning, Reading
from umbel.history.envelopes import unpacked
from umbel.history.grammar import parse
from umbel.history.labels import Labels
from umbel.history.search import Found, bounds, count, search
from umbel.history.states import name_of
from umbel.history.views import Attempt, Count, Facets, JobDetail, JobPage, JobRow, Relative

MAX_PAGE: Final = 1_000
MAX_COUNTED: Final = 10_000
MAX_RELATIVES: Final = 50
SUMMARY_CHARACTERS: Final = 200


class Asked(msgspec.Struct, frozen=True):
    """A filter as text, at the moment *now*."""

    text: str
    now: float

    def meaning(self, transaction: Transaction) -> Meaning:
        """What it means. Raises `FilterError`."""
        return Reading(transaction, self.text, self.now).meaning(parse(self.text))


def page(
    transaction: Transaction, labels: Labels, asked: Asked, limit: int, before: int | None, upto: int | None
) -> JobPage:
    """Up to *limit* jobs; see `History.jobs`."""
    meaning = asked.meaning(transaction)
    found = search(transaction, meaning, bounds(transaction, meaning, before, upto), min(limit, MAX_PAGE))
    rows = job_rows(transaction, labels, found.rows)
    return JobPage(rows, found.go_on, found.compared_all, _counter(transaction, "seq"), _counter(transaction, "change"))


def facets(transaction: Transaction, labels: Labels, asked: Asked) -> Facets:
    """Counts of what *asked* matches, of its newest 10,000."""
    meaning = asked.meaning(transaction)
    found: Found = search(transaction, meaning, bounds(transaction, meaning, None, None), MAX_COUNTED, "dimensions")
    states = Counter(state for _, state, _, _ in found.rows)
    tasks = Counter(task for _, _, task, _ in found.rows)
    queues = Counter(queue for _, _, _, queue in found.rows)
    names = labels.names(transaction, {*tasks, *queues})
    return Facets(
        total=len(found.rows),
        capped=found.go_on is not None,
        states={name_of(state): count for state, count in states.most_common()},
        tasks={names[task]: count for task, count in tasks.most_common()},
        queues={names[queue]: count for queue, count in queues.most_common()},
    )


def counted(transaction: Transaction, asked: Asked, upto: int | None, most: int) -> Count:
    """How many jobs *asked* matches, up to the seq *upto*; see `History.count`."""
    top = _counter(transaction, "seq") if upto is None else upto
    meaning = asked.meaning(transaction)
    n, capped = count(transaction, meaning, bounds(transaction, meaning, None, top), most)
    return Count(n, capped, top, asked.now)


def detail(transaction: Transaction, labels: Labels, job_id: str) -> JobDetail | None:
    """All of one job."""
    found = transaction.rows("reading.job", job_id)
    if not found:
        return None
    *row, _, expires, root, parent, schedule, heard = found[0]
    job = job_rows(transaction, labels, [tuple(row)])[0]
    args, kwargs, headers, result, resendable = transaction.rows("reading.body", job.seq)[0]
    return JobDetail(
        job=job,
        args=args,
        kwargs=kwargs,
        headers=headers,
        result=result,
        resendable=bool(resendable),
        expires=expires,
        root=root,
        parent_id=parent,
        schedule=schedule,
        heard=heard,
        attempts=attempts(transaction, labels, job.seq),
        parent=_one(transaction, labels, parent),
        children=_relatives(transaction, labels, transaction.rows("reading.children", job_id, MAX_RELATIVES)),
        origin=_one(transaction, labels, job.retry_of),
        retries=_relatives(transaction, labels, transaction.rows("reading.retries", job_id, MAX_RELATIVES)),
    )


def envelope(transaction: Transaction, job_id: str) -> bytes | None:
    """The exact bytes with which the job can be sent again, if they are kept."""
    found = transaction.rows("reading.envelope", job_id)
    return unpacked(found[0][0]) if found and found[0][0] is not None else None


def envelopes(transaction: Transaction, ids: Sequence[str]) -> dict[str, bytes]:
    """The same for many; those of which they are not kept are left out."""
    found = transaction.among("reading.envelopes", ids) if ids else []
    return {str(job_id): unpacked(kept) for job_id, kept in found}


def job_rows(transaction: Transaction, labels: Labels, rows: Sequence[tuple[Any, ...]]) -> tuple[JobRow, ...]:
    """Rows of jobs with their names, and the beginnings of their arguments."""
    if not rows:
        return ()
    names = labels.names(transaction, {number for row in rows for number in row[2:5]})
    groups = labels.groups(transaction, (row[15] for row in rows))
    found = transaction.among("reading.bodies", [row[0] for row in rows], SUMMARY_CHARACTERS)
    bodies = {seq: (args or "", kwargs or "") for seq, args, kwargs in found}
    return tuple(_job(row, names, groups, bodies.get(row[0], ("", ""))) for row in rows)


def _job(
    row: tuple[Any, ...], names: dict[int, str], groups: dict[int | None, tuple[str, str]], body: tuple[str, str]
) -> JobRow:
    error, error_text = groups.get(row[15], ("", ""))
    return JobRow(
        seq=row[0],
        id=row[1],
        task=names[row[2]],
        queue=names[row[3]],
        worker=names[row[4]],
        state=name_of(row[5]),
        attempt=row[6],
        crashes=row[7],
        priority=row[8],
        sent=row[9],
        eta=row[10],
        started=row[11],
        finished=row[12],
        wait=seconds(row[13]),
        run=seconds(row[14]),
        group=row[15],
        error=error,
        error_text=error_text,
        flow=row[16],
        retry_of=row[17],
        progress=msgspec.json.decode(row[18], type=tuple[str, str]) if row[18] else None,
        change=row[19],
        args=body[0],
        kwargs=body[1],
    )


def attempts(transaction: Transaction, labels: Labels, seq: int) -> tuple[Attempt, ...]:
    """The attempts of one job that say more than its row."""
    rows = transaction.rows("reading.attempts", seq)
    names = labels.names(transaction, {row[3] for row in rows})
    return tuple(
        Attempt(
            number=number,
            state=name_of(state),
            finished=at,
            worker=names[worker],
            run=seconds(run),
            wait=seconds(wait),
            group=group,
            error=error or "",
            message=message or "",
            traceback=zlib.decompress(traceback).decode(errors="replace") if traceback else "",
        )
        for number, state, at, worker, run, wait, group, error, message, traceback in rows
    )


def _relatives(transaction: Transaction, labels: Labels, rows: Iterable[tuple[Any, ...]]) -> tuple[Relative, ...]:
    found = list(rows)
    names = labels.names(transaction, {task for _, task, _ in found})
    return tuple(Relative(job_id, names[task], name_of(state)) for job_id, task, state in found)


def _one(transaction: Transaction, labels: Labels, job_id: str | None) -> Relative | None:
    found = _relatives(transaction, labels, transaction.rows("reading.relative", job_id)) if job_id else ()
    return found[0] if found else None


def _counter(transaction: Transaction, name: str) -> int:
    ((value,),) = transaction.rows("reading.counter", name)
    return int(value)


def seconds(milliseconds: int | None) -> float | None:
    """Milliseconds as seconds."""
    return None if milliseconds is None else milliseconds / 1000
