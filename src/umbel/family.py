"""Family: the graph of a handle and of all that its job has brought about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TextIO


class DependencyGraph:
    """Handles, and from which to which it goes. Celery's interface: iterate over the handles, look one up by its id."""

    def __init__(self, edges: Iterable[tuple[Any, Any]]) -> None:
        """*edges* are pairs of parent, None for the first one, and handle."""
        self.adjacent: dict[Any, list[Any]] = {}
        for parent, handle in edges:
            self.adjacent.setdefault(handle, [])
            if parent is not None:
                self.adjacent.setdefault(parent, []).append(handle)

    def __getitem__(self, handle: Any) -> list[Any]:
        """The children of *handle*, which may be given by its id."""
        return self.adjacent[handle]

    def __contains__(self, handle: object) -> bool:
        return handle in self.adjacent

    def __iter__(self) -> Iterator[Any]:
        return iter(self.adjacent)

    def __len__(self) -> int:
        return len(self.adjacent)

    def edges(self) -> list[Any]:
        """The handles that have children."""
        return [handle for handle, children in self.adjacent.items() if children]

    def to_dot(self, fh: TextIO) -> None:
        """Write it to the open file *fh*, in the language of Graphviz."""
        fh.write("digraph dependencies {\n")
        fh.writelines(f'  "{handle}";\n' for handle in self.adjacent)
        for handle, children in self.adjacent.items():
            fh.writelines(f'  "{handle}" -> "{child}";\n' for child in children)
        fh.write("}\n")
