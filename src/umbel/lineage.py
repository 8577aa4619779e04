"""Lineage: how the handles of a canvas hang together, from a step to those before and after it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, cast

from umbel.exceptions import IncompleteStream
from umbel.family import DependencyGraph


class Lineage:
    """What handles have in common that know their parent and their children."""

    __slots__ = ()

    def iterdeps(self, intermediate: bool = False) -> Iterator[tuple[Any, Any]]:
        """Pairs of parent and handle: this one, its children, theirs, and so on.

        Raises `IncompleteStream` at a job that has not ended, unless *intermediate* is true.
        """
        waiting: deque[tuple[Any, Any]] = deque([(None, self)])
        while waiting:
            parent, handle = waiting.popleft()
            yield parent, handle
            if handle.ready():
                waiting.extend((handle, child) for child in handle.children)
            elif not intermediate:
                raise IncompleteStream(f"{handle} has not ended: with intermediate=True its children are left out")

    def collect(self, intermediate: bool = False, **options: Any) -> Iterator[tuple[Any, Any]]:
        """Pairs of handle and value: this one, its children, theirs, and so on. *options* are those of `get`."""
        for _, handle in self.iterdeps(intermediate):
            yield handle, handle.get(**options)

    def get_leaf(self) -> Any:
        """The value of the last one that `collect` comes to."""
        value = None
        for _, handle in self.iterdeps():
            value = handle.get()
        return value

    def build_graph(self, intermediate: bool = False) -> DependencyGraph:
        """The graph of this one, its children, theirs, and so on.

        Raises `IncompleteStream` at a job that has not ended, unless *intermediate* is true.
        """
        return DependencyGraph(self.iterdeps(intermediate))

    @property
    def graph(self) -> DependencyGraph:
        """The graph as far as it is known now; see `build_graph`."""
        return self.build_graph(intermediate=True)

    def as_list(self) -> list[str]:
        """The ids of this one and of those before it; of a group those of its members."""
        found: list[str] = []
        handle: Any = self
        while handle is not None:
            members = cast("list[Any] | None", getattr(handle, "results", None))
            found += [handle.id] if members is None else [member.id for member in members]
            handle = handle.parent
        return found

    def as_tuple(self) -> tuple[tuple[str, Any], Any]:
        """Celery's form of it, ``((id, parent), members)``, which `umbel.canvas.result_from_tuple` reads."""
        this: Any = self
        parent = None if this.parent is None else this.parent.as_tuple()
        members = cast("list[Any] | None", getattr(this, "results", None))
        return (this.id, parent), None if members is None else [member.as_tuple() for member in members]
