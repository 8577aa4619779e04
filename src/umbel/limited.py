"""Limited: how many jobs of a task may run, how often one may start, whose turn it is, and which are the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from umbel.options import Key, Rate, Seconds
from umbel.regulation import Regulation

if TYPE_CHECKING:
    cached_property = property  # what protocols ask for
else:
    from functools import cached_property

OnConflict: TypeAlias = Literal["return", "raise"]
_OPTIONS: Final = (
    "rate_limit",
    "rate_limit_key",
    "concurrency_limit",
    "concurrency_limit_key",
    "fair_key",
    "unique",
    "unique_key",
    "on_conflict",
)


class Limited:
    """Options of a task that count for all workers together. A job that may not start yet takes no slot.

    A key is the name of a parameter, a tuple of such names, or a function that is given the arguments by their names.

    *rate_limit*: how many jobs may start, "10/s", "100/m", "5/h" or a number a second; None: what
    ``task_default_rate_limit`` says, 0: any number. *concurrency_limit*: how many may run at once. Both count the jobs
    of each *rate_limit_key* or *concurrency_limit_key* apart, which must be the same if the task has both limits.

    *fair_key*: whose turn it is; turns follow each other, so that one with many jobs keeps no other waiting.

    *unique*: of the jobs with one *unique_key* (default: all arguments) there is one at a time, until it starts
    ("queued"), until it has ended ("done", or True), or for some seconds. A call that finds another job there answers
    the handle of that job, or with *on_conflict* "raise" raises `DuplicateJob`.
    """

    rate_limit: Rate | None = None
    rate_limit_key: Key | None = None
    concurrency_limit: int | None = None
    concurrency_limit_key: Key | None = None
    fair_key: Key | None = None
    unique: bool | Literal["queued", "done"] | Seconds | None = None
    unique_key: Key | None = None
    on_conflict: OnConflict | None = None

    @cached_property
    def regulation(self) -> Regulation | None:
        """What the options above come to; None if there are none. Raises `TypeError` or `ValueError`, naming one."""
        if all(getattr(self, option) is None for option in _OPTIONS):
            return None
        return Regulation(self)  # type: ignore[arg-type]  # a task is what it must be
