"""Logging: one handler where nothing else is configured, the job on every record made inside it, and Celery's lines."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Final, Literal, TextIO

import msgspec

from umbel.exceptions import ImproperlyConfigured
from umbel.model.outcome import (
    Completed,
    Crashed,
    Duplicate,
    Failed,
    Ignored,
    Outcome,
    Parked,
    Released,
    Retried,
    Revoked,
    Succeeded,
)
from umbel.request import running

LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "FATAL")
FORMATS: Final = ("auto", "text", "json")
_COLORS: Final = {"DEBUG": "\033[34m", "WARNING": "\033[33m", "ERROR": "\033[31m", "CRITICAL": "\033[35m"}
_PLAIN_COLOR: Final = "\033[0m"
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

logger: Final = logging.getLogger("umbel.worker")
task_logger: Final = logging.getLogger("umbel.task")
"""Above the loggers of tasks; what after_setup_task_logger hands out."""


class JobFilter(logging.Filter):
    """Adds ``task_id task_name queue attempt`` to each record that is made inside a job. It drops no record.

    Worker and `get_task_logger` use it; name it in your own ``dictConfig`` to have the fields in other handlers too.
    """

    def filter(self, record: logging.LogRecord) -> Literal[True]:
        """Add what *record* does not have yet: a field given with ``extra=`` stays as it is."""
        request = running.get()
        if request is not None:
            fields = record.__dict__
            fields.setdefault("task_id", request.id)
            fields.setdefault("task_name", request.task)
            fields.setdefault("queue", request.queue)
            fields.setdefault("attempt", request.retries + 1)
        return True


class TextFormatter(logging.Formatter):
    """Celery's lines: ``[time: LEVEL/pid] message``, with ``name[id]:`` before messages of a task's own."""

    def __init__(self, color: bool) -> None:
        """Paint the levels if *color*."""
        super().__init__()
        self._color = color

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        """One line, without a traceback."""
        fields = record.__dict__
        own = record.name == logger.name or "task_id" not in fields
        inside = "" if own else f"{fields.get('task_name')}[{fields['task_id']}]: "
        head = f"[{self.formatTime(record)}: {record.levelname}/{record.process}]"
        color = _COLORS.get(record.levelname, "") if self._color else ""
        return f"{color}{head} {inside}{record.message}{_PLAIN_COLOR if color else ''}"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time`` (UTC), ``level``, ``logger``, ``message``, ``pid``, and all that was added."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON; a value that JSON cannot show appears as its `repr`."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{moment}.{int(record.msecs):03}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "pid": record.process,
        }
        line.update((name, value) for name, value in record.__dict__.items() if name not in _STANDARD)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=repr).decode()


def setup(loglevel: str, logformat: str = "auto", logfile: str = "", color: bool | None = None) -> None:
    """Show log records of *loglevel* and above, on stderr or appended to *logfile*.

    A root logger that has handlers is left as it is: then only the level of ``umbel`` is set. So call this after the
    user's code was imported. *logformat* auto: text on a terminal, else JSON. Raises `ImproperlyConfigured`.
    """
    level = level_of(loglevel)
    root = logging.getLogger()
    if any(handler.name != _HANDLER for handler in root.handlers):
        logging.getLogger("umbel").setLevel(level)
        return
    for handler in list(root.handlers):
        root.removeHandler(handler)
    root.addHandler(_handler(logformat, logfile, color))
    root.setLevel(level)


def level_of(name: str) -> int:
    """The number of the level *name*, in upper or lower case. Raises `ImproperlyConfigured`, naming the levels."""
    if name.upper() not in LEVELS:
        raise ImproperlyConfigured(f"there is no log level {name!r}: use one of {', '.join(LEVELS)}")
    return logging.getLevelNamesMapping()[name.upper()]


def get_task_logger(name: str) -> logging.Logger:
    """The logger *name* for use inside tasks: each of its records carries the fields of `JobFilter`.

    Unless a logger above it is in use, its records pass `task_logger`, as in Celery.
    """
    found = logging.getLogger(name)
    if found.parent is logging.root and found is not task_logger:
        found.parent = task_logger
    if not any(isinstance(each, JobFilter) for each in found.filters):
        found.addFilter(JobFilter())
    return found


# What the worker says of a job. Arguments and results are not among it: they may be secret, and they may be large.
# Each asks isEnabledFor first: at 25,000 jobs a second a line that nobody reads must cost next to nothing.


def received(task: str, job_id: str) -> None:
    """Say that a child has taken the job."""
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug("Task %s[%s] received", task, job_id, extra=_job(task, job_id, "received"))


def ended(task: str, job_id: str, outcome: Outcome) -> None:
    """Say what became of the job, in Celery's words."""
    _LINES[type(outcome)](task, job_id, outcome)


def refused(task: str, job_id: str) -> None:
    """Say that the broker refused the verdict on a job, because its lease was lost: another worker runs it."""
    extra = _job(task, job_id, "refused")
    logger.warning("Task %s[%s] lost its lease: its result is dropped, the job runs again", task, job_id, extra=extra)


def _succeeded(task: str, job_id: str, outcome: Succeeded | Completed) -> None:
    if logger.isEnabledFor(logging.INFO):
        extra = _job(task, job_id, "succeeded", outcome.run)
        logger.info("Task %s[%s] succeeded in %.3fs", task, job_id, outcome.run, extra=extra)


def _failed(task: str, job_id: str, outcome: Failed) -> None:
    if logger.isEnabledFor(logging.ERROR):
        failure = outcome.failure
        text = f"{failure}\n{failure.traceback}".rstrip()
        extra = _job(task, job_id, "failed", outcome.run)
        logger.error("Task %s[%s] raised unexpected: %s", task, job_id, text, extra=extra)


def _retried(task: str, job_id: str, outcome: Retried) -> None:
    if logger.isEnabledFor(logging.INFO):
        reason = "" if outcome.failure is None else f": {outcome.failure}"
        extra = _job(task, job_id, "retried", outcome.run)
        logger.info("Task %s[%s] retry: Retry in %.3gs%s", task, job_id, outcome.delay, reason, extra=extra)


def _revoked(task: str, job_id: str, outcome: Revoked) -> None:
    if logger.isEnabledFor(logging.INFO):
        logger.info("Task %s[%s] revoked: %s", task, job_id, outcome.reason, extra=_job(task, job_id, "revoked"))


def _ignored(task: str, job_id: str, outcome: Ignored) -> None:
    if logger.isEnabledFor(logging.INFO):
        logger.info("Task %s[%s] ignored", task, job_id, extra=_job(task, job_id, "ignored", outcome.run))


def _released(task: str, job_id: str, _: Released) -> None:
    if logger.isEnabledFor(logging.DEBUG):
        extra = _job(task, job_id, "released")
        logger.debug("Task %s[%s] was not started and goes back to its queue", task, job_id, extra=extra)


def _parked(task: str, job_id: str, _: Parked) -> None:
    extra = _job(task, job_id, "parked")
    text = "Task %s[%s] is not registered here: the job waits for a worker that knows it"
    logger.error(text, task, job_id, extra=extra)


def _crashed(task: str, job_id: str, _: Crashed) -> None:
    extra = _job(task, job_id, "crashed")
    logger.error("Task %s[%s] has lost its process: the job runs again, charged a crash", task, job_id, extra=extra)


_LINES: Final[dict[type, Callable[[str, str, Any], None]]] = {
    Succeeded: _succeeded,
    Completed: _succeeded,
    Failed: _failed,
    Retried: _retried,
    Revoked: _revoked,
    Duplicate: _revoked,
    Ignored: _ignored,
    Released: _released,
    Parked: _parked,
    Crashed: _crashed,
}


def _job(task: str, job_id: str, outcome: str, run: float | None = None) -> dict[str, Any]:
    fields = {"task_name": task, "task_id": job_id, "outcome": outcome}
    return fields if run is None else {**fields, "run": round(run, 6)}


_HANDLER: Final = "umbel"


def _handler(logformat: str, logfile: str, color: bool | None) -> logging.Handler:
    if logformat not in FORMATS:
        raise ImproperlyConfigured(f"there is no log format {logformat!r}: use one of {', '.join(FORMATS)}")
    # Reopened when it was rotated away; every process of the worker appends whole lines to the same file.
    handler: logging.Handler = _file(logfile) if logfile else logging.StreamHandler()
    terminal = not logfile and _is_terminal(sys.stderr)
    text = logformat == "text" or (logformat == "auto" and terminal)
    painted = terminal and not os.environ.get("NO_COLOR") if color is None else color
    handler.setFormatter(TextFormatter(painted) if text else JsonFormatter())
    handler.addFilter(JobFilter())
    handler.set_name(_HANDLER)
    return handler


def _file(path: str) -> logging.Handler:
    from logging.handlers import WatchedFileHandler  # brings sockets and more along, for this one case

    try:
        return WatchedFileHandler(path, encoding="utf-8")
    except OSError as error:
        raise ImproperlyConfigured(
            f"the log file {path!r} cannot be written ({error.strerror}): choose another with -f"
        ) from error


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()
