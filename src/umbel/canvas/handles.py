"""Handles: those of a group's members, kept as numbers until somebody looks: the ids of a flow follow from them."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any, Final, cast

from umbel.model.ids import member_id
from umbel.result import AsyncResult

_MODELS: Final = 16
"""How many kinds of handles, that differ in more than their number, are told apart; others are kept as they are."""
_ITSELF: Final = _MODELS
_PREFIX: Final = 28


class Handles:
    """Takes the handles of members of the flow *flow*, in order. They are made anew at each look."""

    __slots__ = ("_flow", "_itself", "_kinds", "_last", "_models", "_numbers", "_prefix")

    def __init__(self, flow: str) -> None:
        """Begin with none."""
        self._flow = flow
        self._prefix = flow[:_PREFIX]
        self._models: list[AsyncResult[Any] | None] = [None] * _MODELS
        self._last = 0
        self._kinds = bytearray()
        self._numbers = array("L")
        self._itself: list[Any] = []

    def append(self, handle: Any) -> None:
        """One more; it must not be changed afterwards."""
        kind, number, last = self._last, -1, self._models[self._last]
        if last is None or not _alike(last, handle):  # most are like the one before them
            kind = self._kind(handle)
        if kind != _ITSELF:
            self._last, number = kind, self._number(handle.id)
        if number < 0:
            kind, number = _ITSELF, len(self._itself)
            self._itself.append(handle)
        self._kinds.append(kind)
        self._numbers.append(number)

    def __len__(self) -> int:
        return len(self._kinds)

    def __getitem__(self, index: int) -> Any:
        kind, number = self._kinds[index], self._numbers[index]
        if kind == _ITSELF:
            return self._itself[number]
        model = cast("AsyncResult[Any]", self._models[kind])
        twin: AsyncResult[Any] = AsyncResult(
            member_id(self._flow, number),
            model.app,
            model.task,
            model.queue,
            model.ignored,
            parent=model.parent,
            flow=model.flow,
        )
        return twin

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self._kinds)))

    def _kind(self, handle: Any) -> int:
        if handle.__class__ is not AsyncResult or handle.next:
            return _ITSELF
        for kind, model in enumerate(self._models):
            if model is None:
                self._models[kind] = handle
                return kind
            if _alike(model, handle):
                return kind
        return _ITSELF

    def _number(self, job_id: str) -> int:
        """The number from which *job_id* follows, or -1."""
        digits = job_id[_PREFIX:]
        try:
            number = int(digits, 16)
        except ValueError:
            return -1
        return number if job_id[:_PREFIX] == self._prefix and f"{number:08x}" == digits else -1


def _alike(one: AsyncResult[Any], other: Any) -> bool:
    return (
        other.__class__ is AsyncResult
        and one.task is other.task
        and one.queue == other.queue
        and one.parent is other.parent
        and one.flow == other.flow
        and one.ignored == other.ignored
        and not other.next
    )
