"""Claims on each engine that can hold them; Sentinel and Cluster are in the files of their servers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conformance.claim_suite import ClaimSuite
from umbel.claims.redis import RedisClaims
from umbel.settings import Settings
from umbel.stores.redis import RedisResultStore


class OnRedis(ClaimSuite):
    url: str

    def make(self, clock: Callable[[], float]) -> RedisClaims:
        return RedisClaims(self.url, Settings(), clock)

    def make_store(self, clock: Callable[[], float]) -> RedisResultStore:
        del clock  # Redis's own decides when a record expires
        return RedisResultStore(self.url, Settings())


class TestRedis(OnRedis):
    @pytest.fixture(autouse=True)
    def _server(self, redis_url: str) -> None:
        self.url = redis_url
