"""Links: who is sent the value when a job has succeeded, who is told when it has failed. They travel with the job."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, Final, cast

import msgspec

from umbel.admitting import refuse_unique
from umbel.calling import Said
from umbel.canvas.mapping import chunks
from umbel.canvas.primitives import chain, chord, group
from umbel.canvas.seams import Callee, Host
from umbel.canvas.signatures import Signature, listed
from umbel.exceptions import EncodeError, NotRegistered
from umbel.options import CallOptions
from umbel.routing import queue_named
from umbel.wire import values
from umbel.wire.envelope import Errback, Link

START: Final = "umbel.start_canvas"
"""The built-in task that sends a canvas: what a callback is that is no plain signature."""


def linked(said: Said, links: Mapping[str, Any], host: Host) -> Said:
    """*said* with the callbacks and errbacks in *links*, the options `link` and `link_error`.

    Raises `TypeError`, `ValueError` or `EncodeError` for what cannot be told, naming the option.
    """
    callbacks = tuple(_link(each, index, host) for index, each in enumerate(listed(links.get("link"))))
    errbacks = tuple(_errback(each, index, host) for index, each in enumerate(listed(links.get("link_error"))))
    if not callbacks and not errbacks:
        return said
    return msgspec.structs.replace(said, links=said.links + callbacks, errbacks=said.errbacks + errbacks)


def popped(options: dict[str, Any], *names: str) -> dict[str, Any]:
    """Take the options called *names* out of *options*."""
    return {name: options.pop(name) for name in names if name in options}


@contextmanager
def _naming(place: str) -> Generator[None]:
    """Have errors name *place*."""
    try:
        yield
    except (EncodeError, NotRegistered, TypeError, ValueError) as error:
        raise type(error)(f"{place}: {error}") from error


def _link(callback: Signature[Any], index: int, host: Host) -> Link:
    with _naming(f"link {index}"):
        return _callback(callback, host)


def _callback(callback: Signature[Any], host: Host) -> Link:
    _check(callback)
    if isinstance(callback, chain | chord):
        callback = _starting(callback)
    task = host.task_named(callback.task)
    options = dict(callback.options)
    links = popped(options, "link", "link_error")
    said = linked(task._saying(cast("CallOptions", options)), links, host)  # noqa: SLF001 - what apply_async does
    takes = not callback.immutable
    said = msgspec.structs.replace(said, takes=takes)
    refuse_unique(task)
    job, _ = task._job(host, callback.args, callback.kwargs, said)  # noqa: SLF001 - likewise
    return Link(job.queue, job.envelope, takes, said.task_id or "", job.priority, job.delay, job.eta)


def _errback(errback: Signature[Any], index: int, host: Host) -> Errback:
    with _naming(f"link_error {index}"):
        _check(errback)
        task: Callee = host.task_named(errback.task)
        named = errback.options.get("queue") or ""
        return Errback(_form(errback), queue_named(task, host.conf, errback.args, errback.kwargs, named))


def _form(errback: Signature[Any]) -> bytes:
    try:
        return values.encode(dict(errback))
    except EncodeError as error:
        raise EncodeError(f"{errback.task}: an argument or option {error}") from error


def _starting(canvas: Signature[Any]) -> Signature[Any]:
    immutable = canvas.immutable
    return Signature(START, (canvas,), immutable=immutable)


def _check(given: object) -> None:
    if not isinstance(given, Signature):
        raise TypeError(f"{given!r} is no signature: give task.s(…)")
    if isinstance(given, group | chunks):
        raise TypeError("a group cannot be a callback: link its members one by one, or write task | group(…)")
