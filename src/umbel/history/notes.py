"""Notes: what recorders keep in the history about their own work."""

from __future__ import annotations

from typing import Final

from umbel.contracts.history import Transaction
from umbel.history.boards import gaps
from umbel.history.views import Standing

CURSOR: Final = "cursor"
"""Where the next batch of the event log is; with the log's own name after a colon."""
RECORDED: Final = "recorded"
LAG: Final = "lag"
TROUBLE: Final = "trouble"
PROBED: Final = "probed"
"""When somebody tried last whether the history can be written."""


class Notes:
    """The notes, within one transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def get(self, key: str) -> str:
        """The note *key*, empty if there is none."""
        found = self._transaction.rows("ingest.meta", key)
        return str(found[0][0]) if found else ""

    def put(self, key: str, value: str) -> None:
        """Write the note *key*."""
        self._transaction.rows("ingest.put_meta", key, value)

    def standing(self, now: float, size: int) -> Standing:
        """How the history is."""
        ((seq,),) = self._transaction.rows("reading.counter", "seq")
        ((change,),) = self._transaction.rows("reading.counter", "change")
        ((dropped,),) = self._transaction.rows("reading.dropped")
        recorded, lag = self.get(RECORDED), self.get(LAG)
        return Standing(
            seq=int(seq),
            change=int(change),
            bytes=size,
            gaps=gaps(self._transaction, now),
            dropped=int(dropped),
            recorded=float(recorded) if recorded else None,
            lag=float(lag) if lag else None,
            trouble=self.get(TROUBLE),
        )
