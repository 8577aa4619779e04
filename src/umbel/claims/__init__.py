"""Claim stores: leases and fences for a broker that keeps none. `connect` is the one look-up by URL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from umbel.engines.address import factory, masked
from umbel.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from umbel.contracts.claims import ClaimStore
    from umbel.settings import Settings

_SCHEMES: Final = ("redis", "rediss", "redis+socket")
_SENTINEL: Final = ("redis+sentinel", "rediss+sentinel", "sentinel")
_CLUSTER: Final = ("redis+cluster", "rediss+cluster")
BUILT_IN: Final = dict.fromkeys((*_SCHEMES, *_SENTINEL, *_CLUSTER), "umbel.claims.redis:connect")
"""Scheme to ``module:factory``; a factory takes (url, settings) and opens nothing yet."""


def connect(url: str, settings: Settings) -> ClaimStore:
    """The claim store at *url*; nothing is opened before its first use. Raises `ImproperlyConfigured`."""
    if url.partition(":")[0] not in BUILT_IN:
        raise ImproperlyConfigured(
            f"RabbitMQ carries jobs and cannot keep leases and results: set result_backend to a redis:// URL, "
            f"not {masked(url)!r}"
        )
    make: Any = factory(url, BUILT_IN, "umbel.claims", "claim store")
    store: ClaimStore = make(url, settings)
    return store
