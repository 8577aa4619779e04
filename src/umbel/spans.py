"""Spans: where those who trace may put theirs around what leaves this process. Nothing is there until somebody asks."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Final, Protocol

from umbel.model.job import Job


class Tracing(Protocol):
    """Who traces."""

    def sending(self, jobs: Sequence[Job]) -> AbstractContextManager[object]:
        """Entered around the sending of *jobs*."""
        ...

    def flow(self, kind: str) -> AbstractContextManager[object]:
        """Entered around the making and sending of a canvas of that *kind*: chain, group or chord."""
        ...


_nobody: Final = nullcontext()
_tracing: Tracing | None = None
_unsent: Final[ContextVar[bool]] = ContextVar("umbel_unsent", default=False)


def trace_by(tracing: Tracing | None) -> None:
    """Let *tracing* put spans around what leaves from now on; None: nobody."""
    global _tracing  # noqa: PLW0603 - of the whole process, as signals are
    _tracing = tracing


def sending(jobs: Sequence[Job]) -> AbstractContextManager[object]:
    """To be entered around the sending of *jobs*."""
    return _nobody if _tracing is None else _tracing.sending(jobs)


def flow(kind: str | None) -> AbstractContextManager[object]:
    """To be entered around the making and sending of a canvas of that *kind*; None: of a single job."""
    return _nobody if _tracing is None or kind is None else _tracing.flow(kind)


@contextmanager
def unsent() -> Generator[None]:
    """Jobs that are made inside are patterns: what is sent later are others, made after them."""
    token = _unsent.set(True)
    try:
        yield
    finally:
        _unsent.reset(token)


def is_unsent() -> bool:
    """Whether a job that is made now is a pattern."""
    return _unsent.get()
