"""Which node of a Cluster holds which key: slots, the map of their owners, what nodes say when it is out of date."""

from __future__ import annotations

import re
from binascii import crc_hqx
from typing import Any, Final, NamedTuple

from umbel.engines.redis_command import Command, Word
from umbel.engines.redis_hosts import Host

SLOTS: Final = 16384
_REDIRECTION: Final = re.compile(r"(MOVED|ASK) (\d+) (.*):(\d+)")


class Redirection(NamedTuple):
    """A node said that another one has the slot: for good, or (*once*) for this command, as the slot is moving."""

    slot: int
    host: Host
    once: bool


def slot_of(key: bytes) -> int:
    """The slot of *key*: of what stands in its first pair of braces, if there is anything."""
    begin = key.find(b"{")
    if begin >= 0:
        end = key.find(b"}", begin + 1)
        if end > begin + 1:
            key = key[begin + 1 : end]
    return crc_hqx(key, 0) % SLOTS


def key_of(command: Command) -> bytes:
    """The key by which *command* is routed: the first one."""
    word = command.words[3 if command.script is not None else 1]
    return word if isinstance(word, bytes) else str(word).encode()


def waited_for(words: tuple[Word, ...]) -> bytes:
    """The key by which a command that waits is routed: behind STREAMS, if it has options; else the first one."""
    word = words[words.index("STREAMS") + 1] if "STREAMS" in words else words[1]
    return word if isinstance(word, bytes) else str(word).encode()


def owners(reply: Any, asked: Host) -> list[Host | None]:
    """The owner of each slot by the *reply* of the node *asked* to CLUSTER SLOTS; None where there is none."""
    found: list[Host | None] = [None] * SLOTS
    for first, last, primary, *_ in reply:
        name = (primary[0] or b"").decode()
        # A node that does not know its own name is the one that we have reached.
        host = (name, int(primary[1])) if name and name != "?" else (asked[0], int(primary[1]))
        found[first : last + 1] = [host] * (last + 1 - first)
    return found


def redirection(text: str, asked: Host) -> Redirection | None:
    """What the refusal *text* of the node *asked* redirects to, if it does."""
    found = _REDIRECTION.match(text)
    if found is None:
        return None
    kind, slot, name, port = found.groups()
    return Redirection(int(slot), (name or asked[0], int(port)), kind == "ASK")
