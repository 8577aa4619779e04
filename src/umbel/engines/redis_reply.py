"""What Redis refused, as the errors of Umbel."""

from __future__ import annotations

import re
from typing import Final

from umbel.exceptions import BrokerError, BrokerFull

UNREADY: Final = frozenset(
    {"READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "NOREPLICAS", "MAXCLIENTS"}
)
"""Codes of a server that may soon do what it refuses now: the same as no server."""

_FULL: Final = {"OOM": "out of memory", "MISCONF": "unable to write to its disk"}
# Before 7.0 the code of an error inside a script stands in the middle of the text.
_INNER: Final = re.compile(r"\b(OOM|MISCONF|WRONGTYPE|READONLY|NOREPLICAS)\b")


class WrongType(BrokerError):
    """A key holds a value of another type than Umbel gave it."""


def code(text: str) -> str:
    """The word that tells what kind of error *text*, a reply of Redis, is."""
    if text.startswith("ERR max number of clients"):
        return "MAXCLIENTS"
    first = text.partition(" ")[0]
    inner = _INNER.search(text) if first == "ERR" and "script" in text else None
    return inner.group() if inner else first


def refusal(text: str, server: str) -> BrokerError:
    """The error for the reply *text* of *server*, which has its passwords masked."""
    word = code(text)
    if word in _FULL:
        return BrokerFull(f"{server} is {_FULL[word]}: {text}")
    if word == "WRONGTYPE":
        return WrongType(f"{server}: {text}")
    return BrokerError(f"{server} refused: {text}")
