"""URLs as they may be printed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast

SECRET: Final = "dashboard_session_secret"  # noqa: S105 - the name of the setting
"""The setting that is never shown."""
# To the last @: a password that should have been quoted, and was not, is hidden as well.
_PASSWORD: Final = re.compile(r"(?<=://)([^:@/?#]*):(.*)@")
# The same of a URL that is an option of another one, percent-encoded.
_INNER: Final = re.compile(r"(?i)(?<=%3A%2F%2F)((?:(?!%3A|%2F|%40)[^&#])*)%3A[^&#]*%40")
_SECRET_NAME: Final = re.compile(r"(?i)password|secret|token|key|sas")
_SECRET_OPTION: Final = re.compile(rf"(?i)([?&][^=&#]*(?:{_SECRET_NAME.pattern.removeprefix('(?i)')})[^=&#]*=)[^&#]*")


def masked(url: str) -> str:
    """*url* as it may be printed: passwords and secret options replaced by stars."""
    return _SECRET_OPTION.sub(r"\1***", _INNER.sub(r"\1%3A***%40", _PASSWORD.sub(r"\1:***@", url)))


def masked_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """*options* as they may be printed: what is named like a secret replaced by stars, at any depth."""
    return {name: "***" if _SECRET_NAME.search(name) else _shown(value) for name, value in options.items()}


def _shown(value: object) -> object:
    if isinstance(value, Mapping):
        return masked_options(cast("Mapping[str, Any]", value))
    return masked(value) if isinstance(value, str) else value


def printable(name: str, value: object) -> object:
    """*value* of the setting *name* as it may be printed."""
    if name == SECRET and value:
        return "***"
    if isinstance(value, Mapping):
        return masked_options(cast("Mapping[str, Any]", value))
    return masked(value) if isinstance(value, str) else value
