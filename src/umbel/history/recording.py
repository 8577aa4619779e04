"""Recording: the recorder of an app, made of its settings, and run until somebody says stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from umbel.app.seat import Seat, place_of
from umbel.contracts.capabilities import Power, demand
from umbel.contracts.event_log import EventLogHolder
from umbel.contracts.powers import Inspector
from umbel.exceptions import ImproperlyConfigured, UmbelError
from umbel.history.archives import archive_at, history_url
from umbel.history.recorder import Recorder, Source
from umbel.history.retention import terms_of

STOPS: Final = (signal.SIGTERM, signal.SIGINT)


async def record(seat: Seat, said: Callable[[str], object]) -> None:
    """Record what happens to the jobs of *seat* until SIGTERM or SIGINT; *said* is told when it begins.

    Raises `ImproperlyConfigured` if its broker keeps no events, or its history cannot be what the settings say.
    """
    source = source_of(seat)
    archive = archive_at(history_url(seat.conf, seat.main), seat.conf)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in STOPS:
        loop.add_signal_handler(each, stop.set)
    try:
        said(f"recording {source.name}")
        await Recorder(archive, source, terms_of(seat.conf)).run(stop)
    finally:
        archive.close()
        with suppress(UmbelError, OSError):
            await seat.broker.aclose()


def source_of(seat: Seat) -> Source:
    """What there is to record of *seat*. Raises `ImproperlyConfigured` if its broker keeps no events."""
    broker, name = seat.broker, place_of(seat)
    demand(broker, Power.EVENTS, "a recorder", name)
    if not isinstance(broker, EventLogHolder):
        raise ImproperlyConfigured(f"{type(broker).__name__} says that it keeps events, and has no event_log")
    inspector = broker if isinstance(broker, Inspector) else None
    return Source(name, broker, broker.event_log, inspector, seat.store)
