"""Find the app that ``-A`` names: ``tasks``, ``tasks:app``, ``pkg.tasks.app``. The current folder can be imported."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from umbel.app.app import Umbel
from umbel.exceptions import ImproperlyConfigured

_ATTRIBUTES = ("app", "umbel", "celery")
_SUBMODULES = ("umbel", "tasks")


def load_app(name: str) -> Umbel:
    """The app that *name* says, with all modules that define its tasks imported; for workers. Raises as `find_app`."""
    app = find_app(name)
    app.set_default()
    app.load_tasks()
    return app


def find_app(name: str) -> Umbel:
    """The app that *name* says.

    ``module:attribute`` is exact. A ``module`` is searched for ``app``, then for its only `Umbel`, then its submodules
    ``umbel`` and ``tasks``; ``module.attribute`` is understood, too. Raises `ImproperlyConfigured`, which lists what
    was tried; an error that the module itself raises is its ``__cause__``.
    """
    folder = os.getcwd()  # noqa: PTH109 - the text is what sys.path holds
    if folder not in sys.path:
        sys.path.insert(0, folder)
    tried: list[str] = []
    module_name, colon, attribute = name.partition(":")
    if not module_name or (colon and not attribute):
        raise ImproperlyConfigured(f"-A {name!r} names no app: give module or module:attribute, such as tasks:app")
    found = _exact(module_name, attribute, tried) if colon else _search(module_name, tried)
    if found is None:
        raise ImproperlyConfigured(f"-A {name}: no app found. Tried: {'; '.join(tried)}. The folder is {folder}")
    return found


def _exact(module_name: str, attribute: str, tried: list[str]) -> Umbel | None:
    module = _imported(module_name, tried)
    if module is None:
        return None
    value: Any = module
    for part in attribute.split("."):
        value = getattr(value, part, None)
    if isinstance(value, Umbel):
        return value
    tried.append(f"{module_name}:{attribute} is {'not there' if value is None else type(value).__name__}")
    return None


def _search(name: str, tried: list[str]) -> Umbel | None:
    module = _imported(name, tried)
    if module is not None:
        return _inside(module, tried) or _below(module, tried)
    # ``pkg.tasks.app``: the last word may be the attribute.
    owner, dot, attribute = name.rpartition(".")
    return _exact(owner, attribute, tried) if dot else None


def _inside(module: ModuleType, tried: list[str]) -> Umbel | None:
    for attribute in _ATTRIBUTES:
        value = getattr(module, attribute, None)
        if isinstance(value, Umbel):
            return value
    apps = {name: value for name, value in vars(module).items() if isinstance(value, Umbel)}
    different = {id(app) for app in apps.values()}
    if len(different) > 1:
        choices = ", ".join(f"{module.__name__}:{name}" for name in apps)
        raise ImproperlyConfigured(f"-A {module.__name__}: there are several apps, name one of {choices}")
    tried.append(f"{module.__name__} has no Umbel app in it" if not apps else f"{module.__name__}: one app")
    return next(iter(apps.values()), None)


def _below(module: ModuleType, tried: list[str]) -> Umbel | None:
    for submodule in _SUBMODULES if hasattr(module, "__path__") else ():
        found = _imported(f"{module.__name__}.{submodule}", tried)
        app = None if found is None else _inside(found, tried)
        if app is not None:
            return app
    return None


def _imported(name: str, tried: list[str]) -> ModuleType | None:
    """The module *name*, or None if there is no such module. Raises `ImproperlyConfigured` if its code fails."""
    try:
        there = find_spec(name) is not None
    except ModuleNotFoundError as error:
        # A parent that is not there, or is no package, and not something that a parent imports.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _failed(name, error) from error
        there = False
    except Exception as error:
        raise _failed(name, error) from error
    if not there:
        tried.append(f"there is no module {name}")
        return None
    try:
        return import_module(name)
    except Exception as error:
        raise _failed(name, error) from error


def _failed(name: str, error: Exception) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"-A {name}: importing it fails: {type(error).__name__}: {error}")
