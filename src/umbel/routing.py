"""Which queue a call goes to: what the call says, else its task, else ``task_routes``, else the default queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, cast

import msgspec

from umbel.calling import NOTHING_SAID, Said, said_by
from umbel.exceptions import ImproperlyConfigured
from umbel.options import CallOptions
from umbel.settings import Settings

_OF_TASKS: Final = ("queue", "priority", "expires", "soft_time_limit", "time_limit")
"""Options that a task itself may have: then no route changes them."""
_OPTIONS: Final = (*_OF_TASKS, "countdown", "eta", "headers", "ignore_result", "task_id")
"""What routers are told of the options of a call."""


class Callee(Protocol):
    """What is asked of a task that is called."""

    name: str
    queue: str | None


def routed(task: Callee, conf: Settings, args: Sequence[Any], kwargs: Mapping[str, Any], said: Said) -> Said:
    """*said* with what ``task_routes`` says on top of nothing said: neither by the call nor by *task*.

    Raises what a router raises, and `ImproperlyConfigured` for an answer that is no route.
    """
    if conf.routes is None:
        return said
    told = {name: value for name in _OPTIONS if (value := getattr(said, name)) not in (None, 0.0)}
    told.update((name, value) for name in _OF_TASKS if (value := getattr(task, name)) is not None and name not in told)
    route = conf.routes.find(task.name, args, kwargs, told, task)
    given = {name: value for name, value in route.items() if name not in told}
    if "eta" in told:
        given.pop("countdown", None)
    if not given:
        return said
    try:
        new = said_by(NOTHING_SAID, cast("CallOptions", given), f"task_routes of {task.name}")
    except (TypeError, ValueError) as error:
        raise ImproperlyConfigured(str(error)) from None
    return msgspec.structs.replace(said, **{name: getattr(new, name) for name in given})


def queue_of(
    task: Callee, conf: Settings, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, queue: str = ""
) -> str:
    """The queue of a call of *task* that names *queue*, or none. Raises as `routed`."""
    return queue_named(task, conf, args, kwargs, queue) or conf.task_default_queue


def queue_named(
    task: Callee, conf: Settings, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, queue: str = ""
) -> str:
    """As `queue_of`, but empty where only the default queue is left."""
    chosen = queue or task.queue
    if not chosen and conf.routes is not None:
        chosen = routed(task, conf, args, kwargs or {}, NOTHING_SAID).queue
    return chosen or ""
