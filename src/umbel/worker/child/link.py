"""Link: what ties a child to its engines."""

from __future__ import annotations

import msgspec

from umbel.contracts.broker import Broker
from umbel.worker.child.ledger import Ledger


class Link(msgspec.Struct, frozen=True, gc=False):
    """The broker a child receives from, under which session, from which queues; and where its records go."""

    broker: Broker
    ledger: Ledger
    session: str
    queues: tuple[str, ...]
