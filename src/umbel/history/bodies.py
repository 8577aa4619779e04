"""Bodies: what of a job stands apart from its row, and the index of arguments that it is found by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from umbel.contracts.history import Transaction
from umbel.history.arguments import hashed, leaves
from umbel.history.envelopes import packed
from umbel.history.names import Naming

Pairs: TypeAlias = dict[int, list[tuple[int, int]]]
"""By seq the paths and values that a job is found by, as numbers."""
_NONE: Final = (None, "[]", "{}")


class Body(NamedTuple):
    """What was told when the job *seq* of *task* was sent; the texts are JSON."""

    seq: int
    task: int
    attempt: int
    envelope: bytes | None
    args: str | None
    kwargs: str | None
    headers: str | None

    @property
    def has_arguments(self) -> bool:
        """Whether there is something to find the job by."""
        return self.args not in _NONE or self.kwargs not in _NONE or bool(self.headers)


def save(transaction: Transaction, bodies: Sequence[Body], pairs: Pairs, known: int) -> None:
    """Write *bodies*, each of another job, with their *pairs*; those above the seq *known* are of new jobs."""
    rows = [
        (
            body.seq,
            body.attempt,
            None if body.envelope is None else packed(body.envelope),
            body.args,
            body.kwargs,
            body.headers,
            msgspec.msgpack.encode(found) if (found := pairs.get(body.seq)) else None,
        )
        for body in bodies
    ]
    put(transaction, "bodies", rows, 0, known)
    args = [(path, value, seq) for seq, found in pairs.items() for path, value in found]
    args.sort()
    put(transaction, "args", args, 2, known)


def put(transaction: Transaction, table: str, rows: Sequence[Sequence[Any]], seq: int, known: int) -> None:
    """Write *rows*, whose *seq* is at that place: of a new job nothing can be there, so nothing is looked for."""
    transaction.many(f"ingest.new_{table}", [row for row in rows if row[seq] > known])
    transaction.many(f"ingest.put_{table}", [row for row in rows if row[seq] <= known])


def index(transaction: Transaction, naming: Naming, told: Sequence[Body]) -> Pairs:
    """By what each of *told* is found."""
    bodies = [body for body in told if body.has_arguments]
    if not bodies:
        return {}
    known = transaction.among("ingest.signatures", sorted({body.task for body in bodies}))
    names = {int(task): msgspec.json.decode(parameters, type=list[str]) for task, parameters in known}
    found = {body.seq: leaves(body.args, body.kwargs, body.headers, names.get(body.task, ())) for body in bodies}
    paths = set[str]().union(*found.values())
    naming.prepare("path", paths)
    numbers = {path: naming("path", path) for path in paths}
    return {seq: [(numbers[path], hashed(value)) for path, value in told.items()] for seq, told in found.items()}
