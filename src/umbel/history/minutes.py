"""Minutes: between which seqs the jobs are that were sent within a minute, so that a time bounds a search."""

from __future__ import annotations

from collections.abc import Iterable

from umbel.contracts.history import Transaction


def note(transaction: Transaction, sent: Iterable[tuple[float, int]]) -> None:
    """Note when jobs were *sent*, each with its seq."""
    minutes: dict[int, list[int]] = {}
    for at, seq in sent:
        minutes.setdefault(int(at) // 60 * 60, []).append(seq)
    for minute, seqs in sorted(minutes.items()):
        transaction.rows("ingest.minute", minute, min(seqs), max(seqs))
