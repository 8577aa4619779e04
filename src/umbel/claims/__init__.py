"""Claim stores: leases and fences for a broker that keeps none. `connect` is the one look-up by URL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from umbel.engines.address import factory, results_address

if TYPE_CHECKING:
    from umbel.contracts.claims import ClaimStore
    from umbel.settings import Settings

_REDIS: Final = ("redis", "rediss", "redis+socket")
_SENTINEL: Final = ("redis+sentinel", "rediss+sentinel", "sentinel")
_CLUSTER: Final = ("redis+cluster", "rediss+cluster")
_SQL: Final = (
    "db+postgresql",
    "db+postgresql+psycopg",
    "db+postgresql+psycopg2",
    "db+mysql",
    "db+mysql+pymysql",
    "db+mysql+mysqldb",
    "db+mariadb",
    "db+mariadb+pymysql",
    "db+sqlite",
)
_APART: Final = ("postgresql", "postgres")
BUILT_IN: Final = {
    **dict.fromkeys((*_REDIS, *_SENTINEL, *_CLUSTER), "umbel.claims.redis:connect"),
    **dict.fromkeys(_SQL, "umbel.claims.sql:connect"),
    **dict.fromkeys(_APART, "umbel.claims.sql:connect_beside"),
}
"""Scheme to ``module:factory``; a factory takes (url, settings) and opens nothing yet."""


def can_hold(url: str) -> bool:
    """Whether claims can be held at *url*, the URL of a result store."""
    return url.partition(":")[0] in BUILT_IN


def records(url: str) -> bool:
    """Whether the record of a job is written at *url* in the same step that ends its claim."""
    return can_hold(url) and url.partition(":")[0] not in _APART


def connect(url: str, settings: Settings) -> ClaimStore:
    """The claim store at *url*; nothing is opened before its first use. Raises `ImproperlyConfigured`."""
    make: Any = factory(url, BUILT_IN, "umbel.claims", "claim store")
    store: ClaimStore = make(results_address(url, settings), settings)
    return store
