"""Pages of the jobs of one place, as a reading step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from umbel.brokers.sqlite.operations import DOOMS
from umbel.contracts.jobs import Listed
from umbel.engines.sqlite_file import Connection
from umbel.engines.statements import statements
from umbel.model.job import Counts
from umbel.states import Place

LISTING: Final = statements("umbel.brokers.sqlite.queries", "listing.sql")


class _List(NamedTuple):
    """How the cursors of one place look: their parts, and before the first job."""

    parts: tuple[Callable[[str], int | str], ...]
    start: str


_LISTS: Final[dict[Place, _List]] = {
    "ready": _List((int, int, int), "-1:0:0"),
    "delayed": _List((int, int), "-1:0"),
    "held": _List((int, int, int, int, int), "-1:0:0:0:0"),
    "running": _List((int, int), "-1:0"),
    "parked": _List((int, str), "0:"),
    "dead": _List((int, int), "-1:0"),
}


def check(place: Place) -> None:
    """Raise `ValueError` for a *place* of which there is no list."""
    if place not in _LISTS:
        raise ValueError(f"no list is kept of jobs that are {place}")


def page(connection: Connection, queue: str, place: Place, after: str, limit: int) -> list[Listed]:
    """Up to *limit* jobs of *place* behind the cursor *after*."""
    parts, start = _LISTS[place]
    words = (after or start).split(":", len(parts) - 1)
    begin = [part(word) for part, word in zip(parts, words, strict=True)]
    return [_listed(queue, place, *row) for row in connection.execute(LISTING[place], (queue, limit, *begin))]


def _listed(queue: str, place: Place, job_id: str, level: int, envelope: bytes, *rest: Any) -> Listed:
    retries, crashes, losses, marked, doom, note, due, session, task, cursor = rest
    counts = Counts(retries, crashes, losses, bool(marked), DOOMS[doom])
    at = None if due is None else due / 1000
    return Listed(job_id, queue, place, level, envelope, cursor, counts, at, session, note or b"", task)
