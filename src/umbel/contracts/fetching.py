"""Many records at once, from any result store: in one round trip where it can, one by one where it cannot."""

from __future__ import annotations

from collections.abc import Sequence

from umbel.contracts.powers import ManyFetcher, ResultStore


def fetch_many(store: ResultStore, job_ids: Sequence[str], queue: str | None) -> list[bytes | None]:
    """The record of each of *job_ids*, or None; *queue* is a hint for all of them."""
    if isinstance(store, ManyFetcher):
        return store.fetch_many(job_ids, queue)
    return [store.fetch(job_id, queue) for job_id in job_ids]


async def afetch_many(store: ResultStore, job_ids: Sequence[str], queue: str | None) -> list[bytes | None]:
    """The async twin of `fetch_many`."""
    if isinstance(store, ManyFetcher):
        return await store.afetch_many(job_ids, queue)
    return [await store.afetch(job_id, queue) for job_id in job_ids]
