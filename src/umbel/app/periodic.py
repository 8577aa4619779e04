"""Periodic: the schedules that the code of an app asks for, as plain entries that any scheduler understands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from logging import getLogger
from typing import Any, Final, Protocol

from umbel.decorators import AnyTask
from umbel.exceptions import EncodeError, ImproperlyConfigured
from umbel.model.job import Job
from umbel.model.schedule import Entry
from umbel.options import seconds
from umbel.schedules.wanted import POLICIES, Wanted, expiry, wanted
from umbel.settings import Settings
from umbel.spans import unsent
from umbel.wire.ticks import template

MAX_BYTES: Final = 2 * 1024 * 1024
_NOT_HERE: Final = frozenset({"eta", "task_id", "connection"})
logger = getLogger("umbel.scheduler")


class Host(Protocol):
    """What schedules need of their app."""

    main: str | None

    @property
    def conf(self) -> Settings:
        """Its settings."""
        ...

    def task_named(self, name: str) -> AnyTask:
        """The task of that name, known here or not."""
        ...

    def job_named(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]) -> Job:
        """The job that a call would send."""
        ...


class Periodic:
    """Gathers what `Umbel.add_periodic_task` and the setting ``beat_schedule`` say."""

    def __init__(self, app: Host) -> None:
        self._app = app
        self._added: dict[str, Wanted] = {}
        self._unnamed: set[str] = set()

    def add(self, schedule: object, task: object, call: Mapping[str, Any], options: Mapping[str, Any]) -> str:
        """Add one; see `Umbel.add_periodic_task`. *call* has args, kwargs and name, where they were given."""
        policies = {key: value for key, value in options.items() if key in POLICIES}
        more = {key: value for key, value in options.items() if key not in POLICIES}
        described = describe(task, call.get("args") or (), call.get("kwargs") or {}, more)
        name = call.get("name") or _name_of(described)
        if not call.get("name"):
            if name in self._unnamed:
                logger.warning("two schedules are called %s, the later one counts: give add_periodic_task a name", name)
            self._unnamed.add(name)
        self._added[name] = wanted(name, {**described, **policies, "schedule": schedule})
        return name

    def entries(self) -> list[Entry]:
        """All of them, by name. Raises `ImproperlyConfigured`, which names the schedule."""
        conf = self._app.conf
        asked = {**{name: wanted(name, given) for name, given in conf.beat_schedule.items()}, **self._added}
        try:
            entries = [entry_of(self._app, each) for _, each in sorted(asked.items())]
        except (TypeError, ValueError, ImportError) as error:
            raise ImproperlyConfigured(str(error)) from error
        size = sum(len(entry.envelope) for entry in entries)
        if size > MAX_BYTES:
            raise ImproperlyConfigured(
                f"the arguments of all schedules take {size:,} bytes, more than {MAX_BYTES:,}: "
                "store the data elsewhere and send a reference"
            )
        return entries


def describe(
    task: object, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """The call as the keys of an entry; *task* is a task, its name, or a signature, which has arguments and options.

    Raises `TypeError` for a canvas: a schedule sends one job.
    """
    if isinstance(task, str) or not hasattr(task, "args"):
        return {"task": task, "args": tuple(args), "kwargs": dict(kwargs), "options": dict(options)}
    signature: Any = task
    if getattr(signature, "subtask_type", None) is not None:
        raise TypeError(f"a schedule sends one job, not a {signature.subtask_type}: let a task of yours start that")
    return {
        "task": signature.task,
        "args": (*args, *signature.args),
        "kwargs": {**signature.kwargs, **kwargs},
        "options": {**signature.options, **options},
    }


def entry_of(app: Host, asked: Wanted) -> Entry:
    """*asked* with its job encoded as *app* would send it. Raises `TypeError` or `ValueError`, naming the schedule."""
    described = describe(asked.task, asked.args, asked.kwargs, asked.options)
    expires, options = expiry(described["options"])
    wrong = _NOT_HERE & {key for key, value in options.items() if value is not None}
    if wrong:
        raise TypeError(f"schedule {asked.name!r}: a periodic job has no {min(wrong)}: each tick has one of its own")
    countdown = seconds(options.pop("countdown", None) or 0.0, "countdown")
    task = described["task"]
    name = task if isinstance(task, str) else getattr(task, "name", None)
    if not isinstance(name, str) or not name:
        raise TypeError(f"schedule {asked.name!r}: task is {task!r}: give a task, its name or a signature")
    own = app.task_named(name).expires
    if expires is None and "expires" not in options and own is not None:
        expires = seconds(own, "expires")
    try:
        with unsent():
            job = app.job_named(name, described["args"], described["kwargs"], options)
    except (EncodeError, TypeError, ValueError) as error:
        raise type(error)(f"schedule {asked.name!r}: {error}") from error
    return Entry(
        name=asked.name,
        rule=asked.rule.text,
        task=name,
        envelope=template(job.envelope, relative=expires is not None),
        queue=job.queue,
        priority=job.priority,
        expires=expires,
        countdown=max(countdown, 0.0),
        zone=asked.zone or app.conf.timezone,
        misfire=asked.misfire,
        limit=asked.limit,
        grace=_grace(asked, app),
        overlap=asked.overlap,
        jitter=asked.jitter,
        start=asked.start,
        end=asked.end,
        enabled=asked.enabled,
    )


def _grace(asked: Wanted, app: Host) -> float | None:
    if asked.grace is not None or not asked.rule.text.startswith("cron"):
        return asked.grace
    return app.conf.beat_cron_starting_deadline


def _name_of(described: Mapping[str, Any]) -> str:
    task = described["task"]
    words = [*map(repr, described["args"]), *(f"{key}={value!r}" for key, value in described["kwargs"].items())]
    name = f"{task if isinstance(task, str) else getattr(task, 'name', task)}({', '.join(words)})"
    return "".join(letter if letter.isprintable() else "?" for letter in name)[:200]
