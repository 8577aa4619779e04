"""Looks: which sign and which colour stand for a state. The word always stands beside them."""

from __future__ import annotations

from typing import Final, NamedTuple


class Look(NamedTuple):
    """How a state is shown: the name of an *icon* of ``icons.svg`` and a *tone* of ``umbel.css``."""

    icon: str
    tone: str = "idle"


UNKNOWN: Final = Look("unknown")
LOOKS: Final[dict[str, Look]] = {
    # jobs, as the history names them
    "waiting": Look("hourglass"),
    "scheduled": Look("clock"),
    "queued": Look("inbox"),
    "parked": Look("parking", "warn"),
    "received": Look("received", "busy"),
    "running": Look("play", "busy"),
    "retrying": Look("retry", "warn"),
    "cancelling": Look("ban", "warn"),
    "succeeded": Look("check", "ok"),
    "failed": Look("cross", "bad"),
    "cancelled": Look("ban"),
    "revoked": Look("ban"),
    "ended": Look("check", "ok"),
    "expired": Look("expired", "over"),
    "dead": Look("skull", "over"),
    "unknown": UNKNOWN,
    # workers, queues, schedules
    "online": Look("alive", "ok"),
    "quiet": Look("moon", "warn"),
    "stopping": Look("power", "warn"),
    "stopped": Look("power"),
    "offline": Look("power"),
    "lost": Look("lost", "bad"),
    "active": Look("alive", "ok"),
    "paused": Look("pause", "warn"),
    "on": Look("alive", "ok"),
    "off": Look("power"),
    "over": Look("check"),
    "late": Look("clock", "bad"),
    "on time": Look("check", "ok"),
    "skipped": Look("next"),
    # errors, and what users do
    "open": Look("alive", "bad"),
    "muted": Look("mute"),
    "resolved": Look("check", "ok"),
    "regressed": Look("retry", "bad"),
    "asked": Look("hourglass"),
    "done": Look("check", "ok"),
    "refused": Look("ban", "bad"),
}


def look(state: str) -> Look:
    """How *state* is shown; Celery's capitals are understood, and a state that nobody knows is shown as unknown."""
    return LOOKS.get(state.lower(), UNKNOWN)
