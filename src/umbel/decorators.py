"""Decorators: from a function or a class to a Task, with the types of its parameters and result kept."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping
from types import MethodType
from typing import Any, Concatenate, Final, Generic, Literal, ParamSpec, TypeVar, Unpack, cast, overload

import msgspec

from umbel import celery_options
from umbel.options import (
    TASK_OPTIONS,
    TaskOptions,
    check_names,
    checked_flag,
    checked_limits,
    checked_priority,
    checked_queue,
    checked_runner,
    seconds,
)
from umbel.task import AsyncTask, Context, SyncTask, Task
from umbel.wire.arguments import Arguments

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=Context)
AnyTask = Task[..., Any]

_GROUPS: Final = (list, tuple, set, frozenset)
_DERIVED: Final = ("body", "hooks", "on_loop", "regulation")
"""What a task has worked out of its options."""
_ERRORS: Final = ("throws", "autoretry_for", "dont_autoretry_for")


class Recipe(msgspec.Struct, frozen=True):
    """What a decorator was told, before it meets its function."""

    name: str | None = None
    bind: bool = False
    base: type[Context] | None = None
    options: dict[str, Any] = {}


Make = Callable[[Callable[..., Any], Recipe], AnyTask]
"""Makes the task of a function and registers it."""


class TaskDecorator:
    """What ``app.task(…)`` answers: takes the function."""

    def __init__(self, make: Make, recipe: Recipe) -> None:
        """Keep what to do."""
        self._make = make
        self._recipe = recipe

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, function: Callable[P, R], /) -> SyncTask[P, R]: ...
    def __call__(self, function: Callable[..., Any], /) -> AnyTask:
        """The task of *function*."""
        return self._make(function, self._recipe)


class BoundDecorator(Generic[S]):
    """What ``app.task(bind=True, …)`` answers: the function's first parameter is the task and leaves the signature."""

    def __init__(self, make: Make, recipe: Recipe) -> None:
        """Keep what to do."""
        self._make = make
        self._recipe = recipe

    @overload
    def __call__(self, function: Callable[Concatenate[S, P], Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, function: Callable[Concatenate[S, P], R], /) -> SyncTask[P, R]: ...
    def __call__(self, function: Callable[..., Any], /) -> AnyTask:
        """The task of *function*."""
        return self._make(function, self._recipe)


class TaskFactory:
    """``app.task`` and ``shared_task``: ``@app.task``, ``@app.task(queue="mail")``, ``@app.task(bind=True)``.

    Options are `TaskOptions`; *base* is the class of the task; *name* defaults to ``module.function``.
    """

    def __init__(self, make: Make) -> None:
        """*make* is told each function and what is to become of it."""
        self._make = make

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, function: Callable[P, R], /) -> SyncTask[P, R]: ...
    @overload
    def __call__(
        self, *, bind: Literal[True], base: None = None, name: str | None = None, **options: Unpack[TaskOptions]
    ) -> BoundDecorator[Context]: ...
    @overload
    def __call__(
        self, *, bind: Literal[True], base: type[S], name: str | None = None, **options: Unpack[TaskOptions]
    ) -> BoundDecorator[S]: ...
    @overload
    def __call__(
        self,
        *,
        bind: Literal[False] = False,
        base: type[Context] | None = None,
        name: str | None = None,
        **options: Unpack[TaskOptions],
    ) -> TaskDecorator: ...
    def __call__(self, *function: Any, **options: Any) -> Any:
        """Make a task of *function*, or answer the decorator that will."""
        bind = bool(options.pop("bind", False))
        recipe = Recipe(options.pop("name", None), bind, options.pop("base", None), options)
        if function:
            return self._make(function[0], recipe)
        return BoundDecorator[Any](self._make, recipe) if bind else TaskDecorator(self._make, recipe)


def task_of(
    function: Callable[..., Any], recipe: Recipe, main: str | None, usual: type[AnyTask] | None = None
) -> AnyTask:
    """The task of *function* as *recipe* says; not yet registered. *main* stands for the module ``__main__``.

    *usual* is the class of tasks that name no base of their own. Raises `TypeError` or `ValueError` for
    an option, naming it.
    """
    if not callable(function) or isinstance(function, type | Task):
        raise TypeError(f"a task is made of a function, not of {function!r}: a class is for app.register_task")
    name = recipe.name or name_of(function, main)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{name} is a generator function: a task returns its value, so return a list instead")
    is_async = _is_async(function)
    kind: Any = AsyncTask if is_async else SyncTask
    base: Any = recipe.base or usual or kind
    if not _is_task_class(base):
        raise TypeError(f"{name}: base is {base!r}: give a class that is derived from umbel.Task")
    declared = {attribute for attribute in dir(base) if not attribute.startswith("_")}
    check_names(recipe.options, TASK_OPTIONS | declared, name)
    bases = (kind,) if issubclass(kind, base) else (base,) if issubclass(base, kind) else (base, kind)
    made = type(getattr(function, "__name__", kind.__name__), bases, _of_class(recipe.options))
    task = cast("AnyTask", made())
    vars(task).update(
        name=name,
        bind=recipe.bind,
        is_async=is_async,
        run=MethodType(function, task) if recipe.bind else function,
        arguments=Arguments(name, function, bind=recipe.bind, checked=task.typing),
        __wrapped__=function,
        __doc__=function.__doc__,
        __module__=function.__module__,
        __name__=getattr(function, "__name__", name),
        __qualname__=getattr(function, "__qualname__", name),
    )
    return checked(task)


def complete(task: AnyTask, main: str | None) -> AnyTask:
    """Make a class-based *task*, an instance, ready to be registered. Raises as `task_of`."""
    kind = type(task)
    if "arguments" in vars(task):
        return task
    if kind.run is Task.run:
        raise TypeError(f"{kind.__qualname__} must define run: that is what the worker calls")
    name = task.name or f"{_module(kind.__module__, main)}.{kind.__qualname__}"
    vars(task).update(name=name, is_async=_is_async(task.run), arguments=Arguments(name, task.run, checked=task.typing))
    return checked(task)


def name_of(function: Callable[..., Any], main: str | None) -> str:
    """Celery's name of a task: ``module.function``; in the module ``__main__`` *main* stands for it."""
    name = getattr(function, "__name__", type(function).__name__)
    return f"{_module(function.__module__, main)}.{name}"


def checked(task: AnyTask) -> AnyTask:
    """*task*, if its options can be what they say. Raises `TypeError` or `ValueError`, naming task and option."""
    try:
        for option in _ERRORS:
            vars(task)[option] = _classes(getattr(task, option), option)
        if task.queue is not None:
            checked_queue(task.queue)
        if task.priority is not None:
            checked_priority(task.priority)
        if task.expires is not None:
            vars(task)["expires"] = seconds(task.expires, "expires")
        limits = checked_limits(task.soft_time_limit, task.time_limit)
        vars(task)["soft_time_limit"], vars(task)["time_limit"] = limits
        checked_runner(task.runner, task.memory_limit, is_async=task.is_async)
        check_names(task.retry_kwargs, ("max_retries", "countdown"), "retry_kwargs")
        vars(task)["redact"] = _redacted(task)
        _check_foreign(type(task))
        checked_flag(task.send_events, "send_events")
        _ = task.retry_policy, task.regulation
    except (TypeError, ValueError) as error:
        raise type(error)(f"{task.name}: {error}") from None
    return task


def _check_foreign(kind: type[AnyTask]) -> None:
    """Raise `TypeError` for an attribute of a class of tasks that Celery would heed, and Umbel cannot."""
    for name in celery_options.OF_CLASSES:
        value = getattr(kind, name, None)
        if value is not None and not celery_options.is_usual(name, value):
            raise TypeError(celery_options.objection(name, value))


def annotate(task: AnyTask, annotations: Mapping[str, Mapping[str, Any]]) -> None:
    """Let *task* have the options that *annotations* has for its name and for ``*``. Raises as `checked`."""
    options = {**annotations.get("*", {}), **annotations.get(task.name, {})}
    own = vars(task)
    if options == own.get("annotations", {}):
        return
    kind = type(task)
    task.__class__ = type(kind.__name__, (kind,), _of_class(options))
    for name in (*options, *_DERIVED):
        own.pop(name, None)
    own["annotations"] = options
    checked(task)


def _of_class(options: Mapping[str, Any]) -> dict[str, Any]:
    """*options* as attributes of a class: a function that computes a key is no method, as hooks are."""
    return {
        name: staticmethod(value) if name.endswith("_key") and callable(value) else value
        for name, value in options.items()
    }


def _classes(given: Any, option: str) -> tuple[type[BaseException], ...]:
    classes: tuple[Any, ...] = tuple(cast("Any", given)) if isinstance(given, _GROUPS) else (given,)
    for one in classes:
        if not (isinstance(one, type) and issubclass(one, BaseException)):
            raise TypeError(f"{option} has {one!r} in it: give classes of exceptions")
    return classes


def _redacted(task: AnyTask) -> tuple[str, ...]:
    """The parameters to be hidden in events. Raises `TypeError` or `ValueError` for what none is."""
    if not isinstance(task.redact, _GROUPS):
        raise TypeError(f"redact is {task.redact!r}: give a tuple of names of parameters")
    names = tuple(cast("Any", task.redact))
    if names:
        parameters = inspect.signature(task.run).parameters
        known = [name for name, one in parameters.items() if one.kind is not one.VAR_POSITIONAL]
        any_name = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
        for name in names:
            if not isinstance(name, str) or not (any_name or name in known or name == "return"):
                raise ValueError(f"redact has {name!r} in it, which is no parameter: known are {', '.join(known)}")
    return names


def _is_task_class(base: object) -> bool:
    return isinstance(base, type) and issubclass(base, Task)


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _module(name: str, main: str | None) -> str:
    if name == "__main__" and main:
        return main
    return name


def same_origin(one: AnyTask, other: AnyTask) -> bool:
    """Tell whether two tasks are one definition that was executed twice, as by a reload or in a notebook's cell."""
    first, second = (_code(task) for task in (one, other))
    if first is None or second is None:
        return type(one) is type(other)
    if first.co_qualname != second.co_qualname:
        return False
    place = (first.co_filename, first.co_firstlineno) == (second.co_filename, second.co_firstlineno)
    return place or _interactive(other)


def _code(task: AnyTask) -> Any:
    return getattr(inspect.unwrap(cast("Any", task)), "__code__", None)


def _interactive(task: AnyTask) -> bool:
    import sys

    module = sys.modules.get(task.__module__)
    return task.__module__ == "__main__" and not hasattr(module, "__file__")
