"""Settings: one typed struct with Celery's names and units; every unknown or ill-typed key is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, TypeAlias, get_type_hints

import msgspec

from umbel.exceptions import ImproperlyConfigured
from umbel.model.ids import valid_queue
from umbel.settings.database import TABLES, check_tables, moot_tables
from umbel.settings.foreign import reason
from umbel.settings.limiting import check_limits
from umbel.settings.masking import SECRET, masked, printable
from umbel.settings.routing import Routes, checked_queues, checked_routes
from umbel.settings.transport import TRANSPORT, check_options, moot_options

Positive: TypeAlias = Annotated[float, msgspec.Meta(gt=0)]
Duration: TypeAlias = Annotated[float, msgspec.Meta(ge=0)]
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]
Length: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
Share: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=1)]
Priority: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=9)]
Port: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=65_535)]

CODE: Final = "app.conf"
"""The origin of what a program assigns."""


class Settings(msgspec.Struct, kw_only=True, dict=True, eq=False):
    """All settings of an app: attributes and items. Durations are seconds, and may be assigned as timedelta.

    An assignment is checked: an unknown name or a wrong value raises `ImproperlyConfigured`, which names the source.
    """

    broker_url: str = ""
    """Where jobs are kept; empty: the embedded file ``<app name>.umbel.db`` in the current folder."""
    result_backend: str = ""
    """Where results are kept; empty: where the jobs are. ``disabled://``: nowhere."""
    broker_transport_options: dict[str, Any] = {}
    """Celery's; of Redis behind Sentinel for example ``{"master_name": "main"}``. The same as options of the URL."""
    result_backend_transport_options: dict[str, Any] = {}
    """The same for ``result_backend``."""
    broker_connection_timeout: Positive = 4.0
    broker_send_deadline: Positive = 5.0
    """How long a send tries before it raises `BrokerUnavailable`."""
    result_expires: Positive = 86_400.0
    database_table_schemas: dict[str, str] = {}
    """Celery's, of results at ``db+…``: ``{"task": "name"}`` is the schema of their tables, in MySQL a database."""
    database_table_names: dict[str, str] = {}
    """The same for names: ``{"task": "umbel_results"}`` is the default."""
    result_object_store: str = ""
    """Where results above `result_inline_max_bytes` go, such as ``s3://bucket/prefix``; empty: with the others."""
    result_inline_max_bytes: Count = 64 * 1024
    task_default_queue: str = "default"
    task_default_priority: Priority = 0
    """0-9, higher is more urgent."""
    task_priority_ageing: Positive | None = None
    """For how many seconds no job of a priority may be taken before its oldest rise to the next one; None: for ever."""
    task_ignore_result: bool = False
    task_store_errors_even_if_ignored: bool = False
    task_track_started: bool = False
    task_soft_time_limit: Positive | None = None
    """When `SoftTimeLimitExceeded` is raised in tasks that name no limit of their own."""
    task_time_limit: Positive | None = None
    """When such tasks are ended, whatever they do."""
    task_default_rate_limit: str | float | None = None
    """How many jobs of a task may start, "10/s", "100/m", "5/h" or a number a second, if the task names no rate."""
    task_queue_max_length: Length | dict[str, Length] = 0
    """How many jobs a queue may hold; more are refused with `QueueFull`. 0: any number; a dict says it for each."""
    task_routes: Any = ()
    """Where tasks go that name no queue: ways by name or pattern, routers; the first that knows one decides."""
    task_queues: Any = {}
    """The queues that a worker serves if none are named, with their ``max_length``; empty: *task_default_queue*."""
    task_annotations: dict[str, dict[str, Any]] = {}
    """Options of tasks by their names, ``*`` for all of them: they beat what the code of the task says."""
    task_always_eager: bool = False
    """Run calls in place instead of sending them."""
    task_eager_propagates: bool = False
    imports: tuple[str, ...] = ()
    """Modules that a worker imports because they define tasks."""
    include: tuple[str, ...] = ()
    """The same, as the ``include`` of the app's constructor."""
    message_max_bytes: Count = 1024 * 1024
    worker_pool: str = "prefork"
    worker_concurrency: Count | None = None
    worker_processes: Count | None = None
    worker_threads: Count | None = None
    worker_async_concurrency: Count = 100
    worker_lease: Positive = 15.0
    worker_max_crashes: Count = 3
    worker_max_tasks_per_child: Count | None = None
    """After how many jobs a child is replaced."""
    worker_max_memory_per_child: Count | None = None
    """From which resident memory on, in KiB, a child is replaced when what it runs has ended."""
    worker_soft_shutdown_timeout: Duration = 25.0
    """The grace period of a warm shutdown."""
    worker_disable_rate_limits: bool = False
    """Let rates count for nothing, where jobs are sent and where they run."""
    worker_send_task_events: bool = True
    """Tell of what happens to jobs and workers, for `app.events` and the history, where the broker keeps events."""
    task_send_unknown: bool = True
    """Send jobs of tasks that are not registered here by their name alone; if not, naming one is an error."""
    task_send_sent_event: bool = True
    """Tell of the jobs that are sent from here, with their arguments, redacted."""
    event_redact: tuple[str, ...] = ()
    """Words: arguments are hidden in events whose name has one of them in it, or of the usual (password, token …)."""
    event_log_batches: Count = 1000
    """How many batches of events the broker keeps, each of at most 1,024 events and about 128 KiB; the oldest go."""
    history_sample: Share = 1.0
    """The share of jobs that events tell of; all are counted, and those that fail or are retried are always told of."""
    worker_release: str = ""
    """What the app calls the version that it runs, such as a commit; the history notes when workers first had it."""
    timezone: str = "UTC"
    """The time zone of schedules that name none."""
    beat_schedule: dict[str, Any] = {}
    """Schedules by name, each a dict with Celery's keys; see the page on schedules."""
    beat_cron_starting_deadline: Duration | None = None
    """How late a cron tick may be and still run; None: however late."""
    beat_max_loop_interval: Duration = 0.0
    """For how many seconds a scheduler looks for no new schedules; 0: 5 seconds."""

    regulates: ClassVar[bool] = False
    """Whether a setting makes limits for jobs whose tasks have none."""
    routes: ClassVar[Routes | None] = None
    """``task_routes``, read; None where nothing is routed."""

    # --- limits

    def max_length(self, queue: str) -> int:
        """How many jobs *queue* may hold; 0: any number."""
        own: dict[str, int] = self.task_queues.get(queue, {})
        if "max_length" in own:
            return own["max_length"]
        lengths = self.task_queue_max_length
        return lengths.get(queue, 0) if isinstance(lengths, dict) else lengths

    @property
    def usual_queues(self) -> tuple[str, ...]:
        """The queues that are meant where none are named."""
        return tuple(self.task_queues) or (self.task_default_queue,)

    history_url: str = ""
    """Where the history is kept; empty: a file beside the embedded broker's, or named after the app."""
    history_expires: Positive = 604_800.0
    """How long a recorder keeps the records of jobs that succeeded."""
    history_failed_expires: Positive = 2_592_000.0
    """The same for jobs that failed, were revoked or expired."""
    history_max_jobs: Count = 1_000_000
    """How many records of jobs that succeeded are kept at most."""
    history_max_bytes: Count = 4 * 1024**3
    """About how large the history may get; the oldest records go first."""
    dashboard_host: str = "127.0.0.1"
    """Where `umbel dashboard` listens; an address that others can reach needs users, tokens or a proxy."""
    dashboard_port: Port = 5555
    dashboard_unix_socket: str = ""
    """The path of a socket to listen at instead."""
    dashboard_prefix: str = ""
    """The path under which a proxy or another application has the dashboard, such as ``/umbel``."""
    dashboard_recorder: bool = True
    """Record beside serving, where the broker keeps events."""
    dashboard_read_only: bool = False
    """Take from everybody every right that changes something."""
    dashboard_show_args: bool = True
    dashboard_trace_url: str = ""
    """Where traces are shown, with ``{trace_id}`` in it: the page of a job that has a trace leads there."""
    dashboard_allowed_hosts: tuple[str, ...] = ()
    """The names under which it is asked, beside localhost and addresses; ``.example.com``: all below that."""
    dashboard_trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks whose X-Forwarded-For, X-Forwarded-Proto and *dashboard_user_header* are believed."""
    dashboard_user_header: str = ""
    """The header in which such a proxy names the user; empty: it does not."""
    dashboard_users: dict[str, dict[str, Any]] = {}
    """Users by name: ``{"ada": {"role": "admin", "password": "scrypt:…", "token": "sha256:…"}}``."""
    dashboard_session_secret: str = ""
    """What sessions are signed with; empty: made at each start, which ends all sessions."""
    dashboard_session_lifetime: Positive = 43_200.0
    """How long somebody who has logged in stays so."""

    # --- writing

    if not TYPE_CHECKING:  # to type checkers the fields are all there is, so that a misspelt name is an error

        def __setattr__(self, name: str, value: object) -> None:
            self.assign({name: value}, CODE)

    def __setitem__(self, name: str, value: object) -> None:
        self.assign({name: value}, CODE)

    def update(self, values: Mapping[str, Any] | None = None, **more: Any) -> None:
        """Assign several settings, all or none."""
        self.assign({**(values or {}), **more}, CODE)

    def assign(self, values: Mapping[str, Any], origin: str, *, pinned: bool = False, text: bool = False) -> None:
        """Assign *values* from *origin*, all or none; *text*: they are strings and stand for other types.

        What is *pinned*, by a command line or the environment, is not changed by a later assignment that is not.
        Raises `ImproperlyConfigured`.
        """
        read = _read(self, values, origin, text=text)
        fixed, origins = self._notes("pinned"), self._notes("origins")
        for name, value in read.items():
            if name in fixed and not pinned:
                continue
            super().__setattr__(name, value)
            origins[name] = origin
            if name in _REGULATING:
                vars(self)["regulates"] = self._regulates()
            if name == "task_routes":
                vars(self)["routes"] = checked_routes(value, origin)
            if pinned:
                fixed[name] = origin
        for name in read.keys() & (TRANSPORT | TABLES):
            moot = moot_options(read[name]) if name in TRANSPORT else moot_tables(read[name])
            self._notes("moot").update({f"{name}.{key}": origin for key in moot})
        derive = vars(self).pop("derive", None)
        if derive is not None:
            self.derived_by(derive)

    def derived_by(self, derive: Callable[[Settings], None]) -> None:
        """Have *derive* assign, now and again after each assignment, what depends on other settings."""
        derive(self)
        vars(self)["derive"] = derive

    # --- reading

    def __getitem__(self, name: str) -> Any:
        if name not in _TYPES:
            raise KeyError(name)
        return getattr(self, name)

    def get(self, name: str, default: Any = None) -> Any:
        """The setting *name*, or *default* if there is no such setting."""
        return self[name] if name in _TYPES else default

    def __contains__(self, name: object) -> bool:
        return name in _TYPES

    def __iter__(self) -> Iterator[str]:
        return iter(_TYPES)

    def __len__(self) -> int:
        return len(_TYPES)

    def keys(self) -> tuple[str, ...]:
        """The names of all settings."""
        return self.__struct_fields__

    def values(self) -> tuple[Any, ...]:
        """The values of all settings, secrets among them."""
        return tuple([getattr(self, name) for name in self.__struct_fields__])

    def items(self) -> tuple[tuple[str, Any], ...]:
        """Names and values of all settings, secrets among them."""
        return tuple(zip(self.keys(), self.values(), strict=True))

    def humanize(self, with_defaults: bool = False, censored: bool = True) -> str:
        """The settings that somebody has given as lines of text, secrets masked; or all, or with secrets."""
        shown = self.table() if censored else dict(self.items())
        given = {name: value for name, value in shown.items() if with_defaults or self.origin(name) != "default"}
        return "\n".join(f"{name}: {value!r}" for name, value in given.items())

    def table(self) -> dict[str, Any]:
        """All settings with their values as they may be printed: secrets masked."""
        return {name: printable(name, getattr(self, name)) for name in self.__struct_fields__}

    def origin(self, name: str) -> str:
        """Where the value of *name* comes from, such as ``UMBEL_BROKER_URL`` or ``default``."""
        return self._notes("origins").get(name, "default")

    @property
    def moot(self) -> tuple[str, ...]:
        """The settings of Celery's that were given and tune what Umbel does not have."""
        return tuple(self._notes("moot"))

    def _regulates(self) -> bool:
        lengths = self.task_queue_max_length or any("max_length" in said for said in self.task_queues.values())
        return self.task_default_rate_limit is not None or bool(lengths)

    def _notes(self, sort: str) -> dict[str, str]:
        notes: dict[str, dict[str, str]] = vars(self)
        return notes.setdefault(sort, {})

    def __repr__(self) -> str:
        changed = {name: value for name, value in self.table().items() if self.origin(name) != "default"}
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in changed.items())})"


_TYPES: Final[dict[str, Any]] = {
    name: hint
    for name, hint in get_type_hints(Settings, include_extras=True).items()
    if name in Settings.__struct_fields__
}


def _read(settings: Settings, values: Mapping[str, Any], origin: str, *, text: bool) -> dict[str, Any]:
    """*values* as the types of the settings. Raises `ImproperlyConfigured`, which tells all that is wrong."""
    read: dict[str, Any] = {}
    wrong: list[ImproperlyConfigured] = []
    for name, value in values.items():
        try:
            if not _moot(settings, name, value, origin):
                read[name] = _converted(name, value, origin, text=text)
        except ImproperlyConfigured as error:
            wrong.append(error)
    if len(wrong) == 1:
        raise wrong[0]
    if wrong:
        raise ImproperlyConfigured("\n  ".join([f"{len(wrong)} settings are wrong:", *map(str, wrong)]))
    return read


def _moot(settings: Settings, name: str, value: object, origin: str) -> bool:
    """Note a setting that Celery has and that tunes nothing here. Raises `ImproperlyConfigured` for unknown ones."""
    if name in _TYPES:
        return False
    why = reason(name, value, _TYPES)
    if why is not None:
        raise ImproperlyConfigured(f"{name} ({origin}) {why}")
    vars(settings).setdefault("moot", {})[name] = origin
    return True


def _converted(name: str, value: object, origin: str, *, text: bool) -> Any:
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if (
        text
        and isinstance(value, str)
        and (name in TRANSPORT | TABLES | _USERS or (name in _FLOWING and value[:1] in {"{", "["}))
    ):
        value = _object(name, value, origin)
    if isinstance(value, str) and name in _LISTS:
        value = [part.strip() for part in value.split(",") if part.strip()]
    if name == "task_queues":
        value = checked_queues(value, origin)
    try:
        read = msgspec.convert(value, _TYPES[name], strict=not text)
    except (msgspec.ValidationError, TypeError) as error:
        shown = "***" if name in {*_USERS, SECRET} else masked(repr(value))
        raise ImproperlyConfigured(f"{name} is {shown} ({origin}): {_plain(str(error))}") from None
    _check(name, read, origin)
    return read


def _check(name: str, value: Any, origin: str) -> None:
    """Raise `ImproperlyConfigured` for a value of the right type that is wrong in itself."""
    if name in TRANSPORT:
        check_options(value, f"{name} ({origin})")
    if name in TABLES:
        check_tables(value, name, origin)
    if name == "task_default_queue" and not valid_queue(value):
        raise ImproperlyConfigured(f"{name} is {value!r} ({origin}): give 1-128 letters, digits and . _ @ : -")
    if name == "task_routes":
        checked_routes(value, origin)
    if name in _FLOWING:
        check_limits(name, value, origin)
    if name.startswith("dashboard_"):
        from umbel.settings.dashboard import check_dashboard  # most programs have no dashboard

        check_dashboard(name, value, origin)
    if name in _SCHEDULING:
        _check_scheduling(name, value, origin)


def _check_scheduling(name: str, value: Any, origin: str) -> None:
    """Raise `ImproperlyConfigured` for a schedule that is wrong in itself, or a time zone that there is not."""
    from umbel.schedules.wanted import wanted  # most programs set neither
    from umbel.schedules.zones import zone_of

    try:
        if name == "timezone":
            zone_of(value)
        else:
            for schedule, given in value.items():
                wanted(schedule, given)
    except (TypeError, ValueError, ImportError) as error:
        raise ImproperlyConfigured(f"{name} ({origin}): {error}") from error


def _object(name: str, text: str, origin: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        raise ImproperlyConfigured(f"{name} ({origin}) is no JSON object") from None


def _plain(error: str) -> str:
    return error.replace("`", "").replace("Expected", "expected", 1)


_LISTS: Final = frozenset(
    {"imports", "include", "event_redact", "dashboard_allowed_hosts", "dashboard_trusted_proxies", "task_queues"}
)
_USERS: Final = frozenset({"dashboard_users"})
_REGULATING: Final = ("task_default_rate_limit", "task_queue_max_length", "task_queues")
_FLOWING: Final = frozenset({*_REGULATING, "task_annotations", "task_routes"})
_SCHEDULING: Final = frozenset({"timezone", "beat_schedule"})
