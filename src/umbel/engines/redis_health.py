"""What the settings and the state of a Redis server mean for jobs. The judging is pure; `examine` asks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from umbel.engines.redis import Engine
from umbel.engines.redis_cluster import ClusterEngine
from umbel.engines.redis_command import Command
from umbel.engines.redis_connection import OLDEST
from umbel.engines.redis_opening import AnyEngine
from umbel.exceptions import BrokerError
from umbel.model.finding import Finding, apart, clock

SECTIONS: Final = ("server", "memory", "persistence", "replication", "cluster")
"""The sections of INFO to ask for."""
_NEARLY_FULL: Final = 0.9
_FSYNC: Final = {"always": "disk, each write", "everysec": "disk, each second", "no": "disk, when the system likes"}


async def examine(engine: AnyEngine) -> list[Finding]:
    """What there is to say about each server of *engine*. Needs the right to use INFO; CONFIG GET tells a bit more.

    Raises `BrokerUnavailable` or `BrokerError`.
    """
    found: list[Finding] = []
    nodes = await engine.primaries() if isinstance(engine, ClusterEngine) else {"": engine}
    for name, node in nodes.items():
        before = time.time()
        replies = await node.acall([Command((b"INFO", section)) for section in SECTIONS])
        after = time.time()
        settings: dict[str, str] = {}
        with suppress(BrokerError):  # who may not ask for settings does without
            settings = await _settings(node)
        told = facts(b"\n".join(replies)) | settings
        its = _time(told, before)
        about = findings(told, its - apart(its, before, after), clustered=isinstance(engine, ClusterEngine))
        found += [_of(name, each) if len(nodes) > 1 else each for each in about]
    return found


def facts(info: bytes) -> dict[str, str]:
    """The lines ``name:value`` of a reply to INFO."""
    lines = (line.partition(":") for line in info.decode(errors="replace").splitlines())
    return {name: value for name, colon, value in lines if colon}


def findings(found: Mapping[str, str], now: float, *, clustered: bool = False) -> list[Finding]:
    """What in the INFO *found* is worth telling, at *now* by this host's clock; *clustered*: its URL says Cluster."""
    made = [
        _version(found), *_role(found, clustered=clustered), _durability(found), *_disk(found), _eviction(found),
        _memory(found), *_clock(found, now),
    ]  # fmt: skip
    return [each for each in made if each.value]


async def _settings(node: Engine) -> dict[str, str]:
    replies = await node.acall([Command((b"CONFIG", b"GET", name)) for name in ("appendfsync", "save")])
    return {name.decode(): value.decode() for reply in replies for name, value in reply.items()}


def _of(name: str, finding: Finding) -> Finding:
    advice = f"{name}: {finding.advice}" if finding.advice else ""
    return Finding(f"{name} {finding.name}", finding.value, advice, finding.broken)


def _version(found: Mapping[str, str]) -> Finding:
    text = found.get("redis_version", "")
    numbers = tuple(int(part) for part in text.split(".")[:2] if part.isdecimal())
    if not numbers or numbers >= OLDEST:
        return Finding("version", text)
    return Finding("version", text, f"Redis {text} is too old: use 6.2 or later", broken=True)


def _role(found: Mapping[str, str], *, clustered: bool) -> list[Finding]:
    if found.get("role") == "slave":
        cure = "it is a replica and takes no jobs: use the address of the primary, or redis+sentinel://"
        return [Finding("role", "replica", cure, broken=True)]
    if found.get("cluster_enabled") == "1" and not clustered:
        cure = "it is a node of a Cluster: write redis+cluster:// instead of redis://"
        return [Finding("role", "node of a Cluster", cure, broken=True)]
    return []


def _durability(found: Mapping[str, str]) -> Finding:
    replicas = found.get("connected_slaves", "0")
    beside = f", and {replicas} replicas" if replicas != "0" else ""
    if found.get("aof_enabled", "1") == "1":
        how = _FSYNC.get(found.get("appendfsync", ""), "disk")
        return Finding("durability", how + beside if "aof_enabled" in found else "")
    kept = "memory" if found.get("save") == "" else "memory, and snapshots"
    advice = "appendonly is off: jobs since the last snapshot are lost when the server ends; set it to yes"
    return Finding("durability", kept + beside, advice)


def _disk(found: Mapping[str, str]) -> list[Finding]:
    failed = [name for name in ("aof_last_write_status", "rdb_last_bgsave_status") if found.get(name, "ok") != "ok"]
    if not failed:
        return []
    advice = f"the server cannot write to its disk ({', '.join(failed)}): make room there, or look into its log"
    return [Finding("disk", "errors", advice, broken="aof_last_write_status" in failed)]


def _eviction(found: Mapping[str, str]) -> Finding:
    policy = found.get("maxmemory_policy", "")
    if policy in ("noeviction", ""):
        return Finding("maxmemory-policy", policy)
    advice = f"maxmemory-policy is {policy}: a full server deletes jobs; set it to noeviction"
    return Finding("maxmemory-policy", policy, advice)


def _memory(found: Mapping[str, str]) -> Finding:
    used, limit = _number(found, "used_memory"), _number(found, "maxmemory")
    if not used:
        return Finding("memory", "")
    if not limit:
        return Finding("memory", f"{_megabytes(used)} used, no limit")
    value = f"{_megabytes(used)} of {_megabytes(limit)} used"
    full = used > _NEARLY_FULL * limit
    return Finding("memory", value, "the memory is nearly full: soon jobs are refused; raise maxmemory" if full else "")


def _clock(found: Mapping[str, str], now: float) -> list[Finding]:
    told = _time(found, 0.0)
    return [clock(told - now)] if told else []


def _time(found: Mapping[str, str], otherwise: float) -> float:
    told = found.get("server_time_usec", "")
    return int(told) / 1e6 if told.isdecimal() else otherwise


def _number(found: Mapping[str, str], name: str) -> int:
    text = found.get(name, "")
    return int(text) if text.isdecimal() else 0


def _megabytes(number: int) -> str:
    return f"{number / 1024 / 1024:.1f} MB"
