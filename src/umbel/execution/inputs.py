"""What a job of a flow is given by the members of its node, and what becomes of it when one of them failed. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from umbel.exceptions import BackendError, ChordError, DecodeError, TaskRevokedError
from umbel.execution.executor import Run
from umbel.model.failure import MAX_CHAIN, Failure, capture
from umbel.model.flow import ALL, NOTHING, ONE, Cause, Input, Page, Part, Standing
from umbel.model.outcome import Failed, Outcome, Revoked
from umbel.wire.flow import decode_cause, listed, with_first

PAGE: Final = 1000
"""How many inputs are fetched at once."""
MAX_REPR_CHARACTERS: Final = 1000

_COUNTS: Final = {NOTHING: 0, ONE: 1, ALL: PAGE}


def page_of(part: Part, after: int = -1) -> Page:
    """What is to be asked for before a job with this *part* runs; *after* is the last member already there."""
    return Page(part.flow, part.home, part.needs, after, _COUNTS.get(part.takes, PAGE))


def hindrance(part: Part, standing: Standing | None, now: float) -> Outcome | None:
    """What the job ends with, at unix time *now*, because it cannot run; None if it can.

    The flow was revoked or has expired: revoked. A member failed: the body of a chord fails with `ChordError`, which
    names the first one; another job ends as that member did.
    """
    if standing is None:
        return None if part.needs == 0 else Failed(capture(BackendError(f"the state of the flow {part.flow} is gone")))
    if standing.state == "revoked":
        return Revoked("revoked")
    if standing.expires is not None and standing.expires <= now:
        return Revoked("expired")
    if standing.failed is None:
        return None
    cause = _cause(standing.failed)
    if part.chord:
        return Failed(chord_error(cause))
    return Revoked(_reason(cause.failure)) if _is(cause.failure, TaskRevokedError) else Failed(cause.failure)


def given(run: Run, part: Part, count: int, values: Sequence[bytes], due: float = 0.0) -> Run:
    """*run*, *due* at that unix time (0: unknown), with what it takes of *count* values as its first argument.

    For *values* see `listed`. Raises `DecodeError`.
    """
    if part.takes == NOTHING:
        return msgspec.structs.replace(run, due=due) if due else run
    first = listed(count, values) if part.takes != ONE else values[0] if values else b"\xc0"
    return msgspec.structs.replace(run, args=with_first(run.envelope.args, first), due=due)


def chord_error(cause: Cause) -> Failure:
    """The failure of a chord's body, in Celery's words, with the member's own behind it."""
    failure = cause.failure
    shown = f"{failure.type.rpartition('.')[2]}({', '.join(map(repr, failure.args))})"[:MAX_REPR_CHARACTERS]
    text = f"Dependency {cause.job} raised {shown}"
    # The member's traceback is told once, at the top: a failure must not grow from chord to chord.
    behind = msgspec.structs.replace(_shortened(failure, MAX_CHAIN), traceback="")
    trace = failure.traceback
    if not _is(failure, ChordError):
        trace = f"{trace}\n{ChordError.__module__}.{ChordError.__qualname__}: {text}\n"
    return Failure(ChordError.__qualname__, ChordError.__module__, text, [text], traceback=trace, cause=behind)


def _is(failure: Failure, kind: type[Exception]) -> bool:
    return (failure.type, failure.module) == (kind.__qualname__, kind.__module__)


def _reason(failure: Failure) -> str:
    return str(failure.args[0]) if failure.args else failure.message


def _cause(found: Input) -> Cause:
    try:
        return decode_cause(found.value)
    except DecodeError as error:
        return Cause(f"of member {found.member}", capture(error))


def _shortened(failure: Failure, left: int) -> Failure:
    if failure.cause is None:
        return failure
    cause = _shortened(failure.cause, left - 1) if left > 1 else None
    return msgspec.structs.replace(failure, cause=cause)
