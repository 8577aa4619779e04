"""No result store, for a broker that keeps no results itself: nothing is stored, and nothing is found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from umbel.contracts.powers import Record
from umbel.exceptions import BackendError

if TYPE_CHECKING:
    from umbel.settings import Settings


def connect(url: str, settings: Settings) -> Nowhere:
    """The store that is none."""
    del url, settings
    return Nowhere()


class Nowhere:
    """`ResultStore` without results. Waiting for one is refused with the cure."""

    def fetch(self, job_id: str, queue: str | None) -> bytes | None:  # noqa: ARG002 - whatever it is
        """Nothing."""
        return None

    async def afetch(self, job_id: str, queue: str | None) -> bytes | None:  # noqa: ARG002 - whatever it is
        """Nothing."""
        return None

    def watch(self, job_id: str, queue: str | None, timeout: float | None) -> bytes | None:
        """Refuse to wait for what will not come: raises `BackendError`."""
        del queue, timeout
        _refuse(job_id)

    async def awatch(self, job_id: str, queue: str | None, timeout: float | None) -> bytes | None:
        """The async twin of `watch`."""
        del queue, timeout
        _refuse(job_id)

    def forget(self, job_id: str, queue: str | None) -> None:
        """There is nothing to forget."""

    async def aforget(self, job_id: str, queue: str | None) -> None:
        """There is nothing to forget."""

    async def put(self, records: Sequence[Record]) -> list[bool]:
        """Store nothing; whoever sends records here was told so."""
        return [True] * len(records)

    async def claim(self, claims: Sequence[Record]) -> list[bytes | None]:
        """No record is in the way."""
        return [None] * len(claims)

    def close(self) -> None:
        """Nothing is open."""

    async def aclose(self) -> None:
        """Nothing is open."""


def _refuse(job_id: str) -> NoReturn:
    raise BackendError(f"the result of {job_id} is kept nowhere: set result_backend")
