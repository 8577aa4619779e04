"""A page of metrics in Prometheus's text format, written by its own client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry


class _Families(Collector):
    """Families that were gathered already."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """Each of them."""
        yield from self._families


def page(families: Iterable[Metric]) -> tuple[bytes, str]:
    """*families* as a page, and its content type."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(list(families)))
    return generate_latest(registry), CONTENT_TYPE_LATEST
