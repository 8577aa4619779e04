"""Revocable: what handles of jobs have in common that may be stopped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, cast


class Revoker(Protocol):
    """What stops jobs, given as pairs of id and queue; see `Control.revoke`."""

    def revoke_jobs(self, keys: Sequence[tuple[str, str | None]], *, terminate: bool, signal: str | int | None) -> Any:
        """Stop them."""
        ...

    async def arevoke_jobs(
        self, keys: Sequence[tuple[str, str | None]], *, terminate: bool, signal: str | int | None
    ) -> Any:
        """The async twin of `revoke_jobs`."""
        ...


class Revocable:
    """A handle that knows its *app* and its jobs as `job_keys`."""

    __slots__ = ()

    def job_keys(self) -> list[tuple[str, str | None]]:
        """The id and, if it is known, the queue of each job."""
        raise NotImplementedError

    def revoke(self, *, terminate: bool = False, signal: str | int | None = None) -> None:
        """See to it that what has not ended does not run, with or without workers; `get` raises `TaskRevokedError`.

        What runs already goes on, but is not retried; with *terminate* it is ended (*signal*: how, by default SIGTERM),
        and its state is REVOKED once it no longer runs. What has ended stays as it is. Raises as `Control.revoke`.
        """
        _revoker(self).revoke_jobs(self.job_keys(), terminate=terminate, signal=signal)

    async def arevoke(self, *, terminate: bool = False, signal: str | int | None = None) -> None:
        """The async twin of `revoke`."""
        await _revoker(self).arevoke_jobs(self.job_keys(), terminate=terminate, signal=signal)


def _revoker(handle: Any) -> Revoker:
    return cast("Revoker", handle.app.control)
