"""Ageing of priorities: jobs that nobody took for long rise by one level. No I/O here."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Final

from umbel.engines.operation import Operation
from umbel.engines.postgres_command import Command, Statements
from umbel.model.ageing import MOST_RAISED

AGEING: Final = 0x756D6261
"""The class of the advisory locks of queues that are aged: "umba" in ASCII."""
SQL: Final = Statements("umbel.brokers.postgres.queries", "age", "heartbeat")


def age(queues: Sequence[str], seconds: float, now: str | None) -> Operation[Command, Counter[str]]:
    """Let jobs of *queues* rise of whose level none was taken for *seconds*, queue by queue. Answers how many."""
    raised = Counter[str]()
    for queue in queues:
        replies = yield [
            SQL("heartbeat.relax"),
            SQL("age.lock", str(AGEING), str(zlib.crc32(queue.encode()) - 2**31)),
            SQL("age.rise", queue, str(seconds), str(MOST_RAISED), now),
            SQL("age.keep", queue, now),
        ]
        raised[queue] = replies[2][0][0]
    return +raised
