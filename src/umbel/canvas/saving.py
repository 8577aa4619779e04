"""Saving: handles as plain data, in Celery's form, and a group's as a record of the result store, under its id."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any, Final, cast

import msgspec

from umbel.asking import Source
from umbel.canvas.results import GroupResult, Member
from umbel.chosen import find_app
from umbel.contracts.powers import Record
from umbel.exceptions import DecodeError
from umbel.model.ids import flow_of
from umbel.model.outcome import Result
from umbel.result import AsyncResult
from umbel.to_end import to_end
from umbel.wire import record, values

SAVED: Final = "SAVED"
"""What the record says in place of the state of a job."""


class Groups:
    """`app.GroupResult`: Celery's way to make and find handles of groups of one app."""

    def __init__(self, source: Source) -> None:
        """Of the app *source*."""
        self._source = source

    def __call__(self, id: str | None = None, results: Iterable[Any] = (), parent: Member | None = None) -> GroupResult:
        """The handle of the group *id* with the handles of its members."""
        return GroupResult(id, results, self._source, parent)

    def restore(self, id: str) -> GroupResult | None:
        """The handle that was saved under the id *id*, or None."""
        return GroupResult.restore(id, self._source)

    async def arestore(self, id: str) -> GroupResult | None:
        """The async twin of `restore`."""
        return await GroupResult.arestore(id, self._source)


def save(group: GroupResult) -> None:
    """Store *group*, for as long as results are kept; one that was saved before is replaced."""
    to_end(asave(group), group.app.store.aclose)


async def asave(group: GroupResult) -> None:
    """The async twin of `save`. Raises `ValueError` for a group without an id."""
    if not group.id:
        raise ValueError("a group without an id cannot be saved: GroupResult(id, results)")
    store, conf = group.app.store, group.app.conf
    form = msgspec.Raw(values.encode(_form(group)))
    kept = record.encode(Result(SAVED, form, done=time.time()))
    one = Record(group.id, conf.task_default_queue, kept, conf.result_expires)
    if (await store.put([one])) == [False]:  # records never change: the old one has to go
        await store.aforget(group.id, one.queue)
        await store.put([one])


def result_from_tuple(form: Any, app: Source | None = None) -> Member:
    """The handle whose `as_tuple` is *form*; lists in place of tuples, as JSON has them, are welcome."""
    source = cast("Source", app if app is not None else find_app())
    given: Any = form
    if isinstance(form, AsyncResult | GroupResult):
        return cast("Member", given)
    (job_id, parent), members = form if isinstance(form[0], Sequence) and not isinstance(form[0], str) else (form, None)
    before = None if parent is None else result_from_tuple(parent, source)
    if members is not None:
        return GroupResult(job_id, [result_from_tuple(member, source) for member in members], source, before)
    handle: AsyncResult[Any] = AsyncResult(job_id, source)
    handle.parent = before
    return handle


def restored(group_id: str, found: bytes | None, source: Source) -> GroupResult | None:
    """The group that the record *found* keeps; None if there is none. Raises `DecodeError` for another record."""
    if not found:
        return None
    result = record.decode(found)
    if result.state != SAVED:
        raise DecodeError(f"{group_id} is no group that was saved, but a job")
    try:
        return cast("GroupResult", _handle(values.decode(result.value), source))
    except (TypeError, ValueError) as error:
        raise DecodeError(f"{group_id} is no group that was saved: {error}") from error


def _form(handle: Any, around: Any = None) -> Any:
    """*handle* as plain data: ``[id, flow, parent, members]``, what is not said left out at the end.

    Members of a group have the parent *around*, the group's own, unless they say otherwise.
    """
    members = getattr(handle, "results", None)
    parent = None if handle.parent is None or handle.parent is around else _form(handle.parent)
    if members is not None:
        return [handle.id, None, parent, [_form(member, handle.parent) for member in members]]
    flow = None if handle.flow in (None, flow_of(handle.id)) else handle.flow
    return [handle.id, flow, parent] if parent is not None else [handle.id, flow] if flow is not None else [handle.id]


def _handle(form: list[Any], source: Source, around: Any = None) -> Any:
    given: list[Any] = [*form, None, None, None]
    job_id, flow, parent, members = given[:4]
    before = around if parent is None else _handle(parent, source)
    if members is not None:
        return GroupResult(job_id, [_handle(member, source, before) for member in members], source, before)
    handle: AsyncResult[Any] = AsyncResult(job_id, source, flow=flow)
    handle.parent = before
    return handle
