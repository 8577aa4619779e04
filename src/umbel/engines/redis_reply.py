"""What Redis refused, as the errors of Umbel."""

from __future__ import annotations

import re
from typing import Final

from umbel.engines.unfit import Denied
from umbel.exceptions import BrokerError, BrokerFull

UNREADY: Final = frozenset(
    {"READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "NOREPLICAS", "MAXCLIENTS", "UNBLOCKED"}
)
"""Codes of a server that may soon do what it refuses now: the same as no server."""

_FULL: Final = {"OOM": "out of memory", "MISCONF": "unable to write to its disk"}
_DENIED: Final = "can't run this command"
_PLACE: Final = re.compile(r"user_script: ?(\d+)")
_CALLED: Final = re.compile(r"redis\.p?call\('(\w+)'")
# Before 7.0 the code of an error inside a script stands in the middle of the text.
_INNER: Final = re.compile(r"\b(OOM|MISCONF|WRONGTYPE|READONLY|NOREPLICAS)\b")


class WrongType(BrokerError):
    """A key holds a value of another type than Umbel gave it."""


_CURES: Final = (
    ("WRONGPASS", "correct user and password in the URL, redis://user:password@host"),
    ("NOAUTH", "the server wants a password: redis://:password@host"),
    ("ERR DB index is out of range", "the server has fewer databases: correct the number at the end of the URL"),
    ("ERR This instance has cluster support disabled", "it is no Cluster: write redis:// instead of redis+cluster://"),
    ("MOVED", "it is a node of a Cluster: write redis+cluster:// instead of redis://"),
    ("ERR unknown command 'SENTINEL'", "it is no Sentinel: name the Sentinels' addresses, whose port is mostly 26379"),
    ("ERR unknown command `HELLO`", "it is too old: use Redis 6.2 or later"),
)
"""How a refusal begins that only another URL or another server can end, and what to do."""


def code(text: str) -> str:
    """The word that tells what kind of error *text*, a reply of Redis, is."""
    if text.startswith("ERR max number of clients"):
        return "MAXCLIENTS"
    first = text.partition(" ")[0]
    inner = _INNER.search(text) if first == "ERR" and "script" in text else None
    return inner.group() if inner else first


def refusal(text: str, server: str, script: str = "") -> BrokerError:
    """The error for the reply *text* of *server*, which has its passwords masked, to the text of a *script*."""
    word = code(text)
    if word in _FULL:
        return BrokerFull(f"{server} is {_FULL[word]}: {text}")
    cure = next((cure for begin, cure in _CURES if text.startswith(begin)), "")
    if cure:
        return Denied(f"{server} refused: {text.partition(', with args')[0]}: {cure}")
    if word == "WRONGTYPE":
        return WrongType(f"{server}: {text}")
    return BrokerError(f"{server} refused: {text}{_denied(text, script)}")


def _denied(text: str, script: str) -> str:
    """Which command of *script* the user may not use: Redis tells the line alone."""
    place = _PLACE.search(text) if _DENIED in text else None
    lines = script.splitlines()
    if place is None or int(place.group(1)) > len(lines):
        return ""
    found = _CALLED.search(lines[int(place.group(1)) - 1])
    return f" The user lacks the right to use {found.group(1).lower()!r}" if found else ""
