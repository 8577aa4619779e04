"""Where settings come from: environment over program over file over defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final, cast

from umbel.exceptions import ImproperlyConfigured
from umbel.settings.foreign import PREFIXES, belongs
from umbel.settings.settings import Settings

PREFIX: Final = "UMBEL_"
_FILES: Final = ("umbel.toml", "pyproject.toml")
_URLS: Final = ("broker_url", "result_backend")
_NOT_SETTINGS: Final = frozenset({"app"})
"""Keys of the project file that other parts read."""


def read_file(settings: Settings, folder: Path) -> None:
    """Assign what ``umbel.toml``, or else ``[tool.umbel]`` of ``pyproject.toml``, in *folder* says.

    Raises `ImproperlyConfigured` for a file that cannot be read and for what `Settings.assign` refuses.
    """
    for name in _FILES:
        path = folder / name
        table = _table(path)
        if table is not None and name == "pyproject.toml":
            table = table.get("tool", {}).get("umbel")
        if table is not None:
            settings.assign({key: value for key, value in table.items() if key not in _NOT_SETTINGS}, str(path))
            return


def read_environment(settings: Settings, environment: Mapping[str, str]) -> None:
    """Assign what ``UMBEL_<SETTING>`` variables say; ``UMBEL_BROKER_URL_FILE`` names a file that holds the URL.

    Assignments of the program do not change them. Variables that begin like no setting are somebody else's.
    """
    for variable, value in environment.items():
        if not variable.startswith(PREFIX):
            continue
        name = variable.removeprefix(PREFIX).lower()
        url = name.removesuffix("_file")
        if name != url and url in _URLS:
            settings.assign({url: _secret(variable, value)}, variable, pinned=True, text=True)
        elif not value and name in _URLS:
            continue  # as a container's template leaves it, when nobody gave a URL
        elif name in settings or name.startswith(PREFIXES):
            settings.assign({name: value}, variable, pinned=True, text=True)


def read_object(settings: Settings, source: object, namespace: str | None, *, silent: bool = False) -> None:
    """Assign what the module, class, object or mapping *source*, or the module of that name, says.

    With a *namespace* each name that begins with it (``UMBEL_BROKER_URL`` for "UMBEL") must be a setting. Without one,
    a mapping may hold settings only; of other objects the attributes that begin like settings are taken.
    """
    if isinstance(source, str):
        origin, source = source, _named(source, silent=silent)
    else:
        origin = source.__name__ if isinstance(source, ModuleType | type) else type(source).__name__
    given = dict(cast("Mapping[str, Any]", source)) if isinstance(source, Mapping) else _attributes(source)
    if namespace:
        start = f"{namespace}_".upper()
        chosen = {name[len(start) :].lower(): value for name, value in given.items() if name.upper().startswith(start)}
    elif isinstance(source, Mapping):
        chosen = {_lower(settings, name): value for name, value in given.items()}
    else:
        lower = {_lower(settings, name): value for name, value in given.items()}
        chosen = {name: value for name, value in lower.items() if name in settings or belongs(name)}
    settings.assign(chosen, origin)


def current_environment() -> Mapping[str, str]:
    """The environment of this process."""
    return os.environ


def _named(name: str, *, silent: bool) -> object:
    """The module *name*, or what ``module:attribute`` says, such as ``django.conf:settings``."""
    from importlib import import_module

    module, colon, attribute = name.partition(":")
    try:
        found = import_module(module)
        return getattr(found, attribute) if colon else found
    except AttributeError as error:
        raise ImproperlyConfigured(f"{name!r} names no settings: {error}") from error
    except ModuleNotFoundError as error:
        # The module itself is missing, not something that it imports.
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        if silent:
            return {}
        raise ImproperlyConfigured(f"there is no module {module!r} to take settings from: {error}") from error


def _attributes(source: object) -> dict[str, Any]:
    return {name: getattr(source, name) for name in dir(source) if not name.startswith("_")}


def _lower(settings: Settings, name: str) -> str:
    # Upper-case names that are settings in lower case are meant as such; other constants are the module's own.
    return name.lower() if name.isupper() and name.lower() in settings else name


def _table(path: Path) -> dict[str, Any] | None:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(f"{path} cannot be read: {error}") from error
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ImproperlyConfigured(f"{path} is not TOML: {error}") from error


def _secret(variable: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(f"{variable} names {path}, which cannot be read: {error}") from error
