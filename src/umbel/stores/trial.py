"""A trial of a result store: whether it does what a worker will ask of it, with these settings and rights."""

from __future__ import annotations

import secrets
from typing import Final

from umbel.contracts.powers import Record, ResultStore
from umbel.exceptions import BackendError
from umbel.settings import Settings

_TTL_SECONDS: Final = 60.0


async def try_out(store: ResultStore, settings: Settings) -> None:
    """Write a record, have another one refused, read it, delete it; a large one if those are kept elsewhere.

    Raises `BrokerUnavailable`, or `BackendError` for what the store refuses or gets wrong.
    """
    job_id = f"trial-{secrets.token_hex(8)}"
    queue = settings.task_default_queue
    size = settings.result_inline_max_bytes + 1 if settings.result_object_store else 1
    first, second = (Record(job_id, queue, letter * size, _TTL_SECONDS) for letter in (b"1", b"2"))
    answers = await store.put([first])
    try:
        answers = [*answers, *await store.put([second])]
        found = await store.afetch(job_id, queue)
    finally:
        await store.aforget(job_id, queue)
    if answers != [True, False] or found != first.value:
        raise BackendError("the store did not keep the first of two records: no result would be safe there")
