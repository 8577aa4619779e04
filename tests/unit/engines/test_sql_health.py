"""What is said of a SQL server's settings."""

from __future__ import annotations

from umbel.engines.sql_health import State, findings
from umbel.model.finding import Finding

NOW = 1000.0


def told(dialect: str, **settings: str) -> dict[str, Finding]:
    return {each.name: each for each in findings(State(dialect, "10.11", settings), NOW)}


def test_a_server_that_keeps_results_needs_no_advice() -> None:
    found = told("mariadb", innodb_flush_log_at_trx_commit="1", default_storage_engine="InnoDB", now="1000.5")
    assert [each.advice for each in found.values() if each.advice] == []
    assert found["version"].value == "mariadb 10.11"
    assert found["clock"].value == "+0.50 s"
    assert "clock" not in told("sqlite")


def test_a_setting_that_loses_results_is_named() -> None:
    assert told("postgresql", fsync="on", synchronous_commit="off")["durability"].advice.startswith(
        "synchronous_commit is"
    )
    assert told("mysql", innodb_flush_log_at_trx_commit="2")["durability"].advice.startswith("innodb_flush_log_at_trx_")


def test_tables_without_transactions_are_called_broken() -> None:
    tables = told("mysql", default_storage_engine="MyISAM")["tables"]
    assert tables.broken
    assert "InnoDB" in tables.advice
