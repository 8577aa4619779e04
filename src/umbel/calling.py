"""What a call says beside its arguments, checked once: options become plain numbers, moments and wire values."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import msgspec

from umbel.clock import clock
from umbel.exceptions import EncodeError
from umbel.model.flow import Part
from umbel.options import (
    CALL_OPTIONS,
    RETRY_OPTIONS,
    CallOptions,
    check_names,
    checked_count,
    checked_flag,
    checked_id,
    checked_limit,
    checked_limits,
    checked_priority,
    checked_queue,
    moment,
    seconds,
    timestamp,
)
from umbel.wire.envelope import Errback, Link
from umbel.wire.values import to_wire


class Said(msgspec.Struct, frozen=True):
    """The options of a call after they were checked; None leaves it to task or settings. Unix times, seconds.

    *takes* tells that the first positional argument is not there yet: what the job waits for will bring it.
    *announced*: the receivers of before_task_publish know of it, or need not.
    """

    task_id: str | None = None
    queue: str | None = None
    priority: int | None = None
    countdown: float = 0.0
    eta: float | None = None
    expires: float | None = None
    ignore_result: bool | None = None
    max_retries: int | None = None
    retry_policy: dict[str, float | bool | None] | None = None
    soft_time_limit: float | None = None
    time_limit: float | None = None
    headers: dict[str, Any] | None = None
    connection: Any = None
    root_id: str | None = None
    parent_id: str | None = None
    group_id: str | None = None
    links: tuple[Link, ...] = ()
    errbacks: tuple[Errback, ...] = ()
    part: Part | None = None
    takes: bool = False
    in_chord: bool = False
    announced: bool = False


NOTHING_SAID: Final = Said()


def said_by(before: Said, options: CallOptions, task: str) -> Said:
    """What is said by *options* of a call of *task*, on top of *before*.

    Raises `TypeError` or `ValueError`, naming the option, and `EncodeError` for a header that cannot travel.
    """
    check_names(options, CALL_OPTIONS, task)
    given: dict[str, Any] = {
        name: value for name, value in options.items() if value is not None and name in CALL_OPTIONS
    }
    try:
        changed = {name: _READERS[name](value) for name, value in given.items()}
        if "countdown" in given:
            changed["eta"] = None
        elif "eta" in given:
            changed["countdown"] = 0.0
        said = msgspec.structs.replace(before, **changed)
        checked_limits(said.soft_time_limit, said.time_limit)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{task}: {error}") from None
    return said


def _retry_policy(value: object) -> dict[str, float | bool | None]:
    if not isinstance(value, Mapping):
        raise TypeError(f"retry_policy is {value!r}: give a dict of {', '.join(sorted(RETRY_OPTIONS))}")
    check_names(cast("Mapping[str, object]", value), RETRY_OPTIONS, "retry_policy")
    policy: dict[str, float | bool | None] = {}
    for name, what in cast("Mapping[str, object]", value).items():
        if name == "jitter":
            policy[name] = checked_flag(what, name)
        elif name == "max_retries":
            policy[name] = None if what is None else checked_count(what, name)
        else:
            policy[name] = max(seconds(what, name), 0.0)
    return policy


def checked_headers(value: object) -> dict[str, Any]:
    """Custom headers as they travel. Raises `TypeError` or `EncodeError`, naming what is wrong."""
    given = cast("Mapping[object, object]", value) if isinstance(value, Mapping) else {None: None}
    carried: dict[str, Any] = {}
    for name, what in given.items():
        if not isinstance(name, str):
            raise TypeError(f"headers is {value!r}: give a dict with text as keys")
        try:
            carried[name] = to_wire(what)
        except EncodeError as error:
            raise EncodeError(f"header {name!r} {error}") from None
    return carried


_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "task_id": checked_id,
    "queue": checked_queue,
    "priority": checked_priority,
    "countdown": lambda value: max(seconds(value, "countdown"), 0.0),
    "eta": lambda value: timestamp(value, "eta"),
    "expires": lambda value: moment(value, "expires", clock.now()),
    "ignore_result": lambda value: checked_flag(value, "ignore_result"),
    "max_retries": lambda value: checked_count(value, "max_retries"),
    "retry_policy": _retry_policy,
    "soft_time_limit": lambda value: checked_limit(value, "soft_time_limit"),
    "time_limit": lambda value: checked_limit(value, "time_limit"),
    "headers": checked_headers,
    "connection": lambda value: value,
    "root_id": checked_id,
    "parent_id": checked_id,
    "group_id": checked_id,
}


class _Process:
    """This process, for those who ask where a job came from."""

    origin: str

    def look(self) -> None:
        """Note the name in Celery's form; again after a fork."""
        self.origin = f"gen{os.getpid()}@{os.uname().nodename}"


process: Final = _Process()
process.look()
os.register_at_fork(after_in_child=process.look)
