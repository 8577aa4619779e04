"""Which version of an app's schedules counts: the newest that was deployed and still has workers. Pure.

Each scheduler announces the digest of the schedules in its code, again and again. Their order is that of their first
announcement, so a worker of an older version that is started again changes nothing; one that is no longer announced is
passed over, so going back to an older version works too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec

from umbel.model.schedule import Entry

AGAIN_MILLISECONDS: Final = 15_000
"""How often a version is announced."""
LIVE_MILLISECONDS: Final = 60_000
"""For how long after its last announcement a version counts as having workers."""
KEPT_MILLISECONDS: Final = 600_000
"""For how long its place in the order is remembered."""


class Version(msgspec.Struct, frozen=True):
    """One version: the digest of its schedules, and when it was announced last (unix ms)."""

    digest: str
    seen: int


class Versions(msgspec.Struct, frozen=True):
    """The versions of one app, in the order in which they were deployed."""

    known: tuple[Version, ...] = ()

    def current(self) -> str | None:
        """The digest of the version that counts."""
        latest = max((each.seen for each in self.known), default=0)
        return next((each.digest for each in reversed(self.known) if each.seen >= latest - LIVE_MILLISECONDS), None)

    def announced(self, digest: str, now: int) -> Versions | None:
        """After an announcement of *digest* at *now*; None if it was announced lately, or comes too soon again.

        When nobody has announced anything for long, the clock has jumped or all workers were stopped: then every
        version gets the time to be announced again, so that a jump does not bring an old one to power.
        """
        own = next((each for each in self.known if each.digest == digest), None)
        if own is not None and abs(now - own.seen) < AGAIN_MILLISECONDS:
            return None
        latest = max((each.seen for each in self.known), default=now)
        jumped = abs(now - latest) > LIVE_MILLISECONDS
        known = [Version(each.digest, now) if jumped else each for each in self.known]
        if own is None:
            known.append(Version(digest, now))
        kept = [each for each in known if each.digest == digest or each.seen > now - KEPT_MILLISECONDS]
        return Versions(tuple(Version(each.digest, now) if each.digest == digest else each for each in kept))


def digest_of(entries: Sequence[Entry]) -> str:
    """What tells one version of an app's schedules from another."""
    encoded = msgspec.msgpack.encode(sorted(entries, key=lambda entry: entry.name))
    return hashlib.sha256(encoded).hexdigest()[:16]
