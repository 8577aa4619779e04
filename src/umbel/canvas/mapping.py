"""map, starmap and chunks: one call of a task for each of many items, in one job or in a few."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, TypeAlias

from umbel.canvas.primitives import group
from umbel.canvas.several import Several
from umbel.canvas.signatures import Signature, is_signature

Any_: TypeAlias = Signature[Any]


@Signature.register_type()
class xmap(Signature[list[Any]]):  # noqa: N801 - Celery's name
    """One job that calls a task for each item, one after the other: ``task.map(items)``. It takes no arguments."""

    subtask: ClassVar[str | None] = "xmap"

    def __init__(self, task: Any, it: Iterable[Any], **options: Any) -> None:
        """*task* is called with each item of *it*."""
        inner: Any_ = task if is_signature(task) else Signature(task)
        self.fill(f"celery.{self.subtask_name}", (), {"task": inner, "it": list(it)}, options)
        self["immutable"] = True

    subtask_name: ClassVar[str] = "map"

    def heads(self) -> Iterator[Any_]:
        """The signature that is called for each item."""
        return iter((self.kwargs["task"],))

    def __repr__(self) -> str:
        return f"[{self.kwargs['task'].task}(x) for x in {self.kwargs['it']!r}]"


@Signature.register_type()
class xstarmap(xmap):  # noqa: N801 - Celery's name
    """One job that calls a task with each tuple of arguments, one after the other: ``task.starmap(tuples)``."""

    subtask: ClassVar[str | None] = "xstarmap"
    subtask_name: ClassVar[str] = "starmap"

    def __repr__(self) -> str:
        return f"[{self.kwargs['task'].task}(*x) for x in {self.kwargs['it']!r}]"


@Signature.register_type()
class chunks(Several):  # noqa: N801 - Celery's name
    """A group of jobs of *n* calls each: ``task.chunks(tuples, n)``. The result is a list of lists."""

    subtask: ClassVar[str | None] = "chunks"

    def __init__(self, task: Any, it: Iterable[Any], n: int, **options: Any) -> None:
        """Cut *it*, tuples of arguments for *task*, into pieces of *n*."""
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ValueError(f"chunks of {n!r}: give a whole number, 1 or more")
        inner: Any_ = task if is_signature(task) else Signature(task)
        self.fill("celery.chunks", (), {"task": inner, "it": list(it), "n": n}, options)
        self["immutable"] = True

    def heads(self) -> Iterator[Any_]:
        """The signature that is called for each tuple."""
        return iter((self.kwargs["task"],))

    def group(self) -> group:
        """The group of starmap jobs that it stands for."""
        task, it, size = self.kwargs["task"], self.kwargs["it"], self.kwargs["n"]
        made = group([xstarmap(task, it[start : start + size]) for start in range(0, len(it), size)])
        made["options"], made.own_app = dict(self.options), self.own_app
        return made

    def __call__(self, **options: Any) -> Any:
        """Send it."""
        return self.apply_async(**options)
