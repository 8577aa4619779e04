"""Umbel: the composition root of a client. Holds tasks and settings; connects when something is sent or asked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from logging import getLogger
from pathlib import Path
from typing import Any, Self, Unpack, cast

from umbel import current
from umbel.admitting import Made, adispatch, dispatch
from umbel.app.administration import Administration
from umbel.app.celery_names import CeleryNames
from umbel.app.connections import Broker, ResultStore, broker_at, fill_in, same_engine, store_at, store_url
from umbel.app.lazy import lazy
from umbel.app.registry import Registry, import_all, import_related
from umbel.decorators import AnyTask, Recipe, TaskFactory, complete, task_of
from umbel.exceptions import ImproperlyConfigured
from umbel.model.ids import valid_task
from umbel.model.job import Job
from umbel.model.outcome import Result
from umbel.options import AppOptions, CallOptions
from umbel.result import AsyncResult as Handle  # the name AsyncResult is a method's here, as in Celery
from umbel.settings import Settings, sources
from umbel.signals import Signal, import_modules
from umbel.task import Call, Task
from umbel.wire.arguments import Arguments

_OWN_OPTIONS = ("include", "changes", "config_source", "namespace", "task_cls", "set_as_current")
"""What the constructor takes beside settings."""


class Umbel(Administration, CeleryNames):
    """An app: tasks that share a broker, a result store and settings.

    *main* names the app: the embedded file is named after it, and it stands for the module ``__main__`` in task names.
    *broker* and *backend* are URLs or instances; without a broker jobs are kept in ``<main>.umbel.db`` in the current
    folder, without a backend results are kept where the jobs are. Nothing is opened before its first use.
    """

    def __init__(
        self,
        main: str | None = None,
        broker: str | Broker | None = None,
        backend: str | ResultStore | None = None,
        **options: Unpack[AppOptions],
    ) -> None:
        """Read nothing and open nothing yet; settings are read from environment and file when first asked for."""
        given = cast("dict[str, Any]", options)
        own = {name: given.pop(name) for name in _OWN_OPTIONS if name in given}
        self.main = main
        self.tasks = Registry()
        self.task = TaskFactory(self._decorated)
        self.task_class: type[AnyTask] | None = own.get("task_cls")
        self._given: dict[str, Any] = {**own.get("changes", {}), **given}
        self._origin = f"Umbel({main!r})"
        Settings().assign(self._given, self._origin)  # what is wrong here is told here
        self._include = tuple(own.get("include", ()))
        self._config: list[Callable[[Settings], None]] = []
        self._discoveries: list[Callable[[], None]] = []
        self._exceptions: dict[str, type[Exception]] = {}
        self.on_after_configure = Signal("on_after_configure", raises=True)  # a schedule must not be missing
        self.on_after_finalize = Signal("on_after_finalize", raises=True)
        self._completing = [self.on_after_configure, self.on_after_finalize]
        if own.get("config_source") is not None:
            self.config_from_object(own["config_source"], namespace=own.get("namespace"))
        if broker is not None:
            self._attach("broker", "broker_url", broker)
        if backend is not None:
            self._attach("store", "result_backend", backend)
        current.enter(self)
        if own.get("set_as_current", True):
            current.set_default(self)

    @property
    def Task(self) -> type[AnyTask]:  # noqa: N802 - Celery's name
        """The class of tasks that name no base of their own; it may be assigned, for tasks that are made later."""
        return self.task_class or Task

    @Task.setter
    def Task(self, kind: type[AnyTask]) -> None:  # noqa: N802
        self.task_class = kind

    # --- settings

    @lazy
    def conf(self) -> Settings:
        """The settings, read at the first use: environment over program over project file over defaults."""
        settings = Settings()
        sources.read_file(settings, Path.cwd())
        sources.read_environment(settings, sources.current_environment())
        for read in self._config:
            read(settings)
        settings.assign(self._given, self._origin)
        broker, store = self._is_instance("broker"), self._is_instance("store")

        def derive(these: Settings) -> None:
            fill_in(these, self.main, own_broker=broker, own_store=store)
            self.tasks.annotate(these.task_annotations)

        settings.derived_by(derive)
        if settings.moot:
            getLogger("umbel").info("settings that tune nothing in Umbel: %s", ", ".join(settings.moot))
        return settings

    def config_from_object(self, source: object, *, silent: bool = False, namespace: str | None = None) -> None:
        """Take settings from a module (an object or its dotted name), class, object or mapping.

        With *namespace* "UMBEL", as in Django's settings, names begin with ``UMBEL_``. A name is imported at the first
        use of the settings; with *silent* a module that is not there is passed over. Raises `ImproperlyConfigured`.
        """
        self._configure(lambda settings: sources.read_object(settings, source, namespace, silent=silent))

    def config_from_envvar(self, variable: str, *, silent: bool = False) -> None:
        """Take settings from the module that the environment variable *variable* names; see `config_from_object`."""
        module = sources.current_environment().get(variable)
        if module:
            self.config_from_object(module, silent=silent)
        elif not silent:
            raise ImproperlyConfigured(f"the environment variable {variable} is not set: it should name a module")

    def _configure(self, read: Callable[[Settings], None]) -> None:
        if "conf" in vars(self):
            read(self.conf)
        else:
            self._config.append(read)

    # --- connections

    @lazy
    def broker(self) -> Broker:
        """Where jobs are kept; nothing is opened before its first use. Raises `ImproperlyConfigured`."""
        return broker_at(self.conf.broker_url, self.conf)

    @lazy
    def store(self) -> ResultStore:
        """Where results are kept; nothing is opened before its first use. Raises `ImproperlyConfigured`."""
        url = self.conf.result_backend
        if not url:
            raise ImproperlyConfigured(
                "the broker was given as an instance: give backend= as a URL or an instance, too"
            )
        return store_at(store_url(self.conf), self.conf)

    @lazy
    def same_engine(self) -> bool:
        """Whether jobs and results are in one place, by their URLs; instances count as two places."""
        if self._is_instance("broker") or self._is_instance("store"):
            return False
        return same_engine(self.conf)

    def close(self) -> None:
        """Give back all connections of this process; they are opened again when they are needed."""
        if "teller" in vars(self) and self.teller is not None:
            from umbel.messenger import Farewell  # who has told nothing needs none

            Farewell(self.teller.journal).wait(after=self._close)
        self._close()

    def _close(self) -> None:
        for part in self._opened():
            part.close()

    async def aclose(self) -> None:
        """Give back the connections of this event loop."""
        for part in self._opened():
            await part.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _attach(self, attribute: str, setting: str, place: object) -> None:
        if isinstance(place, list | tuple):
            raise TypeError(f"{attribute}: give one URL; several servers stand in one, as the page on the broker says")
        if isinstance(place, str):
            self._given[setting] = place
        else:
            vars(self)[attribute] = place
            vars(self)[f"_{attribute}_is_instance"] = True

    def _is_instance(self, attribute: str) -> bool:
        return f"_{attribute}_is_instance" in vars(self)

    def _opened(self) -> Iterable[Broker | ResultStore]:
        made = vars(self)
        return [made[name] for name in ("broker", "store") if name in made]

    # --- tasks

    def register_task(self, task: AnyTask | type[AnyTask]) -> AnyTask:
        """Register a class-based task, given as class or instance. Raises `AlreadyRegistered`."""
        instance = task() if isinstance(task, type) else task
        return self._registered(complete(instance, self.main))

    def adopt(self, task: AnyTask) -> None:
        """Register a shared task unless this app has its own of that name."""
        if task.name not in self.tasks:
            self.tasks.add(task)

    def gen_task_name(self, name: str, module: str) -> str:
        """The name of a task of the function *name* in *module*."""
        return f"{self.main if module == '__main__' and self.main else module}.{name}"

    def autodiscover_tasks(
        self,
        packages: Collection[str] | Callable[[], Collection[str]] | None = None,
        related_name: str | None = "tasks",
        *,
        force: bool = False,
    ) -> None:
        """Have workers import the module *related_name* of each of *packages*, where there is one.

        *packages* may be a function that is called when a worker starts; None stands for the apps of a Django project.
        *force* imports at once. Raises `ImproperlyConfigured` for None without such a project.
        """
        if packages is None:
            from umbel.app import django  # most programs have no part of it

            django.check_project()
            packages = django.installed_apps

        def discover() -> None:
            import_related(packages() if callable(packages) else packages, related_name)

        if force:
            discover()
        else:
            self._discoveries.append(discover)

    def load_tasks(self) -> None:
        """Import all modules that define tasks: *include*, the setting ``imports``, and what is discovered."""
        import_modules.send(self)
        import_all((*self._include, *self.conf.include, *self.conf.imports))
        for discover in self._discoveries:
            discover()
        while self._completing:  # once, when all modules are there: a receiver may name any task
            self._completing.pop(0).send(self, source=self.conf)

    def job_named(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]) -> Job:
        """The job that `send_task` would send. Raises as that does."""
        return self._named(name, args, kwargs, cast("CallOptions", dict(options))).job

    def register_exceptions(self, *classes: type[Exception]) -> None:
        """Let `get` raise errors of these classes as such, even if their modules are not loaded under that name."""
        self._exceptions.update({f"{one.__module__}.{one.__qualname__}": one for one in classes})

    @property
    def exceptions(self) -> dict[str, type[Exception]]:
        """The classes of which errors of tasks may be made again, by qualified name."""
        named = {one for task in self.tasks.values() for one in (*task.throws, *task.autoretry_for)}
        found = {f"{one.__module__}.{one.__qualname__}": one for one in named if issubclass(one, Exception)}
        return {**found, **self._exceptions}

    def _decorated(self, function: Callable[..., Any], recipe: Recipe) -> AnyTask:
        return self._registered(task_of(function, recipe, self.main, self.task_class))

    def _registered(self, task: AnyTask) -> AnyTask:
        task._host = self  # noqa: SLF001 - the app is its home
        self.tasks.add(task)
        return task

    # --- sending

    def send_task(
        self,
        name: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[CallOptions],
    ) -> Handle[Any]:
        """Send a job of the task *name*, which need not be known here; see `Task.apply_async`. Never runs in place."""
        made = self._named(name, args, kwargs, options)
        dispatch(self, (made,), options.get("connection"))
        return made.handle

    async def asend_task(
        self,
        name: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[CallOptions],
    ) -> Handle[Any]:
        """The async twin of `send_task`."""
        made = self._named(name, args, kwargs, options)
        await adispatch(self, (made,), options.get("connection"))
        return made.handle

    def send_many(self, calls: Iterable[Call[Any]], *, connection: object | None = None) -> list[Handle[Any]]:
        """Send the jobs of several tasks in one round trip: ``app.send_many([add.call(1, 2), mail.call("x")])``.

        Options: ``add.options(queue="q").call(1, 2)``; *connection* is as in `CallOptions`, for all of them. Raises as
        `Task.delay` does, before anything is sent.
        """
        made = list(calls)
        if self.conf.task_always_eager:
            return [call.task.apply_async(call.args, call.kwargs) for call in made]
        jobs = self._called(made)
        dispatch(self, jobs, connection)
        return [each.handle for each in jobs]

    async def asend_many(self, calls: Iterable[Call[Any]], *, connection: object | None = None) -> list[Handle[Any]]:
        """The async twin of `send_many`."""
        made = list(calls)
        if self.conf.task_always_eager:
            return [await call.task.aapply_async(call.args, call.kwargs) for call in made]
        jobs = self._called(made)
        await adispatch(self, jobs, connection)
        return [each.handle for each in jobs]

    def AsyncResult(self, task_id: str) -> Handle[Any]:  # noqa: N802 - Celery's name
        """The handle of the job *task_id*, from whatever process it was sent."""
        if not isinstance(task_id, str) or not task_id:
            raise ValueError(f"{task_id!r} is no id of a job")
        return Handle(task_id, self)

    def task_named(self, name: str) -> AnyTask:
        """The task *name*; one that is not registered here is sent by its name alone, its arguments are not checked.

        Raises `NotRegistered` for such a one if ``task_send_unknown`` is off.
        """
        known = self.tasks.get(name) or self._builtin(name)
        if known is None and not self.conf.task_send_unknown:
            return self.tasks[name]
        return known or _stranger(name)

    def _builtin(self, name: str) -> AnyTask | None:
        if not name.startswith(("celery.", "umbel.")):
            return None
        from umbel.execution import builtin

        return builtin.find(name, self)

    def run_eager(self, task: AnyTask, job: Job) -> Result:
        """Run *job* of *task* here and now, through the real codec and executor."""
        from umbel.execution.eager import run_eager
        from umbel.execution.limits import Limits

        if task.name not in self.tasks and self._builtin(task.name) is None:
            self.tasks.__missing__(task.name)
        usual = Limits(self.conf.task_soft_time_limit, self.conf.task_time_limit)
        return run_eager(task, job, f"eager@{self.main or 'umbel'}", self.task_named, usual)

    def _named(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any] | None, options: CallOptions) -> Made:
        task = self.task_named(name)
        return Made(*task._job(self, args, kwargs, task._saying(options)))  # noqa: SLF001

    def _called(self, calls: Sequence[Call[Any]]) -> list[Made]:
        if any(call.task._said.connection is not None for call in calls):  # noqa: SLF001
            raise TypeError("the jobs of send_many are sent together: give connection= to send_many, not to a call")
        return [Made(*call.task._job(self, call.args, call.kwargs, call.task._said)) for call in calls]  # noqa: SLF001

    # --- being the current one

    def set_current(self) -> None:
        """Make this app what `umbel.current_app` means in this context."""
        current.set_current(self)

    def set_default(self) -> None:
        """Make this app what `umbel.current_app` means wherever no other was chosen."""
        current.set_default(self)

    def __repr__(self) -> str:
        return f"<Umbel {self.main or ''} at {id(self):#x}>"


def _stranger(name: str) -> AnyTask:
    """A task that is known elsewhere: its arguments are not checked here. Raises `ValueError` for what is no name."""
    if not valid_task(name):
        raise ValueError(f"{name!r} cannot name a task: give 1-255 printable characters")
    task: Task[..., Any] = Task()
    task.name = name
    task.arguments = Arguments(name, None)
    return task
