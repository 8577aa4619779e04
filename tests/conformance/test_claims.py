"""Claims on each engine that can hold them; Sentinel and Cluster are in the files of their servers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conformance.claim_suite import ClaimEssentials, ClaimSuite
from tests.patient import PATIENT
from umbel.claims.redis import RedisClaims
from umbel.claims.sql import SqlClaims
from umbel.claims.sql import connect as claims_at
from umbel.settings import Settings
from umbel.stores.redis import RedisResultStore
from umbel.stores.sql import connect as store_at
from umbel.stores.threaded import ThreadedStore


class OnRedis(ClaimSuite):
    url: str

    def make(self, clock: Callable[[], float]) -> RedisClaims:
        return RedisClaims(self.url, PATIENT, clock)

    def make_store(self, clock: Callable[[], float]) -> RedisResultStore:
        del clock  # Redis's own decides when a record expires
        return RedisResultStore(self.url, PATIENT)


class TestRedis(OnRedis):
    @pytest.fixture(autouse=True)
    def _server(self, redis_url: str) -> None:
        self.url = redis_url


class OnDatabase(ClaimEssentials):
    url: str
    settings: Settings = PATIENT

    def make(self, clock: Callable[[], float]) -> SqlClaims:
        return claims_at(self.url, self.settings, clock)

    def make_store(self, clock: Callable[[], float]) -> ThreadedStore:
        return store_at(self.url, self.settings, clock)


class TestSqlite(OnDatabase):
    """Beside results in a table of another name, which claims write to."""

    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self.url = f"db+sqlite:///{tmp_path}/results.db"
        self.settings = Settings(broker_send_deadline=20.0, database_table_names={"task": "shop"})


class TestMariaDB(OnDatabase):
    @pytest.fixture(autouse=True)
    def _server(self, mariadb_url: str) -> None:
        self.url = mariadb_url


class TestPostgres(OnDatabase, ClaimSuite):
    @pytest.fixture(autouse=True)
    def _server(self, postgres_results_url: str) -> None:
        self.url = postgres_results_url
