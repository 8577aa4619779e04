"""What is said of a Redis server's settings and state."""

from __future__ import annotations

import re

import pytest

from umbel.engines.redis_health import facts, findings
from umbel.model.finding import Finding

GOOD = {
    "redis_version": "7.0.15",
    "role": "master",
    "connected_slaves": "0",
    "maxmemory_policy": "noeviction",
    "maxmemory": "0",
    "used_memory": "1048576",
    "aof_enabled": "1",
    "appendfsync": "everysec",
    "aof_last_write_status": "ok",
    "rdb_last_bgsave_status": "ok",
    "cluster_enabled": "0",
    "server_time_usec": "1000500000",
}
NOW = 1000.0


def told(changed: dict[str, str], *, clustered: bool = False) -> dict[str, Finding]:
    return {each.name: each for each in findings(GOOD | changed, NOW, clustered=clustered)}


def test_a_server_that_keeps_jobs_needs_no_advice() -> None:
    found = told({})
    assert [each.advice for each in found.values() if each.advice] == []
    assert {name: each.value for name, each in found.items()} == {
        "version": "7.0.15",
        "durability": "disk, each second",
        "maxmemory-policy": "noeviction",
        "memory": "1.0 MB used, no limit",
        "clock": "+0.50 s",
    }


def test_a_server_that_tells_nothing_is_not_blamed() -> None:
    assert findings({}, NOW) == []


@pytest.mark.parametrize(
    ("changed", "name", "advice"),
    [
        (
            {"maxmemory_policy": "allkeys-lru"},
            "maxmemory-policy",
            "allkeys-lru: a full server deletes jobs; set it to no",
        ),
        ({"aof_enabled": "0"}, "durability", "appendonly is off.*set it to yes"),
        ({"maxmemory": "1100000"}, "memory", "nearly full.*raise maxmemory"),
        ({"server_time_usec": "1090000000"}, "clock", "90 s apart: keep both in step"),
        ({"rdb_last_bgsave_status": "err"}, "disk", "cannot write to its disk"),
    ],
)
def test_each_danger_is_told_with_its_cure(changed: dict[str, str], name: str, advice: str) -> None:
    finding = told(changed)[name]
    assert not finding.broken
    assert [each for each in told(changed).values() if each.advice] == [finding]
    assert re.search(advice, finding.advice)


@pytest.mark.parametrize(
    ("changed", "advice"),
    [
        ({"redis_version": "6.0.16"}, "Redis 6.0.16 is too old: use 6.2 or later"),
        ({"role": "slave"}, r"a replica .* redis\+sentinel://"),
        ({"cluster_enabled": "1"}, r"a node of a Cluster: write redis\+cluster://"),
        ({"aof_last_write_status": "err"}, "cannot write to its disk"),
    ],
)
def test_what_cannot_work_is_called_broken(changed: dict[str, str], advice: str) -> None:
    (broken,) = (each for each in told(changed).values() if each.broken)
    assert re.search(advice, broken.advice)


def test_a_node_is_what_a_cluster_is_made_of() -> None:
    assert "role" not in told({"cluster_enabled": "1"}, clustered=True)


@pytest.mark.parametrize(
    ("changed", "durability"),
    [
        ({"appendfsync": "always"}, "disk, each write"),
        ({"appendfsync": "always", "connected_slaves": "2"}, "disk, each write, and 2 replicas"),
        ({"aof_enabled": "0", "save": ""}, "memory"),
        ({"aof_enabled": "0", "save": "3600 1"}, "memory, and snapshots"),
    ],
)
def test_the_durability_in_force_is_told(changed: dict[str, str], durability: str) -> None:
    assert told(changed)["durability"].value == durability


def test_versions_are_compared_as_numbers() -> None:
    assert not told({"redis_version": "10.0.0"})["version"].broken
    assert not told({"redis_version": "unstable"})["version"].broken


def test_facts_are_the_lines_that_have_a_value() -> None:
    assert facts(b"# Server\r\nredis_version:7.0.15\r\n\r\nconfig:/a:b\r\n") == {
        "redis_version": "7.0.15",
        "config": "/a:b",
    }
