"""What receivers of before_task_publish and after_task_publish are told, in the form of Celery's messages."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import msgspec

from umbel.calling import Said, checked_headers, process
from umbel.exceptions import EncodeError
from umbel.model.ids import new_id
from umbel.model.job import Job
from umbel.request import running
from umbel.routing import routed
from umbel.settings import Settings
from umbel.signals import after_task_publish, before_task_publish
from umbel.wire.envelope import MAX_LINK_BYTES, Envelope, decode
from umbel.wire.values import decode as decode_values
from umbel.wire.values import pack

_EMBED: Final[Mapping[str, None]] = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
_logger: Final = logging.getLogger("umbel.signals")


class Callee(Protocol):
    """What is asked of a task that is called."""

    name: str
    queue: str | None


def before(task: Callee, conf: Settings, args: Sequence[Any], kwargs: Mapping[str, Any], said: Said) -> Said:
    """*said* after routes had their say and the receivers were told of the call of *task*; they may have added headers.

    A call that runs in place is not told of. Raises as `routed`.
    """
    said = routed(task, conf, args, kwargs, said)
    if conf.task_always_eager or not before_task_publish.receivers:
        return said
    said, told = _announced(task, conf, args, kwargs, said)
    own = dict(told["headers"])
    before_task_publish.deliver(task.name, told)
    return _heard(task.name, said, own, told["headers"])


async def abefore(task: Callee, conf: Settings, args: Sequence[Any], kwargs: Mapping[str, Any], said: Said) -> Said:
    """The async twin of `before`."""
    if conf.task_always_eager:
        return said
    said = routed(task, conf, args, kwargs, said)
    said, told = _announced(task, conf, args, kwargs, said)
    own = dict(told["headers"])
    await before_task_publish.adeliver(task.name, told)
    return _heard(task.name, said, own, told["headers"])


def after(jobs: Sequence[Job]) -> None:
    """Tell the receivers that *jobs* were sent."""
    for job in jobs:
        name, told = _sent(job)
        after_task_publish.deliver(name, told)


async def aafter(jobs: Sequence[Job]) -> None:
    """The async twin of `after`."""
    for job in jobs:
        name, told = _sent(job)
        await after_task_publish.adeliver(name, told)


def _announced(
    task: Callee, conf: Settings, args: Sequence[Any], kwargs: Mapping[str, Any], said: Said
) -> tuple[Said, dict[str, Any]]:
    parent = running.get()
    said = msgspec.structs.replace(
        said,
        announced=True,
        task_id=said.task_id or new_id(),
        root_id=said.root_id or (None if parent is None else parent.root_id),
        parent_id=said.parent_id or (None if parent is None else parent.id),
    )
    eta = time.time() + said.countdown if said.countdown else said.eta
    protocol = _protocol(task.name, said.task_id, (said.root_id, said.parent_id, said.group_id), process.origin)
    headers = {
        **_shown(said.headers),
        **protocol,
        "eta": _iso(eta),
        "expires": _iso(said.expires),
        "timelimit": [said.time_limit, said.soft_time_limit],
        "ignore_result": bool(said.ignore_result),
    }
    properties = {"correlation_id": said.task_id, "priority": said.priority}
    return said, {
        "body": (tuple(args), dict(kwargs), dict(_EMBED)),
        "exchange": "",
        "routing_key": said.queue or task.queue or conf.task_default_queue,  # routes have had their say
        "headers": headers,
        "properties": properties,
        "declare": [],
        "retry_policy": {},
    }


def _heard(name: str, said: Said, own: Mapping[str, Any], headers: Mapping[str, Any]) -> Said:
    """*said* with the headers that receivers left behind; what stands elsewhere in a job is not theirs to change."""
    changed = [field for field in _FIELDS if headers.get(field) != own.get(field)]
    if changed:
        text = "a receiver of before_task_publish changed %s of %s: that changes nothing, custom headers alone travel"
        _logger.warning(text, ", ".join(changed), name)
    given = _shown(said.headers)
    custom = {field: given[field] for field in _FIELDS & given.keys()}
    custom.update((field, value) for field, value in headers.items() if field not in _FIELDS)
    try:
        return msgspec.structs.replace(said, headers=checked_headers(custom) if custom else None)
    except (TypeError, EncodeError) as error:
        _logger.error("headers of receivers of before_task_publish do not travel with %s: %s", name, error)  # noqa: TRY400
        return said


def _sent(job: Job) -> tuple[str, dict[str, Any]]:
    envelope = decode(job.envelope, MAX_LINK_BYTES)
    family = (envelope.root_id or job.id, envelope.parent_id, envelope.group_id)
    headers = {
        **_shown(envelope.headers),
        **_protocol(envelope.task, job.id, family, envelope.origin),
        "eta": _iso(envelope.eta),
        "expires": _iso(envelope.expires),
        "timelimit": [envelope.time_limit, envelope.soft_time_limit],
        "ignore_result": bool(envelope.ignore_result),
    }
    return envelope.task, {"body": _body(envelope), "headers": headers, "exchange": "", "routing_key": job.queue}


def _shown(headers: dict[str, Any] | None) -> dict[str, Any]:
    """*headers* as they will arrive."""
    return decode_values(pack(headers)) if headers else {}


def _body(envelope: Envelope) -> tuple[Any, Any, dict[str, None]]:
    return tuple(decode_values(envelope.args)), decode_values(envelope.kwargs), dict(_EMBED)


def _protocol(
    name: str, job_id: str | None, family: tuple[str | None, str | None, str | None], origin: str | None
) -> dict[str, Any]:
    root, parent, group = family
    return {
        "lang": "py",
        "task": name,
        "id": job_id,
        "root_id": root or job_id,
        "parent_id": parent,
        "group": group,
        "retries": 0,
        "origin": origin,
    }


def _iso(moment: float | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat()


_FIELDS: Final = frozenset(
    {*_protocol("", None, (None, None, None), None), "eta", "expires", "timelimit", "ignore_result"}
)
"""Headers of Celery's protocol: in Umbel they are fields of the job."""
