"""The specification of result stores on SQL databases: real servers and files, a clock that is moved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.patient import PATIENT
from tests.servers import Server
from umbel.settings import Settings
from umbel.stores.sql import connect
from umbel.stores.threaded import ThreadedStore
from umbel.testing import ResultStoreConformance


class OnOneDatabase(ResultStoreConformance):
    """An empty database for each test; every client has connections of its own."""

    url: str

    def make(self, clock: Callable[[], float]) -> ThreadedStore:
        return connect(self.url, PATIENT, clock)


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


class OnOtherTables(OnOneDatabase):
    """The tables have a name of the user's, in a schema of the user's."""

    schema: str = ""

    def make(self, clock: Callable[[], float]) -> ThreadedStore:
        settings = Settings()
        settings.database_table_names = {"task": "Shop_results"}
        if self.schema:
            settings.database_table_schemas = {"task": self.schema}
        return connect(self.url, settings, clock)


class TestOtherNameInSqlite(OnOtherTables):
    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self.url = f"db+sqlite:///{tmp_path}/results.db"


class TestOtherSchemaInPostgres(OnOtherTables):
    schema = "Shop"

    @pytest.fixture(autouse=True)
    def _server(self, postgres_results_url: str) -> None:
        self.url = postgres_results_url
        with psycopg.connect(postgres_results_url.removeprefix("db+"), autocommit=True) as admin:
            admin.execute('drop schema if exists "Shop" cascade; create schema "Shop"')


class TestPgBouncer(OnOneDatabase):
    @pytest.fixture(autouse=True)
    def _server(self, postgres_results_url: str, pgbouncer_server: Server) -> None:
        self.url = f"db+{pgbouncer_server.url}"
