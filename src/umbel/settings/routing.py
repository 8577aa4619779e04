"""Settings about the ways of jobs: ``task_routes`` and ``task_queues``, in Celery's and kombu's words."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final, TypeAlias, cast

from umbel.exceptions import ImproperlyConfigured
from umbel.options import check_names, checked_count, checked_priority, checked_queue

ROUTE_OPTIONS: Final = frozenset(
    {"queue", "priority", "countdown", "expires", "headers", "ignore_result", "soft_time_limit", "time_limit"}
)
"""What a route may say; what it leaves out is up to the task."""

Route: TypeAlias = Mapping[str, Any]
Router: TypeAlias = Callable[[str, Sequence[Any], Mapping[str, Any], Mapping[str, Any], Any], object]
"""What is asked for the way of a call: by task name, arguments, options and task; None: it knows none."""

_USUAL_QUEUES: Final[Mapping[str, tuple[Any, ...]]] = {
    "durable": (True,),
    "exclusive": (False,),
    "auto_delete": (False,),
    "max_priority": (None, 9, 10),
    "x-max-priority": (None, 9, 10),
    "x-queue-type": (None, "quorum", "classic"),
}
"""What every queue is anyway."""
_LENGTHS: Final = ("max_length", "x-max-length")


class Queue:
    """A queue of ``task_queues``: ``Queue("mail", max_length=1000)``.

    *max_length* is how many jobs it may hold, more are refused with `QueueFull`. Jobs go to a queue by its name, so
    *exchange* and *routing_key* name it again or are left out. Raises `ImproperlyConfigured` for what no queue of
    Umbel has.
    """

    def __init__(self, name: str, exchange: object = "", routing_key: str = "", **options: Any) -> None:
        self.name: Final = name
        said = {"exchange": exchange, "routing_key": routing_key, **options}
        try:
            self.options: Final = _queue_options(checked_queue(name), said)
        except (TypeError, ValueError) as error:
            raise ImproperlyConfigured(f"Queue({name!r}): {error}") from None

    def __repr__(self) -> str:
        return f"Queue({', '.join([repr(self.name), *(f'{name}={value!r}' for name, value in self.options.items())])})"


class Routes:
    """The routers of ``task_routes``, asked one after the other: the first that knows a way decides."""

    def __init__(self, given: object) -> None:
        """Raises `TypeError` or `ValueError`, saying what is wrong in *given*."""
        routers = cast("Iterable[object]", given) if isinstance(given, list | tuple) else (given,)
        self._routers = [_router(each) for each in routers]

    def find(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any], task: object
    ) -> Route:
        """What the routers say of a call of the task *name*; empty if nothing.

        Raises what a router raises, and `ImproperlyConfigured` for an answer that is no route.
        """
        for number, router in enumerate(self._routers):
            way = router(name, args, kwargs, options, task)
            if way is not None:
                try:
                    return _route(way)
                except (TypeError, ValueError) as error:
                    text = f"task_routes[{number}] answers {way!r} for {name}: {error}"
                    raise ImproperlyConfigured(text) from None
        return {}


def checked_routes(given: object, origin: str) -> Routes | None:
    """What ``task_routes``, *given* by *origin*, says; None if it routes nothing. Raises `ImproperlyConfigured`."""
    if not given:
        return None
    try:
        return Routes(given)
    except (TypeError, ValueError) as error:
        raise ImproperlyConfigured(f"task_routes ({origin}): {error}") from None


def checked_queues(given: object, origin: str) -> dict[str, dict[str, int]]:
    """What ``task_queues``, *given* by *origin*, says of each queue. Raises `ImproperlyConfigured`."""
    try:
        if isinstance(given, Mapping):
            return dict(_said(*each) for each in cast("Mapping[object, object]", given).items())
        if isinstance(given, list | tuple | set | frozenset):
            return dict(map(_queue, cast("Iterable[object]", given)))
    except (TypeError, ValueError) as error:
        raise ImproperlyConfigured(f"task_queues ({origin}): {error}") from None
    raise ImproperlyConfigured(f"task_queues is {given!r} ({origin}): give a list of names or Queue(…)")


def _queue(given: object) -> tuple[str, dict[str, int]]:
    if isinstance(given, Queue):
        return given.name, given.options
    return checked_queue(given), {}


def _said(name: object, options: object) -> tuple[str, dict[str, int]]:
    if options is not None and not isinstance(options, Mapping):
        raise TypeError(f"{name} has {options!r}: give a dict such as {{'max_length': 1000}}")
    return checked_queue(name), _queue_options(cast("str", name), cast("Mapping[str, Any]", options or {}))


def _queue_options(queue: str, given: Mapping[str, Any]) -> dict[str, int]:
    said = _direct(queue, given)
    arguments: Mapping[str, Any] = said.pop("queue_arguments", None) or {}
    said.update(arguments)
    options: dict[str, int] = {}
    for name, value in said.items():
        if name in _LENGTHS:
            options["max_length"] = checked_count(value, name)
        elif value not in _USUAL_QUEUES.get(name, ()):
            raise ValueError(f"a queue has no {name}={value!r}: {_instead(name)}")
    return options


def _instead(name: str) -> str:
    if name in {"message_ttl", "expires", "x-message-ttl", "x-expires"}:
        return "give tasks or routes expires="
    return f"of {', '.join(sorted({*_LENGTHS, *_USUAL_QUEUES}))} a queue has the usual values and a length"


def _direct(queue: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """*given* without exchange and key, if they lead to *queue*. Raises `ValueError`."""
    rest = dict(given)
    for name in ("exchange", "routing_key", "exchange_type"):
        value = rest.pop(name, None)
        value = getattr(value, "name", value)
        if value and value != ("direct" if name == "exchange_type" else queue):
            raise ValueError(f"{name}={value!r}: jobs go to a queue by its name, so give that alone")
    return rest


def _router(given: object) -> Router:
    if isinstance(given, Mapping):
        return _Ways(cast("Mapping[object, object]", given).items())
    if isinstance(given, list | tuple):
        return _Ways(cast("Iterable[tuple[object, object]]", given))
    if isinstance(given, str):
        return _Named(given)
    old = getattr(given, "route_for_task", None)
    if old is not None:
        return _Old(old)
    if not callable(given):
        raise TypeError(f"{given!r} is no router: give a dict of task names, pairs of them, or a function")
    return lambda name, args, kwargs, options, task: given(name, args, kwargs, options, task=task)


class _Ways:
    """Ways by task name, glob (``feed.*``) or regular expression; names are looked at first."""

    def __init__(self, given: Iterable[tuple[object, object]]) -> None:
        self._names: dict[str, Route] = {}
        self._patterns: list[tuple[re.Pattern[str], Route]] = []
        for key, way in given:
            pattern = _pattern(key)
            route = _checked(pattern, way)
            if isinstance(pattern, str):
                self._names[pattern] = route
            else:
                self._patterns.append((pattern, route))

    def __call__(self, name: str, *_: object) -> Route | None:
        found = self._names.get(name)
        if found is not None:
            return found
        return next((route for pattern, route in self._patterns if pattern.match(name)), None)


class _Named:
    """A router by its path, such as ``proj.routers.by_tenant``; imported when first asked, for it may need the app."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._found: Router | None = None

    def __call__(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any], task: object
    ) -> object:
        if self._found is None:
            self._found = self._load()
        return self._found(name, args, kwargs, options, task)

    def _load(self) -> Router:
        module, _, attribute = self._path.replace(":", ".").rpartition(".")
        try:
            found: Any = getattr(import_module(module), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise ImproperlyConfigured(f"task_routes names the router {self._path!r}: {error}") from error
        return _router(found() if isinstance(found, type) else found)


class _Old:
    """A router with Celery's method ``route_for_task(task, args, kwargs)``."""

    def __init__(self, ask: Callable[[str, Any, Any], object]) -> None:
        self._ask = ask

    def __call__(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], *_: object) -> object:
        return self._ask(name, args, kwargs)


def _pattern(key: object) -> str | re.Pattern[str]:
    """*key* as the name of a task, or as a pattern of names. Raises `TypeError`."""
    if isinstance(key, re.Pattern):
        return cast("re.Pattern[str]", key)
    if not isinstance(key, str):
        raise TypeError(f"{key!r} is no task name and no pattern of one")
    return re.compile(fnmatch.translate(key)) if "*" in key else key


def _checked(key: str | re.Pattern[str], way: object) -> Route:
    try:
        return _route(way)
    except (TypeError, ValueError) as error:
        shown = key if isinstance(key, str) else key.pattern
        raise type(error)(f"{shown!r}: {error}") from None


def _route(way: object) -> Route:
    """*way* as options of a call. Raises `TypeError` or `ValueError`."""
    if isinstance(way, str):
        return {"queue": checked_queue(way)}
    if not isinstance(way, Mapping):
        raise TypeError(f"{way!r} is no way: give the name of a queue, or a dict of {', '.join(sorted(ROUTE_OPTIONS))}")
    given = cast("Mapping[str, Any]", way)
    route = _direct(given.get("queue") or "", given)
    check_names(route, ROUTE_OPTIONS, "a route")
    if "queue" in route:
        checked_queue(route["queue"])
    if route.get("priority") is not None:
        checked_priority(route["priority"])
    return route
