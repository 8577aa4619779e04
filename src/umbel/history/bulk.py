"""Bulk actions: what is noted of an action on all jobs that match: to watch it, to stop it, to go on with it.

Who carries one out takes it, walks the jobs down from the cutoff, and notes each step. When it dies, its lease ends and
another one goes on at the cursor; jobs of the last step are then met twice, so what is done to a job must do no more
when done twice: a job that is sent again has an id made of the action's and its own.
"""

from __future__ import annotations

from typing import Any, Final

from umbel.contracts.history import Transaction
from umbel.history.bounds import short, text
from umbel.history.views import Bulk, Order

LEASE_SECONDS: Final = 30.0
"""For how long who has taken a step keeps others off; a step must take less."""
MAX_SHOWN: Final = 1_000
MAX_FILTER: Final = 2_048
MAX_OPTIONS: Final = 4_096
MAX_TROUBLE: Final = 1_024


def begin(transaction: Transaction, order: Order, now: float) -> Bulk:
    """Note that *order* is to be carried out; one that was asked for before is answered as it is."""
    transaction.rows(
        "acting.begin",
        order.id,
        short(order.what),
        text(order.filter, MAX_FILTER) or "",
        text(order.options, MAX_OPTIONS) or "",
        order.cutoff,
        order.at,
        short(order.who),
        short(order.origin),
        now,
        order.total,
        int(order.capped),
    )
    found = one(transaction, order.id)
    assert found is not None  # noqa: S101 - for type checkers
    return found


def loose(transaction: Transaction, now: float) -> str | None:
    """The id of the oldest action that is to be carried out, and that nobody does; None if there is none."""
    found = transaction.rows("acting.loose", now)
    return str(found[0][0]) if found else None


def take(transaction: Transaction, bulk_id: str, holder: str, now: float) -> Bulk | None:
    """Let *holder* carry *bulk_id* out; None if it has ended, or somebody else does."""
    taken = transaction.rows("acting.take", bulk_id, holder, now + LEASE_SECONDS, now)
    return one(transaction, bulk_id) if taken else None


def step(transaction: Transaction, bulk_id: str, holder: str, moved: tuple[int, int, int | None], now: float) -> bool:
    """Note that *holder* has *moved*: (done, failed, cursor); answers whether it goes on."""
    done, failed, cursor = moved
    if transaction.rows("acting.step", bulk_id, holder, now + LEASE_SECONDS, done, failed, cursor):
        return True
    transaction.rows("acting.late_step", bulk_id, holder, done, failed)
    return False


def end(transaction: Transaction, bulk_id: str, holder: str, trouble: str, now: float) -> None:
    """Note that *holder* has come to the end, or cannot go on because of *trouble*."""
    state = "failed" if trouble else "done"
    transaction.rows("acting.end", bulk_id, holder, state, text(trouble, MAX_TROUBLE) or "", now)


def one(transaction: Transaction, bulk_id: str) -> Bulk | None:
    """The action *bulk_id*."""
    rows = transaction.rows("acting.bulk", bulk_id)
    return _bulk(rows[0]) if rows else None


def newest(transaction: Transaction, before: float, limit: int) -> list[Bulk]:
    """Actions that were started before a moment, the newest first."""
    return [_bulk(row) for row in transaction.rows("acting.bulks", before, min(limit, MAX_SHOWN))]


def _bulk(row: tuple[Any, ...]) -> Bulk:
    found: dict[str, Any] = dict(zip(Bulk.__struct_fields__, row, strict=True))
    found["capped"] = bool(found["capped"])
    return Bulk(**found)
