"""The engine for an address: of one server, found by Sentinels or not, or of a Cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from umbel.engines.redis import Engine
from umbel.engines.redis_address import Address
from umbel.engines.redis_cluster import ClusterEngine
from umbel.engines.redis_command import Command

AnyEngine: TypeAlias = Engine | ClusterEngine


def opened(address: Address, deadline: float, missed: Callable[[], Sequence[Command]] | None = None) -> AnyEngine:
    """The engine for *address*; nothing is connected yet. See `Engine` for the rest."""
    return ClusterEngine(address, deadline, missed) if address.nodes else Engine(address, deadline, missed)
