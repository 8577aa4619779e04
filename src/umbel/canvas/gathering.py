"""Waiting for many results: their records are read many at once, and the last that is missing is waited for."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from umbel.asking import Source
from umbel.contracts.fetching import afetch_many, fetch_many
from umbel.engines.operation import Operation
from umbel.exceptions import TimeoutError, UnknownResult
from umbel.options import GetOptions
from umbel.result import AsyncResult
from umbel.states import PROPAGATE_STATES

PORTION: Final = 1000
"""How many records are read at once."""
WAIT_SECONDS: Final = 0.25
"""How long the last missing one is waited for before all missing ones are looked at again."""

LITTLE_SECONDS: Final = 0.05
"""How long one is waited for when any may be the next."""

Handle = AsyncResult[Any]
_WHEREVER: Final[GetOptions] = {"disable_sync_subtasks": False}


class Look(msgspec.Struct, frozen=True):
    """Read the records of *handles*, which share source and queue."""

    handles: list[Handle]


class Wait(msgspec.Struct, frozen=True):
    """Wait for *handle* up to *seconds*; None: as long as it can still end."""

    handle: Handle
    seconds: float | None


def gathered(results: Sequence[Any], deadline: float | None, *, propagate: bool) -> Operation[Look | Wait, None]:
    """Wait until each of *results* has ended; its record is kept in its handle.

    With *propagate* those after the first, in order, that has failed are not waited for.

    Raises `TimeoutError` after *deadline*, a monotonic time.
    """
    missing = list(_missing(leaves(results), propagate=False))
    for handle in missing:
        if handle.ignored:
            handle.get(0.0, **_WHEREVER)  # raises, and says why
    while missing:
        for handles in _portions(missing):
            yield Look(handles)
        missing = list(_missing(leaves(results), propagate=propagate))
        if not missing:
            return
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError(f"{len(missing)} results did not arrive in time, the first is {missing[0]!r}")
        most = WAIT_SECONDS if len(missing) > 1 else None
        yield Wait(missing[-1], left if most is None else most if left is None else min(left, most))


def looked_at(results: Sequence[Any]) -> Operation[Look | Wait, None]:
    """Read the records of those of *results* that are missing."""
    for handles in _portions([handle for handle in leaves(results) if handle.settled is None]):
        yield Look(handles)


def waited_a_little(results: Sequence[Any], left: float | None) -> Operation[Look | Wait, None]:
    """Wait a moment, at most *left* seconds, for the first of *results* that is missing."""
    handle = next(handle for handle in leaves(results) if handle.settled is None)
    yield Wait(handle, LITTLE_SECONDS if left is None else min(left, LITTLE_SECONDS))


def endings(results: Sequence[Any], timeout: float | None) -> Iterator[Operation[Look | Wait, None] | list[Any]]:
    """How to wait for *results* one by one: an operation to be carried out, or those that have ended by now.

    Raises `TimeoutError` when they have not all ended within *timeout* seconds.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    missing: list[Any] = list(results)
    while missing:
        yield looked_at(missing)
        ended: list[Any] = [result for result in missing if is_settled(result)]
        yield ended
        if ended:
            gone = set(map(id, ended))
            missing = [each for each in missing if id(each) not in gone]
            continue
        left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
        if left == 0.0:
            raise TimeoutError(f"{len(missing)} results did not arrive within {timeout:g} s")
        yield waited_a_little(missing, left)


def told(
    results: Sequence[Any], timeout: float | None, options: GetOptions, *, propagate: bool
) -> Operation[Look | Wait, None]:
    """Wait as `gathered`, and tell *on_message* of each end as it comes, and *on_interval* of each look."""
    on_message, on_interval = options.get("on_message"), options.get("on_interval")
    for step in endings(results, timeout):
        if not isinstance(step, list):
            yield from step
            continue
        for handle in leaves(step):
            if on_message is not None:
                on_message(_message(handle))
        if on_interval is not None:
            on_interval()
        if propagate and next(_missing(leaves(results), propagate=True), None) is None:
            return


def _message(handle: Handle) -> dict[str, Any]:
    """The end of a job in the form that Celery gives it."""
    found = handle.settled
    if found is None:
        raise UnknownResult(f"{handle!r} has not ended")
    trace = None if found.failure is None else found.failure.traceback or None
    shown = {"task_id": handle.id, "status": found.state, "result": handle.value_of(found), "traceback": trace}
    return {**shown, "children": []}


def is_settled(result: Any) -> bool:
    """Tell whether the records of *result*, or of all in it, are here."""
    return all(handle.settled is not None for handle in leaves([result]))


def leaves(results: Iterable[Any]) -> Iterator[Handle]:
    """The handles in *results*, those of groups in groups too."""
    for result in results:
        members = getattr(result, "results", None)
        if members is None:
            yield result
        else:
            yield from leaves(members)


def asked(command: Look | Wait) -> None:
    """Carry out *command*."""
    if isinstance(command, Look):
        source, queue = _place(command)
        _keep(command.handles, fetch_many(source.store, [each.id for each in command.handles], queue))
        return
    try:
        command.handle.get(command.seconds, propagate=False, **_WHEREVER)
    except TimeoutError:
        return


async def aasked(command: Look | Wait) -> None:
    """The async twin of `asked`."""
    if isinstance(command, Look):
        source, queue = _place(command)
        _keep(command.handles, await afetch_many(source.store, [each.id for each in command.handles], queue))
        return
    try:
        await command.handle.aget(command.seconds, propagate=False, **_WHEREVER)
    except TimeoutError:
        return


def _place(look: Look) -> tuple[Source, str | None]:
    return look.handles[0].app, look.handles[0].queue


def _keep(handles: Sequence[Handle], records: Sequence[bytes | None]) -> None:
    for handle, record in zip(handles, records, strict=True):
        if record:
            handle.keep(record)
        elif record is not None:
            raise UnknownResult(f"{handle!r} has ended, and its result is ignored")


def _missing(handles: Iterable[Handle], *, propagate: bool) -> Iterator[Handle]:
    """Those that are missing; with *propagate* only those before the first that has failed."""
    for handle in handles:
        if handle.settled is None:
            yield handle
        elif propagate and handle.settled.state in PROPAGATE_STATES:
            return


def _portions(handles: Sequence[Handle]) -> Iterator[list[Handle]]:
    """*handles* in portions that have source and queue in common."""
    places: dict[tuple[int, str | None], list[Handle]] = {}
    for handle in handles:
        places.setdefault((id(handle.app), handle.queue), []).append(handle)
    for found in places.values():
        for start in range(0, len(found), PORTION):
            yield found[start : start + PORTION]
