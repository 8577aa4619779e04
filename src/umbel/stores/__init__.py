"""Result stores: the power `ResultStore` on each engine. `connect` is the one look-up by URL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from umbel.engines.address import factory, masked, results_address
from umbel.exceptions import ImproperlyConfigured
from umbel.settings.database import NAMES, SCHEMAS
from umbel.stores.referring import ReferringStore

if TYPE_CHECKING:
    from umbel.contracts.powers import ResultStore
    from umbel.settings import Settings

BUILT_IN: Final = {
    "memory": "umbel.stores.memory:connect",
    "sqlite": "umbel.stores.sqlite:connect",
    "redis": "umbel.stores.redis:connect",
    "rediss": "umbel.stores.redis:connect",
    "redis+socket": "umbel.stores.redis:connect",
    "redis+sentinel": "umbel.stores.redis:connect",
    "rediss+sentinel": "umbel.stores.redis:connect",
    "sentinel": "umbel.stores.redis:connect",
    "redis+cluster": "umbel.stores.redis:connect",
    "rediss+cluster": "umbel.stores.redis:connect",
    "postgresql": "umbel.stores.postgres:connect",
    "postgres": "umbel.stores.postgres:connect",
    "db+postgresql": "umbel.stores.sql:connect",
    "db+postgresql+psycopg": "umbel.stores.sql:connect",
    "db+postgresql+psycopg2": "umbel.stores.sql:connect",
    "db+mysql": "umbel.stores.sql:connect",
    "db+mysql+pymysql": "umbel.stores.sql:connect",
    "db+mysql+mysqldb": "umbel.stores.sql:connect",
    "db+mariadb": "umbel.stores.sql:connect",
    "db+mariadb+pymysql": "umbel.stores.sql:connect",
    "db+sqlite": "umbel.stores.sql:connect",
    "s3": "umbel.stores.objects:connect",
    "gs": "umbel.stores.objects:connect",
    "gcs": "umbel.stores.objects:connect",
    "az": "umbel.stores.objects:connect",
    "azure": "umbel.stores.objects:connect",
    "file": "umbel.stores.objects:connect",
    "disabled": "umbel.stores.nowhere:connect",
}
"""Scheme to ``module:factory``; a factory takes (url, settings) and opens nothing yet."""

OBJECTS: Final[dict[str, str]] = dict.fromkeys(
    ("s3", "gs", "gcs", "az", "azure", "file"), "umbel.stores.large:LargeRecords"
)
"""The same for ``result_object_store``; a factory takes (settings)."""


def connect(url: str, settings: Settings) -> ResultStore:
    """The result store at *url*; nothing is opened before its first use. Raises `ImproperlyConfigured`."""
    if not url.startswith("db+") and (settings.database_table_schemas or settings.database_table_names):
        raise ImproperlyConfigured(
            f"{SCHEMAS} and {NAMES} are for results at db+…, and these are at {masked(url)}: leave them out"
        )
    make: Any = factory(url, BUILT_IN, "umbel.stores", "result store")
    store: ResultStore = make(results_address(url, settings), settings)
    if not settings.result_object_store:
        return store
    large: Any = factory(settings.result_object_store, OBJECTS, "umbel.stores.large", "object store")
    return ReferringStore(store, large(settings))
