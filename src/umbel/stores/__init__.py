"""Result stores: the power `ResultStore` on each engine. `connect` is the one look-up by URL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from umbel.engines.address import factory

if TYPE_CHECKING:
    from umbel.contracts.powers import ResultStore
    from umbel.settings import Settings

BUILT_IN: Final = {
    "memory": "umbel.stores.memory:connect",
    "sqlite": "umbel.stores.sqlite:connect",
    "redis": "umbel.stores.redis:connect",
    "rediss": "umbel.stores.redis:connect",
    "redis+socket": "umbel.stores.redis:connect",
}
"""Scheme to ``module:factory``; a factory takes (url, settings) and opens nothing yet."""


def connect(url: str, settings: Settings) -> ResultStore:
    """The result store at *url*; nothing is opened before its first use. Raises `ImproperlyConfigured`."""
    make: Any = factory(url, BUILT_IN, "umbel.stores", "result store")
    store: ResultStore = make(url, settings)
    return store
