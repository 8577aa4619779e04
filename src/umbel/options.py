"""The keyword options of tasks and calls, each spelled once: Celery's names, seconds for durations."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeAlias, TypedDict, cast

from umbel import celery_options
from umbel.model.ids import MAX_ID_LENGTH, valid_id, valid_queue
from umbel.model.job import MAX_PRIORITY

Seconds: TypeAlias = float | timedelta
"""A duration: seconds or a timedelta."""

When: TypeAlias = float | timedelta | datetime
"""A moment: seconds or a timedelta from now, or a datetime; one without a zone is UTC."""

Errors: TypeAlias = Sequence[type[BaseException]]

Rate: TypeAlias = str | float
"""How many jobs may start: "10/s", "100/m", "5/h", or a number of them a second; 0: any number."""

Key: TypeAlias = str | Sequence[str] | Callable[[Mapping[str, Any]], object]
"""What to count by: the name of a parameter, several of them, or a function of the arguments by their names."""


class RetryOptions(TypedDict, total=False):
    """The retry policy of one call; what is left out is the task's own. Delays in seconds."""

    max_retries: int | None
    default_delay: float
    backoff: float
    backoff_max: float
    jitter: bool


class AppOptions(TypedDict, total=False):
    """What ``Umbel(…)`` may be told beside name, broker and backend; settings by their names are welcome too."""

    include: Collection[str]
    changes: Mapping[str, Any]
    config_source: object
    namespace: str
    task_cls: type[Any]
    set_as_current: bool
    broker_transport_options: Mapping[str, Any]
    result_backend_transport_options: Mapping[str, Any]
    broker_connection_timeout: Seconds
    broker_send_deadline: Seconds
    result_expires: Seconds
    database_table_schemas: dict[str, str]
    database_table_names: dict[str, str]
    result_object_store: str
    result_inline_max_bytes: int
    task_default_queue: str
    task_default_priority: int
    task_priority_ageing: Seconds | None
    task_ignore_result: bool
    task_store_errors_even_if_ignored: bool
    task_track_started: bool
    task_soft_time_limit: Seconds | None
    task_time_limit: Seconds | None
    task_default_rate_limit: Rate | None
    task_queue_max_length: int | Mapping[str, int]
    task_routes: Any
    task_queues: Any
    task_annotations: Mapping[str, Mapping[str, Any]]
    task_always_eager: bool
    task_eager_propagates: bool
    imports: Collection[str]
    message_max_bytes: int
    worker_pool: str
    worker_concurrency: int | None
    worker_processes: int | None
    worker_threads: int | None
    worker_async_concurrency: int
    worker_lease: Seconds
    worker_max_crashes: int
    worker_max_tasks_per_child: int | None
    worker_max_memory_per_child: int | None
    worker_soft_shutdown_timeout: Seconds
    worker_disable_rate_limits: bool
    worker_send_task_events: bool
    task_send_unknown: bool
    task_send_sent_event: bool
    event_redact: Collection[str]
    event_log_batches: int
    history_sample: float
    worker_release: str
    history_url: str
    history_expires: Seconds
    history_failed_expires: Seconds
    history_max_jobs: int
    history_max_bytes: int
    dashboard_host: str
    dashboard_port: int
    dashboard_unix_socket: str
    dashboard_prefix: str
    dashboard_recorder: bool
    dashboard_read_only: bool
    dashboard_show_args: bool
    dashboard_trace_url: str
    dashboard_allowed_hosts: Sequence[str]
    dashboard_trusted_proxies: Sequence[str]
    dashboard_user_header: str
    dashboard_users: Mapping[str, Mapping[str, Any]]
    dashboard_session_secret: str
    dashboard_session_lifetime: Seconds
    timezone: str
    beat_schedule: Mapping[str, Mapping[str, Any]]
    beat_cron_starting_deadline: Seconds | None
    beat_max_loop_interval: Seconds


class CallOptions(TypedDict, total=False):
    """What a call may say beside its arguments; None says nothing.

    *countdown* wins over *eta*; two calls with one *task_id* are one job. With *connection*, one to the database that
    is the broker, the job is sent in its open transaction: it exists when that commits, and not before.
    """

    countdown: Seconds | None
    eta: datetime | None
    expires: When | None
    queue: str | None
    priority: int | None
    task_id: str | None
    headers: Mapping[str, Any] | None
    connection: object | None
    ignore_result: bool | None
    max_retries: int | None
    retry_policy: RetryOptions | None
    soft_time_limit: Seconds | None
    time_limit: Seconds | None
    link: Any
    link_error: Any
    root_id: str | None
    parent_id: str | None
    group_id: str | None


class CanvasOptions(CallOptions, total=False):
    """What the call of a signature or canvas may say: *flow_expires* is the moment after which no job of it starts."""

    flow_expires: When | None


class EagerOptions(CallOptions, total=False):
    """What `apply` may say: a call's options, and whether the handle raises the task's error at once."""

    throw: bool | None


class GetOptions(TypedDict, total=False):
    """Further keywords of `get`. Waiting is notified, so *interval* is not needed; *no_ack* was never Umbel's.

    *on_message* is called with each change of state or info, a dict as in Celery; *on_interval*, without arguments,
    each *interval* seconds (0.1 growing to 1) while nothing comes. Both are functions.
    """

    interval: float
    no_ack: bool
    follow_parents: bool
    on_message: Callable[[dict[str, Any]], object] | None
    on_interval: Callable[[], object] | None
    disable_sync_subtasks: bool


class TaskOptions(TypedDict, total=False):
    """What a decorator may say of a task; a class-based task has the same names as attributes.

    *runner* "process" gives each running job a process of its own; *memory_limit*, in bytes, needs that. What is about
    limits, fair turns and unique jobs counts for all workers together: see the page on flow control.
    """

    queue: str
    priority: int
    expires: Seconds
    ignore_result: bool
    store_errors_even_if_ignored: bool
    track_started: bool
    typing: bool
    throws: Errors
    autoretry_for: Errors
    dont_autoretry_for: Errors
    max_retries: int | None
    default_retry_delay: Seconds
    retry_backoff: bool | float
    retry_backoff_max: Seconds
    retry_jitter: bool
    retry_kwargs: dict[str, Any]
    soft_time_limit: Seconds
    time_limit: Seconds
    runner: Literal["async", "thread", "process"]
    memory_limit: int
    rate_limit: Rate | None
    rate_limit_key: Key
    concurrency_limit: int
    concurrency_limit_key: Key
    fair_key: Key
    unique: bool | Literal["queued", "done"] | Seconds
    unique_key: Key
    on_conflict: Literal["return", "raise"]
    redact: Collection[str]
    send_events: bool
    before_start: Callable[..., Any]
    on_success: Callable[..., Any]
    on_failure: Callable[..., Any]
    on_retry: Callable[..., Any]
    after_return: Callable[..., Any]


RETRY_OPTIONS: Final = frozenset(RetryOptions.__annotations__)
CALL_OPTIONS: Final = frozenset(CallOptions.__annotations__)
GET_OPTIONS: Final = frozenset(GetOptions.__annotations__)
TASK_OPTIONS: Final = frozenset(TaskOptions.__annotations__)


def check_names(given: Collection[str], known: Collection[str], whose: str) -> None:
    """Raise `TypeError` for the first name in *given* that is not *known*, with the nearest name or the reason.

    One of Celery's that asks for what is done anyway passes, if *given* is a mapping that says so.
    """
    values: Mapping[str, object] = cast("Any", given) if isinstance(given, Mapping) else {}
    for name in given:
        value = values.get(name)
        if name not in known and not celery_options.is_usual(name, value):
            reason = celery_options.objection(name, value) or f"unknown option {name!r}{nearest(name, known)}"
            raise TypeError(f"{whose}: {reason}")


def nearest(name: str, known: Collection[str]) -> str:
    """The clause that ends an error text about an unknown *name*: the names that look like it, or nothing."""
    import difflib  # only errors need it

    close = difflib.get_close_matches(name, known, 3, 0.6)
    return f": did you mean {' or '.join(map(repr, close))}?" if close else ""


def seconds(value: object, name: str) -> float:
    """The duration *value* of option *name* in seconds. Raises `TypeError` or `ValueError`, naming the option."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} is {value!r}: give seconds or a timedelta")
    # A comparison that NaN fails too; an infinite delay would be a job that is lost quietly.
    if not abs(value) < float("inf"):
        raise ValueError(f"{name} is {value!r}: give a finite number of seconds")
    return float(value)


def moment(value: object, name: str, now: float) -> float:
    """The unix time that *value* of option *name* means at unix time *now*. Raises `TypeError`, naming the option."""
    if isinstance(value, datetime):
        return timestamp(value, name)
    if isinstance(value, int | float | timedelta):
        return now + seconds(value, name)
    raise TypeError(f"{name} is {value!r}: give seconds, a timedelta or a datetime")


def timestamp(value: object, name: str) -> float:
    """The unix time of the datetime *value* of option *name*; without a zone it is UTC."""
    if not isinstance(value, datetime):
        raise TypeError(f"{name} is {value!r}: give a datetime")
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()


def check_arguments(args: object, kwargs: object, whose: str) -> None:
    """Raise `TypeError` unless *args* is a list or tuple and *kwargs* a mapping or None: ``("abc")`` is no tuple."""
    if not isinstance(args, list | tuple):
        raise TypeError(f"{whose}: args is {args!r:.100}: give a tuple or a list, such as (1,)")
    if kwargs is not None and not isinstance(kwargs, Mapping):
        raise TypeError(f"{whose}: kwargs is {kwargs!r:.100}: give a dict")


def checked_priority(value: object) -> int:
    """*value* if it is a priority. Raises `ValueError`."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_PRIORITY:
        raise ValueError(f"priority is {value!r}: give a number from 0 to {MAX_PRIORITY}, higher is more urgent")
    return value


def checked_queue(value: object) -> str:
    """*value* if it may name a queue. Raises `ValueError`."""
    if not isinstance(value, str) or not valid_queue(value):
        raise ValueError(f"queue is {value!r}: give 1-128 letters, digits and . _ @ : -")
    return value


def checked_id(value: object) -> str:
    """*value* if it may be a task id. Raises `ValueError`."""
    if not isinstance(value, str) or not valid_id(value):
        raise ValueError(
            f"task_id is {value!r}: give 1-{MAX_ID_LENGTH} printable ASCII characters without space and '#'"
        )
    return value


def checked_count(value: object, name: str) -> int:
    """*value* if it is a number of times. Raises `ValueError`, naming the option."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} is {value!r}: give a whole number, 0 or more")
    return value


def checked_flag(value: object, name: str) -> bool:
    """*value* if it is True or False. Raises `TypeError`, naming the option."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}: give True or False")
    return value


def checked_limit(value: object, name: str) -> float:
    """A limit in seconds. Raises `TypeError` or `ValueError`, naming the option."""
    limit = seconds(value, name)
    if limit <= 0:
        raise ValueError(f"{name} is {value!r}: give more than 0 seconds, or leave it out for no limit")
    return limit


def checked_runner(runner: object, memory_limit: object, *, is_async: bool) -> None:
    """Raise `ValueError` or `TypeError` if a task cannot be run so, or its memory cannot be limited there."""
    if runner not in (None, "async", "thread", "process"):
        raise ValueError(f"runner is {runner!r}: give 'async', 'thread' or 'process'")
    if runner == ("thread" if is_async else "async"):
        kind, usual = ("an `async def` task", "async") if is_async else ("a `def` task", "thread")
        raise ValueError(f"runner is {runner!r}, but {kind} runs by 'process' or by {usual!r}, its default")
    if memory_limit is None:
        return
    if isinstance(memory_limit, bool) or not isinstance(memory_limit, int) or memory_limit <= 0:
        raise ValueError(f"memory_limit is {memory_limit!r}: give a number of bytes above 0")
    if runner != "process":
        raise ValueError(
            "memory_limit needs runner='process': in a thread or in the loop, jobs share the memory of one process"
        )


def checked_limits(soft: object, hard: object) -> tuple[float | None, float | None]:
    """The soft and the hard time limit in seconds. Raises `ValueError` when the soft one is the later, or one is 0."""
    early = None if soft is None else checked_limit(soft, "soft_time_limit")
    late = None if hard is None else checked_limit(hard, "time_limit")
    if early is not None and late is not None and early > late:
        raise ValueError(f"soft_time_limit ({early:g} s) is more than time_limit ({late:g} s)")
    return early, late


_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3_600.0}


def rate_interval(value: object, name: str) -> float:
    """The seconds between two starts that the rate *value* of option *name* leaves; 0: none.

    Raises `TypeError` or `ValueError`, naming the option.
    """
    text = value if isinstance(value, str) else ""
    number, slash, unit = text.strip().partition("/")
    try:
        rate = float(number if text else value)  # type: ignore[arg-type]  # what is no number is refused here
        seconds_of_unit = _UNITS[unit.strip() if slash else "s"]
    except (TypeError, ValueError, KeyError):
        rate, seconds_of_unit = -1.0, 1.0
    if isinstance(value, bool) or not 0 <= rate < float("inf"):
        kind = ValueError if isinstance(value, str | int | float) and not isinstance(value, bool) else TypeError
        raise kind(
            f'{name} is {value!r}: give how many jobs may start, such as "10/s", "100/m" or "5/h", or a number a second'
        )
    return seconds_of_unit / rate if rate else 0.0
