"""What a server's own settings mean for jobs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_OLDEST: Final = (6, 2)


SECTIONS: Final = ("server", "memory", "persistence")
"""The sections of INFO to ask for."""


def facts(info: bytes) -> dict[str, str]:
    """The lines ``name:value`` of a reply to INFO."""
    lines = (line.partition(":") for line in info.decode(errors="replace").splitlines())
    return {name: value for name, colon, value in lines if colon}


def sentences(found: Mapping[str, str]) -> list[str]:
    """What in the INFO *found* endangers jobs, each with its cure."""
    return [*_version(found), *_memory(found), *_disk(found)]


def _version(found: Mapping[str, str]) -> list[str]:
    text = found.get("redis_version", "")
    numbers = tuple(int(part) for part in text.split(".")[:2] if part.isdecimal())
    if not numbers or numbers >= _OLDEST:
        return []
    return [f"Redis {text} is too old: use 6.2 or later"]


def _memory(found: Mapping[str, str]) -> list[str]:
    policy = found.get("maxmemory_policy", "noeviction")
    if policy == "noeviction":
        return []
    return [f"maxmemory-policy is {policy}: a full server deletes jobs; set it to noeviction"]


def _disk(found: Mapping[str, str]) -> list[str]:
    if found.get("aof_enabled", "1") == "1":
        return []
    return ["appendonly is off: jobs since the last snapshot are lost when the server ends; set it to yes"]
