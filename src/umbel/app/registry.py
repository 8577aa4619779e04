"""Registry: name -> Task, the only way from a message to code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from umbel.decorators import AnyTask, annotate, same_origin
from umbel.exceptions import AlreadyRegistered, NotRegistered
from umbel.options import nearest


class Registry(dict[str, AnyTask]):
    """The tasks of one app. A look-up of a name that is not there raises `NotRegistered`."""

    def __init__(self) -> None:
        """Have no task yet."""
        super().__init__()
        self._annotations: Mapping[str, Mapping[str, Any]] = {}

    def annotate(self, annotations: Mapping[str, Mapping[str, Any]]) -> None:
        """Let these options of the setting ``task_annotations`` count for all tasks, those to come among them."""
        self._annotations = annotations
        for task in self.values():
            annotate(task, annotations)

    def add(self, task: AnyTask) -> None:
        """Register *task*. Raises `AlreadyRegistered` when its name belongs to another function."""
        other = self.get(task.name)
        if other is not None and not same_origin(other, task):
            raise AlreadyRegistered(
                f"there is a task {task.name} already, made of {_place(other)}; {_place(task)} needs another name: "
                "@app.task(name=…)"
            )
        annotate(task, self._annotations)
        self[task.name] = task

    def __missing__(self, name: str) -> NoReturn:
        raise NotRegistered(f"no task {name!r} is registered{nearest(name, self)}")

    def unregister(self, name: str) -> None:
        """Take the task *name* out. Raises `NotRegistered`."""
        if self.pop(name, None) is None:
            self.__missing__(name)


def import_all(modules: Iterable[str]) -> None:
    """Import *modules*; each must be there. Raises whatever their code raises."""
    from importlib import import_module

    for module in modules:
        import_module(module)


def import_related(packages: Iterable[str], related_name: str | None) -> None:
    """Import the module *related_name* of each of *packages*, if it has one; None imports the packages.

    Raises `ModuleNotFoundError` for a package that is not there, and whatever the modules' code raises.
    """
    from importlib import import_module
    from importlib.util import find_spec

    for package in packages:
        found = import_module(package)
        if related_name is None or not hasattr(found, "__path__"):
            continue
        module = f"{package}.{related_name}"
        if find_spec(module) is not None:
            import_module(module)


def _place(task: AnyTask) -> str:
    function: Any = getattr(task, "__wrapped__", None)
    code = getattr(function, "__code__", None)
    if code is None:
        return f"{type(task).__module__}.{type(task).__qualname__}"
    return f"{function.__module__}.{function.__qualname__} ({code.co_filename}:{code.co_firstlineno})"
