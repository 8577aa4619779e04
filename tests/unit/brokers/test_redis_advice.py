"""What is said of a server's settings."""

from __future__ import annotations

from umbel.brokers.redis.advice import facts, sentences

GOOD = {"redis_version": "7.0.15", "maxmemory_policy": "noeviction", "aof_enabled": "1"}


def test_a_server_that_keeps_jobs_needs_no_advice() -> None:
    assert sentences(GOOD) == []
    assert sentences({}) == []


def test_each_danger_is_told_with_its_cure() -> None:
    assert sentences(GOOD | {"maxmemory_policy": "allkeys-lru"}) == [
        "maxmemory-policy is allkeys-lru: a full server deletes jobs; set it to noeviction"
    ]
    (appendonly,) = sentences(GOOD | {"aof_enabled": "0"})
    assert appendonly.startswith("appendonly is off")
    assert sentences(GOOD | {"redis_version": "6.0.16"}) == ["Redis 6.0.16 is too old: use 6.2 or later"]


def test_versions_are_compared_as_numbers() -> None:
    assert sentences(GOOD | {"redis_version": "10.0.0"}) == []
    assert sentences(GOOD | {"redis_version": "unstable"}) == []


def test_facts_are_the_lines_that_have_a_value() -> None:
    assert facts(b"# Server\r\nredis_version:7.0.15\r\n\r\nconfig:/a:b\r\n") == {
        "redis_version": "7.0.15",
        "config": "/a:b",
    }
