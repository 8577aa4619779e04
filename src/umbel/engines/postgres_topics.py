"""Topics one can wait for, and how they are told: a queue that has work, ids of jobs that have ended, a box. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from umbel.engines.postgres_command import Query
from umbel.engines.postgres_connection import SQL
from umbel.engines.postgres_values import plain, texts

LOCK_CLASS: Final = 0x756D626C
"""The class of the advisory locks: "umbl" in ASCII."""
RESULTS: Final = "r"
_WORK: Final = "w"
_MAIL: Final = "m"
EVERYBODY: Final = 1_000_000
"""More than will ever wait."""
_MAX_PAYLOAD: Final = 7900
"""PostgreSQL refuses more than 7,999 bytes."""


def work(queue: str) -> str:
    """The topic of those who wait for a job of *queue*; also what they are told."""
    return _WORK + queue


def result(job_id: str) -> str:
    """What is told of a job that has ended, beside others."""
    return RESULTS + job_id


def mail(box: str) -> str:
    """The topic of those who wait for a message in *box*; also what they are told."""
    return _MAIL + box


def is_work(key: str) -> bool:
    """Whether one of those who wait for *key* is told, not all of them."""
    return key.startswith(_WORK)


def topic_of(key: str) -> str:
    """The topic to which somebody belongs who waits for *key*: all results are one."""
    return RESULTS if key.startswith(RESULTS) else key


def number(topic: str) -> int:
    """The number of the topic's lock. Two topics with the same one wake each other, which does no harm."""
    return zlib.crc32(topic.encode()) - 2**31


def ring(queues: Mapping[str, int], ended: Sequence[str] = (), without: str = "", box: str | None = None) -> Query:
    """The statement that wakes waiters: of each queue at most as many as it has new jobs, of the others all."""
    told = [(number(work(queue)), work(queue), count) for queue, count in queues.items()]
    told += [(number(RESULTS), payload, EVERYBODY) for payload in _payloads(ended)]
    told += [] if box is None else [(number(mail(box)), mail(box), EVERYBODY)]
    topics, payloads, counts = zip(*told, strict=True)
    return SQL("postgres_waking.ring", str(LOCK_CLASS), plain(topics), texts(payloads), plain(counts), without)


def keys_in(payload: str) -> list[str]:
    """The keys that *payload* tells."""
    if payload.startswith(RESULTS):
        return [result(job_id) for job_id in payload[len(RESULTS) :].split("\n")]
    return [payload]


def _payloads(ended: Sequence[str]) -> Iterator[str]:
    part: list[str] = []
    size = len(RESULTS)
    for job_id in ended:
        if size + len(job_id) + 1 > _MAX_PAYLOAD:
            yield RESULTS + "\n".join(part)
            part, size = [], len(RESULTS)
        part.append(job_id)
        size += len(job_id) + 1
    if part:
        yield RESULTS + "\n".join(part)
