"""Celery's settings of the tables of results in SQL databases: what they may say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from umbel.exceptions import ImproperlyConfigured

SCHEMAS: Final = "database_table_schemas"
NAMES: Final = "database_table_names"
TABLES: Final = frozenset({SCHEMAS, NAMES})
"""The settings that tell where the tables are and how they are called."""
RESULTS: Final = "task"
"""Celery's key for the table of results."""
_GROUPS: Final = "group"
"""Its key for that of saved groups, which Umbel keeps beside the results."""
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,49}")
_CLAIMS: Final = "umbel_claim_"


def check_tables(given: Mapping[str, str], name: str, origin: str) -> None:
    """Raise `ImproperlyConfigured` for a key or a name that no table can have; *name* is the setting."""
    for key, value in given.items():
        where = f"{name} ({origin}): {key}"
        if key not in (RESULTS, _GROUPS):
            raise ImproperlyConfigured(f"{where} is no kind of table: the table of results is {RESULTS!r}")
        if name == NAMES and "." in value:
            raise ImproperlyConfigured(f"{where} is {value!r}: put what is in front of the dot into {SCHEMAS}")
        if _NAME.fullmatch(value) is None:
            raise ImproperlyConfigured(
                f"{where} is {value!r}: give 1-50 letters, digits and underscores, the first no digit"
            )
        if name == NAMES and value.lower().startswith(_CLAIMS):
            raise ImproperlyConfigured(f"{where} is {value!r}: names with {_CLAIMS} belong to RabbitMQ's claims")


def moot_tables(given: Mapping[str, str]) -> list[str]:
    """Which keys of *given* name a table that Umbel does not have."""
    return [key for key in given if key == _GROUPS]
