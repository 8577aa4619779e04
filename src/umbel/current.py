"""The only ambient look-up: current_app, current_task, shared_task. The engine never reads it."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol
from weakref import WeakSet

from umbel.chosen import choose, choose_default, find_app
from umbel.decorators import AnyTask, Recipe, TaskFactory, task_of
from umbel.request import Request, running
from umbel.task import Host

__all__ = [
    "App",
    "Current",
    "Shared",
    "current_app",
    "current_task",
    "enter",
    "get_current_app",
    "get_current_task",
    "running",
    "set_current",
    "set_default",
    "shared_task",
]


class App(Host, Protocol):
    """What is asked of an app here."""

    task_class: type[AnyTask] | None
    """The class of tasks that name no base of their own."""

    def adopt(self, task: AnyTask) -> None:
        """Register *task*, a copy for this app, unless a task of that name is there."""
        ...


class Shared(NamedTuple):
    """A shared task, and what it was made of."""

    task: AnyTask
    function: Callable[..., Any]
    recipe: Recipe


_apps: Final[WeakSet[App]] = WeakSet()
_shared: Final[list[Shared]] = []
_lock: Final = threading.RLock()


def get_current_app() -> App:
    """The app that this context chose with ``set_current``, else the one made last. Raises `ImproperlyConfigured`."""
    app: App = find_app()
    return app


def set_current(app: App) -> None:
    """Make *app* the current one in this context: this thread, or this asyncio task and those it starts."""
    choose(app)


def set_default(app: App) -> None:
    """Make *app* the current one wherever none was chosen."""
    choose_default(app)


def enter(app: App) -> None:
    """Let *app* have all shared tasks, those of today and those to come."""
    with _lock:
        _apps.add(app)
        for shared in _shared:
            app.adopt(_for(app, shared))


def get_current_task() -> AnyTask | None:
    """The task that this context runs, or None."""
    request = running.get()
    return None if request is None else _task_of(request)


class Current:
    """Stands for what *find* answers at the moment of use; false while that is None."""

    def __init__(self, find: Callable[[], Any]) -> None:
        """Look with *find* at each use."""
        object.__setattr__(self, "_find", find)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._find(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._find(), name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call what is there."""
        return self._find()(*args, **kwargs)

    def __bool__(self) -> bool:
        return bool(self._find())

    def __eq__(self, other: object) -> bool:
        return bool(self._find() == other)

    def __hash__(self) -> int:
        return hash(self._find())

    def __repr__(self) -> str:
        return repr(self._find())


def _task_of(request: Request) -> Any:
    return request.task_object


def _share(function: Callable[..., Any], recipe: Recipe) -> AnyTask:
    task = task_of(function, recipe, None)
    task._find_host = get_current_app  # noqa: SLF001 - the one task that is made without an app
    shared = Shared(task, function, recipe)
    with _lock:
        _shared.append(shared)
        for app in list(_apps):
            app.adopt(_for(app, shared))
    return task


def _for(app: App, shared: Shared) -> AnyTask:
    if app.task_class is None or shared.recipe.base is not None:
        own = copy.copy(shared.task)
    else:
        own = task_of(shared.function, shared.recipe, None, app.task_class)
    own._host = app  # noqa: SLF001 - see _share
    return own


current_app: Final = Current(get_current_app)
current_task: Final = Current(get_current_task)
shared_task: Final = TaskFactory(_share)
"""Like ``app.task``, for code that is used by several apps: the task is registered in each of them."""
