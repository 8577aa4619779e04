"""The specification of result stores on SQL databases: real servers and files, a clock that is moved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers import Server
from umbel.settings import Settings
from umbel.stores.sql import connect
from umbel.stores.threaded import ThreadedStore
from umbel.testing import ResultStoreConformance


class OnOneDatabase(ResultStoreConformance):
    """An empty database for each test; every client has connections of its own."""

    url: str

    def make(self, clock: Callable[[], float]) -> ThreadedStore:
        return connect(self.url, Settings(), clock)


class TestSqlite(OnOneDatabase):
    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self.url = f"db+sqlite:///{tmp_path}/results.db"


class TestMariaDB(OnOneDatabase):
    @pytest.fixture(autouse=True)
    def _server(self, mariadb_url: str) -> None:
        self.url = mariadb_url


class TestPostgres(OnOneDatabase):
    @pytest.fixture(autouse=True)
    def _server(self, postgres_results_url: str) -> None:
        self.url = postgres_results_url


class TestPgBouncer(OnOneDatabase):
    @pytest.fixture(autouse=True)
    def _server(self, postgres_results_url: str, pgbouncer_server: Server) -> None:
        self.url = f"db+{pgbouncer_server.url}"
