"""What is said of a PostgreSQL server's settings and state."""

from __future__ import annotations

import re

import msgspec
import pytest

from umbel.engines.postgres_connection import refuse_old
from umbel.engines.postgres_health import State, bloat, pooler, settings
from umbel.exceptions import ImproperlyConfigured
from umbel.model.finding import Finding, apart

GOOD = State(
    number=150_018,
    version="15.18",
    standby=False,
    synchronous_commit="on",
    fsync="on",
    full_page_writes="on",
    synchronous_standbys="",
    autovacuum="on",
    now=0.0,
    clients=10,
    max_clients=100,
)


def told(pooled: bool = False, **changed: object) -> dict[str, Finding]:
    return {each.name: each for each in settings(msgspec.structs.replace(GOOD, **changed), pooled=pooled)}


def test_a_server_that_keeps_jobs_needs_no_advice() -> None:
    assert {name: (each.value, each.advice) for name, each in told().items()} == {
        "version": ("15.18", ""),
        "durability": ("disk, synchronous_commit on", ""),
        "connections": ("10 of 100", ""),
    }
    assert pooler(pooled=False, listens=False) == []
    assert bloat([], []) == []


@pytest.mark.parametrize(
    ("changed", "name", "advice"),
    [
        ({"fsync": "off"}, "durability", "a power failure damages the data: set fsync to on"),
        ({"full_page_writes": "off"}, "durability", "set full_page_writes to on"),
        ({"synchronous_commit": "off", "pooled": True}, "durability", "through a pooler: alter the role"),
        ({"autovacuum": "off"}, "autovacuum", "turn it on"),
        ({"clients": 95}, "connections", "raise max_connections"),
    ],
)
def test_each_danger_is_told_with_its_cure(changed: dict[str, bool], name: str, advice: str) -> None:
    found = told(**changed)
    assert re.search(advice, found[name].advice)
    assert [each.name for each in found.values() if each.advice] == [name]


def test_what_cannot_work_is_called_broken() -> None:
    old = told(number=120_022, version="12.22")["version"]
    assert (old.broken, old.advice) == (True, "PostgreSQL 12.22 is too old: use 13 or later")
    standby = told(standby=True)["role"]
    assert standby.broken
    assert "the address of the primary" in standby.advice


def test_a_server_that_is_too_old_is_refused_before_its_first_statement() -> None:
    with pytest.raises(ImproperlyConfigured, match="PostgreSQL 12 is too old: use 13 or later"):
        refuse_old(120_022)
    refuse_old(130_000)


def test_a_commit_that_others_confirm_is_told() -> None:
    assert told(synchronous_standbys="b")["durability"].value == "disk, synchronous_commit on, confirmed by b"
    assert "confirmed" not in told(synchronous_standbys="b", synchronous_commit="local")["durability"].value


def test_a_pooler_needs_a_way_around_it() -> None:
    (lost,) = pooler(pooled=True, listens=False)
    assert "add ?listen=" in lost.advice
    (found,) = pooler(pooled=True, listens=True)
    assert found.advice == ""


def test_what_keeps_dead_rows_is_named_when_it_is_old() -> None:
    rows = [("transaction", "psql (process 7)", 90_000.0), ("replication slot", "copy", 5.0)]
    transaction, slot = bloat(rows, [])
    assert transaction.value == "psql (process 7), 90,000 s"
    assert "the transaction psql (process 7) keeps dead rows" in transaction.advice
    assert (slot.value, slot.advice) == ("copy, 5 transactions", "")


def test_many_dead_rows_are_told() -> None:
    (few,) = bloat([], [(10, 5_000)])
    assert (few.value, few.advice) == ("10 alive, 5,000 dead", "")
    (many,) = bloat([], [(10, 200_000)])
    assert "autovacuum" in many.advice


@pytest.mark.parametrize(("told", "ahead"), [(100.5, 0.0), (90.0, -10.0), (130.0, 20.0), (100.0, 0.0), (110.0, 0.0)])
def test_a_clock_is_ahead_by_what_no_slow_answer_explains(told: float, ahead: float) -> None:
    assert apart(told, 100.0, 110.0) == ahead
