"""The tasks that every worker knows: map and starmap, and what callbacks, errbacks and flows need."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final, cast

from umbel.canvas.compiler import GATHER
from umbel.canvas.links import START
from umbel.canvas.replacing import AWAIT, await_replacement
from umbel.canvas.seams import Host
from umbel.canvas.signatures import maybe_signature
from umbel.decorators import AnyTask, Recipe, task_of
from umbel.execution.following import ERRBACK, derived_id
from umbel.model.failure import Failure, rebuild
from umbel.model.ids import derived_flow_id
from umbel.model.job import Delivery
from umbel.request import Request
from umbel.task import Task
from umbel.to_end import to_end
from umbel.wire.envelope import MAX_LINK_BYTES, decode

_logger = logging.getLogger("umbel.worker")


def find(name: str, app: Any) -> AnyTask | None:
    """The built-in task *name* as a task of *app*, or None."""
    known = _BODIES.get(name)
    if known is None:
        return None
    task = task_of(known, Recipe(name=name, bind=True, options={"max_retries": None}), None)
    task._host = app  # noqa: SLF001 - the app that runs it
    return task


def install(app: Any) -> None:
    """Let the registry of *app* have all of them, unless it has tasks of those names."""
    for name in _BODIES:
        if name not in app.tasks:
            app.tasks[name] = find(name, app)


def _map(self: Task[..., Any], task: Any, it: list[Any]) -> list[Any]:
    call = maybe_signature(task, cast("Host", self.app))
    return [_returned(call(item)) for item in it]


def _starmap(self: Task[..., Any], task: Any, it: list[Any]) -> list[Any]:
    call = maybe_signature(task, cast("Host", self.app))
    return [_returned(call(*item)) for item in it]


def _returned(value: Any) -> Any:
    return to_end(cast("Coroutine[Any, Any, Any]", value)) if inspect.iscoroutine(value) else value


def _gather(self: Task[..., Any], values: Any) -> Any:
    del self
    return values


def _start(self: Task[..., Any], *args: Any) -> str | None:
    *values, form = args
    canvas = maybe_signature(form, cast("Host", self.app))
    canvas.flow_id = derived_flow_id(self.request.id)  # a repeat starts nothing new
    if self.request.is_eager:
        handle = canvas.apply(values)
    else:
        handle = canvas.apply_async(values, root_id=self.request.root_id, parent_id=self.request.parent_id)
    return None if handle is None else handle.id


def _errback(self: Task[..., Any], form: Any, failed: str, body: bytes, failure: Failure) -> None:
    host: Any = self.app
    errback = maybe_signature(form, host)
    envelope = decode(body, MAX_LINK_BYTES)
    task = host.tasks.get(errback.task)
    if task is None or task.bind or _free(task, errback) <= 1:
        send = errback.apply if self.request.is_eager else errback.apply_async
        job_id = errback.id or derived_id(self.request.id, errback.task, 0)
        send((failed,), parent_id=failed, root_id=envelope.root_id or failed, task_id=job_id)
        return
    request = _request(host, failed, envelope, self.request.hostname)
    try:
        _returned(errback(request, rebuild(failure, host.exceptions), failure.traceback))
    except Exception:
        _logger.exception("the errback %s of %s[%s] has failed", errback.task, envelope.task, failed)


def _request(host: Any, failed: str, envelope: Any, hostname: str) -> Request:
    task = host.task_named(envelope.task)
    args, kwargs = task.arguments.decode(envelope.args, envelope.kwargs)
    return Request(task, Delivery(failed, "", 9, 0, b""), envelope, args, kwargs, hostname)


def _free(task: AnyTask, errback: Any) -> int:
    """How many positional arguments the errback still takes."""
    parameters = inspect.signature(task.run).parameters.values()
    if any(each.kind is each.VAR_POSITIONAL for each in parameters):
        return 3
    places = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    return len([each for each in places if each.name not in errback.kwargs]) - len(errback.args)


_BODIES: Final[dict[str, Callable[..., Any]]] = {
    "celery.map": _map,
    "celery.starmap": _starmap,
    GATHER: _gather,
    START: _start,
    ERRBACK: _errback,
    AWAIT: await_replacement,
}
