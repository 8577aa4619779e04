"""Expiry: the moment after which no job of a canvas starts. A flow carries it; jobs outside of one carry it each."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import msgspec

from umbel.calling import Said
from umbel.options import Seconds, moment, seconds


def expiry(options: Mapping[str, Any]) -> tuple[float | None, Mapping[str, Any]]:
    """The unix time that *flow_expires* among *options* means, and the other options. Raises as `moment`."""
    given = options.get("flow_expires")
    if given is None:
        return None, options
    rest = {name: value for name, value in options.items() if name != "flow_expires"}
    return moment(given, "flow_expires", time.time()), rest


def until(said: Said, expires: float | None, own: Seconds | None) -> Said:
    """*said*, and no start after the unix time *expires*; *own* is how long a job of the task waits by itself."""
    if expires is None:
        return said
    told = said.expires
    if told is None:
        told = expires if own is None else time.time() + seconds(own, "expires")
    return msgspec.structs.replace(said, expires=min(told, expires))
