"""For tests that do not ask how long a call may take: a machine that is busy with others is no failure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from umbel.exceptions import BrokerUnavailable
from umbel.settings import Settings

T = TypeVar("T")

UNHURRIED: Final = {"broker_send_deadline": 30.0, "broker_connection_timeout": 20.0}
"""The *changes* of an app that is as patient."""
PATIENT: Final = Settings(broker_send_deadline=30.0, broker_connection_timeout=20.0)

UNREACHED: Final = "could not be reached within|gave no answer"
"""What is said after the deadline; the latter when, on a busy machine, it passed during the first try."""


async def at_last(call: Callable[[], Awaitable[T]]) -> T:
    """What *call* answers as soon as it does so within a short deadline of its own, which a busy machine may not."""
    while True:
        try:
            return await call()
        except BrokerUnavailable:
            continue
