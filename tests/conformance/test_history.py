"""The history on SQLite and on PostgreSQL."""

import gc
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import apsw
import psycopg
import pytest

from tests.conformance.history_acting_suite import ActingSuite
from tests.conformance.history_rows_suite import RowsSuite
from tests.conformance.history_suite import HistorySuite
from tests.servers import Server
from umbel.contracts.history import Archive, Transaction
from umbel.engines.postgres_history import PostgresTransaction
from umbel.engines.sqlite_history import APPLICATION_ID
from umbel.exceptions import HistoryUnavailable, ImproperlyConfigured
from umbel.history import History, open_history
from umbel.history.archives import archive_at
from umbel.settings import Settings

TABLES = "job|job_body|job_result|arg|attempt|rollup|error_minute|queue_sample|minute|schedule_run"
LARGE = f"{TABLES}|j|b|a|s"
READ_SECONDS = 60.0


OLD_ROWS = """
update counter set value = 1;
insert into name (id, sort, name) values (1, 'task', 'old');
insert into job (seq, id, task_id, queue_id, worker_id, worker_n, state, grade, attempt, level, state_at, priority,
    crashes, sent_at, is_sent, error_id, error_n, heard, change)
values (1, 'a', 1, 0, 0, -1, 11, 1, 2, 9, 1800000000, 0, 0, 1800000000, 1, 1, 2, 1800000000, 1);
insert into minute (minute, first, last) values (1800000000, 1, 1);
insert into error (id, fingerprint, type, template, frame, first_seen, last_seen, n, last_seq)
values (1, 'x', 'E', 'm', 'f', 1800000000, 1800000000, 5, 1);
insert into error_minute (minute, error_id, n) values (1799999880, 1, 2), (1799992800, 1, 3);
"""


def first_schema(engine: str) -> str:
    """The tables as the first version made them."""
    return (files("umbel.history") / f"{engine}_schema" / "0001_first.sql").read_text(encoding="utf-8")


class TestSqlite(HistorySuite, ActingSuite, RowsSuite):
    ENDLESS = "with recursive n(n) as (select 1 union all select n + 1 from n) select count(*) from n"

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path
        self.made = 0

    def make(self) -> Archive:
        """The history in a file."""
        return archive_at(f"sqlite:///{self.folder}/history{self.made}.db", Settings())

    def plans(self, transaction: Transaction, text: str, values: Sequence[object]) -> str:
        """How SQLite would carry it out."""
        return "\n".join(row[3] for row in transaction.ask(f"explain query plan {_stripped(text)}", values))

    def whole(self, plan: str) -> bool:
        """Whether it scans a large table."""
        return re.search(rf"SCAN ({LARGE})\b", plan) is not None

    def columns(self, transaction: Transaction, table: str) -> list[str]:
        """As its schema has them."""
        return [row[1] for row in transaction.ask(f"pragma table_info({table})", ())]

    def _empty(self) -> None:
        self.history.close()
        self.made += 1
        self.archive = self.make()
        self.history = History(self.archive, self.clock)

    def test_a_reader_makes_no_file(self) -> None:
        with pytest.raises(HistoryUnavailable, match="umbel recorder"):
            self.history.jobs()
        assert list(self.folder.iterdir()) == []

    def test_a_file_of_something_else_is_refused(self) -> None:
        settings = Settings(history_url=f"sqlite:///{self.folder}/other.db")
        (self.folder / "other.db").write_bytes(b"no database at all" * 100)
        with pytest.raises(Exception, match=r"other\.db"):
            open_history(settings).audit("a", "b", "c", "d", 1, "e")

    def test_the_history_stands_beside_the_embedded_broker(self) -> None:
        settings = Settings(broker_url=f"sqlite:///{self.folder}/shop.umbel.db")
        open_history(settings).audit("a", "b", "c", "d", 1, "e")
        assert "shop.umbel.history.db" in {each.name for each in self.folder.iterdir()}

    def test_the_file_of_an_older_version_is_brought_forward(self) -> None:
        self.made += 1
        connection = apsw.Connection(f"{self.folder}/history{self.made}.db")
        connection.execute(first_schema("sqlite"))
        connection.execute(OLD_ROWS)
        connection.pragma("application_id", APPLICATION_ID)
        connection.pragma("user_version", 1)
        connection.close()
        self.history.close()
        self.archive = self.make()
        self.history = History(self.archive, self.clock)
        self.check_what_is_old()

    def test_the_tables_of_a_newer_version_are_refused(self) -> None:
        self.history.audit("a", "b", "c", "d", 1, "e")
        self.history._archive.write(lambda step: step.ask("pragma user_version = 99", ()))
        with pytest.raises(ImproperlyConfigured, match="newer"):
            History(self.make()).jobs()


class TestPostgres(HistorySuite, ActingSuite, RowsSuite):
    ENDLESS = "select pg_sleep(60)"

    @pytest.fixture(autouse=True)
    def _server(self, postgres_server: Server) -> None:
        postgres_server.ensure_running()
        self.url = postgres_server.url

    def make(self) -> Archive:
        """The history in a database, empty."""
        self._empty()
        return archive_at(self.url, Settings())

    def plans(self, transaction: Transaction, text: str, values: Sequence[object]) -> str:
        """How PostgreSQL would carry it out."""
        return "\n".join(row[0] for row in transaction.ask(f"explain (costs off) {_stripped(text)}", values))

    def whole(self, plan: str) -> bool:
        """Whether it scans a large table."""
        large = "job|job_body|job_result|arg|attempt|rollup|error_minute|queue_sample|minute"
        return re.search(rf"Seq Scan on ({large})\b", plan) is not None

    def columns(self, transaction: Transaction, table: str) -> list[str]:
        """As its schema has them."""
        text = (
            "select column_name::text from information_schema.columns"
            " where table_schema = 'umbel_history' and table_name = $1 order by ordinal_position"
        )
        return [row[0] for row in transaction.ask(text, (table,))]

    def _empty(self) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            tables = connection.execute("select tablename from pg_tables where schemaname = 'umbel_history'").fetchall()
            names = [f"umbel_history.{name}" for (name,) in tables if name not in ("migration", "counter")]
            if names:
                connection.execute(f"truncate {', '.join(names)}".encode())
                connection.execute("update umbel_history.counter set value = 0")
        if hasattr(self, "history"):
            self.history = History(self.archive, self.clock)  # which remembers no name

    def test_tables_that_somebody_dropped_are_made_again(self) -> None:
        self.history.audit("a", "b", "c", "d", 1, "e")
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("drop schema umbel_history cascade")
        self.history.audit("a", "b", "c", "d", 1, "e")
        assert len(self.history.audits()) == 1

    def test_who_is_closed_while_it_reads_leaves_no_connection_open(self) -> None:
        archive = archive_at(self.url, Settings())

        def closed(transaction: Transaction) -> psycopg.Connection[Any]:
            archive.close()
            assert isinstance(transaction, PostgresTransaction)
            return transaction._line

        assert archive.read(closed, READ_SECONDS).closed

    def test_who_reads_on_after_it_was_closed_leaves_no_connection_open_when_nobody_has_it_any_more(self) -> None:
        def line(transaction: Transaction) -> psycopg.Connection[Any]:
            assert isinstance(transaction, PostgresTransaction)
            return transaction._line

        archive = archive_at(self.url, Settings())
        archive.close()
        used = archive.read(line, READ_SECONDS)
        assert not used.closed
        del archive
        gc.collect()
        assert used.closed

    def test_the_tables_of_a_newer_version_are_refused_and_no_connection_is_left_open(self) -> None:
        self.history.audit("a", "b", "c", "d", 1, "e")
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("insert into umbel_history.migration (number) values (99)")
            try:
                with pytest.raises(ImproperlyConfigured, match="newer"):
                    History(archive_at(self.url, Settings())).jobs()
                gc.collect()  # what is open yet is told of, as an error
            finally:
                connection.execute("delete from umbel_history.migration where number = 99")

    def test_the_tables_of_an_older_version_are_brought_forward(self) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("drop schema if exists umbel_history cascade")
            connection.execute("create schema umbel_history")
            connection.execute("set search_path to umbel_history")
            connection.execute("create table migration (number integer primary key, at timestamptz default now())")
            connection.execute(first_schema("postgres").encode())
            connection.execute(OLD_ROWS.encode())
            connection.execute("insert into migration (number) values (1)")
        self.check_what_is_old()

    def test_the_history_works_behind_a_pooler(self, pgbouncer_url: str) -> None:
        history = History(archive_at(pgbouncer_url, Settings()), self.clock)
        for _ in range(10):
            history.audit("a", "b", "c", "d", 1, "e")
            assert history.jobs().rows == ()
        history.close()


def _stripped(text: str) -> str:
    """*text* without the comment it begins with."""
    return re.sub(r"^(--[^\n]*\n)+", "", text)
