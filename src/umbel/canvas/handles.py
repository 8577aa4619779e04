"""Handles: those of a group's members, kept as numbers until somebody looks: the ids of a flow follow from them."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any, Final

from umbel.model.ids import member_id
from umbel.result import AsyncResult

_MODELS: Final = 16
"""How many kinds of handles, that differ in more than their number, are told apart; others are kept as they are."""
_ITSELF: Final = _MODELS
_PREFIX: Final = 28


class Handles:
    """Takes the handles of members of the flow *flow*, in order. They are made anew at each look."""

    __slots__ = ("_flow", "_itself", "_kinds", "_models", "_numbers")

    def __init__(self, flow: str) -> None:
        """Begin with none."""
        self._flow = flow
        self._models: list[AsyncResult[Any]] = []
        self._kinds = bytearray()
        self._numbers = array("L")
        self._itself: list[Any] = []

    def append(self, handle: Any) -> None:
        """One more; it must not be changed afterwards."""
        kind, number = self._kind(handle), 0
        if kind == _ITSELF:
            number = len(self._itself)
            self._itself.append(handle)
        else:
            number = int(handle.id[_PREFIX:], 16)
        self._kinds.append(kind)
        self._numbers.append(number)

    def __len__(self) -> int:
        return len(self._kinds)

    def __getitem__(self, index: int) -> Any:
        kind, number = self._kinds[index], self._numbers[index]
        if kind == _ITSELF:
            return self._itself[number]
        model = self._models[kind]
        twin: AsyncResult[Any] = AsyncResult(
            member_id(self._flow, number),
            model.source,
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
        if handle.__class__ is not AsyncResult or not self._is_numbered(handle.id) or handle.next:
            return _ITSELF
        for kind, model in enumerate(self._models):
            if _alike(model, handle):
                return kind
        if len(self._models) == _MODELS:
            return _ITSELF
        self._models.append(handle)
        return len(self._models) - 1

    def _is_numbered(self, job_id: str) -> bool:
        try:
            return member_id(self._flow, int(job_id[_PREFIX:], 16)) == job_id
        except ValueError:
            return False


def _alike(one: AsyncResult[Any], other: AsyncResult[Any]) -> bool:
    return (
        one.task is other.task
        and one.queue == other.queue
        and one.parent is other.parent
        and one.flow == other.flow
        and one.ignored == other.ignored
    )
