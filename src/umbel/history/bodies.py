"""Bodies: what of a job stands apart from its row, and the index of arguments that it is found by."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from umbel.contracts.history import Transaction
from umbel.history.arguments import hashed, leaves
from umbel.history.envelopes import packed
from umbel.history.names import Naming

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


def save(transaction: Transaction, naming: Naming, bodies: Sequence[Body], known: int) -> None:
    """Write *bodies*, each of another job; those above the seq *known* are of new jobs."""
    pairs = _index(transaction, naming, [body for body in bodies if body.has_arguments])
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


def _index(transaction: Transaction, naming: Naming, bodies: Collection[Body]) -> dict[int, list[tuple[int, int]]]:
    """The numbers of paths and values by which each of *bodies* is found, by seq."""
    if not bodies:
        return {}
    known = transaction.among("ingest.signatures", sorted({body.task for body in bodies}))
    names = {int(task): msgspec.json.decode(parameters, type=list[str]) for task, parameters in known}
    found = {body.seq: leaves(body.args, body.kwargs, body.headers, names.get(body.task, ())) for body in bodies}
    paths = set[str]().union(*found.values())
    naming.prepare("path", paths)
    numbers = {path: naming("path", path) for path in paths}
    return {seq: [(numbers[path], hashed(value)) for path, value in told.items()] for seq, told in found.items()}
