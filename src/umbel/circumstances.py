"""Circumstances: what a running task may ask of its job that few do. Celery's names, and keys for effects elsewhere."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid5

from umbel.wire.envelope import Envelope

_KEYS: Final = UUID("6f1f2f3c-9a55-5d0e-8f43-0b5f0c1d2e3a")


class Circumstances:
    """The part of a request that is worked out when it is asked for."""

    if TYPE_CHECKING:
        id: str
        hostname: str
        began: float
        task_object: Any

        @property
        def envelope(self) -> Envelope:
            """The job as it travelled."""
            ...

        @property
        def task(self) -> str:
            """The name of the task."""
            ...

        @property
        def headers(self) -> dict[str, Any]:
            """The custom headers of the call."""
            ...

        @property
        def callbacks(self) -> list[dict[str, Any]] | None:
            """The callbacks of the job."""
            ...

        @property
        def errbacks(self) -> list[dict[str, Any]] | None:
            """The errbacks of the job."""
            ...

    utc: Final = True
    """Times are in UTC."""
    reply_to: Final = None
    """Nobody: results are kept where every process finds them."""
    shadow: Final = None
    """Nothing: a job is shown under the name of its task."""

    @property
    def name(self) -> str:
        """The name of the task, as receivers of task_received ask for it."""
        return self.task

    @property
    def task_name(self) -> str:
        """The same as `name`."""
        return self.task

    @property
    def task_id(self) -> str:
        """The same as ``id``."""
        return self.id

    @property
    def correlation_id(self) -> str:
        """Celery's second name of the id."""
        return self.id

    @property
    def time_limit(self) -> float | None:
        """The hard time limit that came with the call, in seconds."""
        return self.envelope.time_limit

    @property
    def soft_time_limit(self) -> float | None:
        """The soft time limit that came with the call, in seconds."""
        return self.envelope.soft_time_limit

    @property
    def timelimit(self) -> list[float | None]:
        """The time limits that came with the call, in seconds: hard, soft."""
        return [self.envelope.time_limit, self.envelope.soft_time_limit]

    @property
    def deadline(self) -> float | None:
        """The unix time at which the hard limit of call, task or app ends this run; None: there is no limit."""
        limit = self.envelope.time_limit
        if limit is None:
            limit = self.task_object.time_limit
        if limit is None:
            limit = self.task_object.app.conf.task_time_limit
        if limit is None or not self.began:
            return None
        return time.time() - (time.perf_counter() - self.began) + float(limit)

    @property
    def loglevel(self) -> int:
        """The level from which on this process logs."""
        return logging.getLogger().getEffectiveLevel()

    @property
    def logfile(self) -> str | None:
        """The file that this process logs to, or None."""
        files = (getattr(handler, "baseFilename", None) for handler in logging.getLogger().handlers)
        return next((file for file in files if file is not None), None)

    @property
    def properties(self) -> dict[str, Any]:
        """What Celery has as properties of the message, as far as there is such a thing."""
        return {"correlation_id": self.id, "reply_to": None, "priority": self.envelope.priority, "delivery_mode": 2}

    @property
    def idempotency_key(self) -> str:
        """A key for services that do a thing once for each key: the same one in every attempt of this job."""
        return str(uuid5(_KEYS, self.id))

    def effect_key(self, step: str) -> str:
        """Like `idempotency_key`, for one *step* of several."""
        return str(uuid5(_KEYS, f"{self.id}/{step}"))

    def as_execution_options(self) -> dict[str, Any]:
        """What to call `apply_async` with, so that the same job is sent again, but for its arguments."""
        envelope = self.envelope
        expires = envelope.expires
        options = {
            "task_id": self.id,
            "root_id": envelope.root_id,
            "parent_id": envelope.parent_id,
            "group_id": envelope.group_id,
            "link": self.callbacks,
            "link_error": self.errbacks,
            "expires": None if expires is None else datetime.fromtimestamp(expires, UTC),
            "time_limit": envelope.time_limit,
            "soft_time_limit": envelope.soft_time_limit,
            "ignore_result": envelope.ignore_result,
            "priority": envelope.priority,
            "headers": self.headers or None,
        }
        return {option: value for option, value in options.items() if value is not None}
