"""Umbel: a distributed task queue. Every public name of the tutorial is here, and is loaded when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from umbel.app.app import Umbel
    from umbel.canvas import (
        Graph,
        GroupResult,
        ResultSet,
        Signature,
        chain,
        chord,
        chunks,
        group,
        maybe_signature,
        signature,
        subtask,
        xmap,
        xstarmap,
    )
    from umbel.current import shared_task
    from umbel.exceptions import UmbelError
    from umbel.model.ids import new_id as uuid
    from umbel.reporting import progress
    from umbel.request import Request
    from umbel.result import AsyncResult, EagerResult, allow_join_result
    from umbel.settings import Settings
    from umbel.settings.routing import Queue
    from umbel.task import AsyncTask, Call, Context, SyncTask, Task

    current_app: Umbel
    current_task: Task[..., Any]

__version__: Final = "0.1.0"

__all__ = [
    "AsyncResult",
    "AsyncTask",
    "Call",
    "Context",
    "EagerResult",
    "Graph",
    "GroupResult",
    "Queue",
    "Request",
    "ResultSet",
    "Settings",
    "Signature",
    "SyncTask",
    "Task",
    "Umbel",
    "UmbelError",
    "__version__",
    "allow_join_result",
    "chain",
    "chord",
    "chunks",
    "current_app",
    "current_task",
    "group",
    "maybe_signature",
    "progress",
    "shared_task",
    "signature",
    "subtask",
    "uuid",
    "xmap",
    "xstarmap",
]

_PLACES: Final = {
    "AsyncResult": "umbel.result",
    "AsyncTask": "umbel.task",
    "Call": "umbel.task",
    "Context": "umbel.task",
    "EagerResult": "umbel.result",
    "Graph": "umbel.canvas",
    "GroupResult": "umbel.canvas",
    "Request": "umbel.request",
    "ResultSet": "umbel.canvas",
    "Settings": "umbel.settings",
    "Signature": "umbel.canvas",
    "SyncTask": "umbel.task",
    "Task": "umbel.task",
    "Umbel": "umbel.app.app",
    "UmbelError": "umbel.exceptions",
    "allow_join_result": "umbel.result",
    "chain": "umbel.canvas",
    "chord": "umbel.canvas",
    "chunks": "umbel.canvas",
    "current_app": "umbel.current",
    "current_task": "umbel.current",
    "Queue": "umbel.settings.routing",
    "group": "umbel.canvas",
    "maybe_signature": "umbel.canvas",
    "progress": "umbel.reporting",
    "shared_task": "umbel.current",
    "signature": "umbel.canvas",
    "subtask": "umbel.canvas",
    "uuid": "umbel.model.ids:new_id",
    "xmap": "umbel.canvas",
    "xstarmap": "umbel.canvas",
}


_ABSENT: Final = {
    "Celery": "from umbel import Umbel as Celery",
    "Exchange": "jobs go to queues by their names",
    "CeleryError": "use UmbelError",
    "bugreport": "use the command umbel report",
}
"""Names of Celery's and kombu's that are not here, and what to do instead."""


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None and name in _ABSENT:
        raise ImportError(f"there is no {name} in umbel: {_ABSENT[name]}")
    if place is None:
        raise AttributeError(f"module 'umbel' has no attribute {name!r}")
    module, _, other = place.partition(":")
    value = getattr(import_module(module), other or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
