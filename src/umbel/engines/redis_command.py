"""Commands and scripts as values; what may be sent to Redis, without a connection to it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

Word: TypeAlias = bytes | str | int | float

SHARED: Final = Path(__file__).parent / "redis_scripts"
"""Scripts, and parts to include, that brokers, claims and stores have in common: what belongs to sessions."""

_INCLUDES: Final = re.compile(r"^-- includes: *(.+)$", re.MULTILINE)
_SHEBANG: Final = re.compile(r"\A#!lua[^\n]*\n")


class Script:
    """A Lua script: its text, and the SHA-1 by which the server keeps it.

    The text opens with ``#!lua flags=…``, which servers before 7.0 refuse: for those it is cut off (*plain*).
    """

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self.sha = _sha(text)
        self.plain_text = _SHEBANG.sub("", text)
        self.plain_sha = _sha(self.plain_text)


class Command(msgspec.Struct, frozen=True, gc=False):
    """One command of Redis. With a *script*, the second word is its SHA-1. *once*: never sent again unasked."""

    words: tuple[Word, ...]
    script: Script | None = None
    once: bool = False


def load(folder: Path, name: str) -> Script:
    """The script ``<name>.lua`` of *folder*, with what its line ``-- includes: a b`` names from ``include/``.

    What *folder* lacks, a script or a part, is taken from `SHARED`.
    """
    text = _text(folder, f"{name}.lua")
    shebang = _SHEBANG.search(text)
    head = shebang.group() if shebang else ""
    parts: dict[str, str] = {}
    _gather(folder, text, parts)
    return Script(name, "".join([head, *parts.values(), text[len(head) :]]))


def _gather(folder: Path, text: str, parts: dict[str, str]) -> None:
    found = _INCLUDES.search(text)
    for name in found.group(1).split() if found else ():
        if name not in parts:
            included = _text(folder, f"include/{name}.lua")
            _gather(folder, included, parts)
            parts[name] = included


def _text(folder: Path, name: str) -> str:
    path = folder / name
    return (path if path.exists() else SHARED / name).read_text(encoding="utf-8")


def _sha(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
