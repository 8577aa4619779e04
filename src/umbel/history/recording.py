"""Recording: the recorder of an app, made of its settings, and run until somebody says stop.

In a process that serves something else, such as a dashboard, it runs beside that in the loop::

    async with recording(app) as recorder:
        ...  # recorder.trouble says what is in the way, if anything is

All that blocks runs in threads, so the loop is not held up; jobs of 2,000 events a second take about half a core.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from umbel.aligning import keep
from umbel.app.seat import Seat, place_of
from umbel.contracts.capabilities import Power, demand
from umbel.contracts.event_log import EventLogHolder
from umbel.contracts.powers import Inspector
from umbel.exceptions import HistoryError, ImproperlyConfigured, UmbelError
from umbel.history.archives import archive_at, history_url
from umbel.history.recorder import Recorder, Source
from umbel.history.retention import terms_of

STOPS: Final = (signal.SIGTERM, signal.SIGINT)
PAUSE_SECONDS: Final = 10.0
"""After an error that nobody has foreseen."""
_logger: Final = logging.getLogger("umbel.recorder")


async def record(seat: Seat, said: Callable[[str], object]) -> None:
    """Record what happens to the jobs of *seat* until SIGTERM or SIGINT; *said* is told when it begins.

    Raises `ImproperlyConfigured` if its broker keeps no events, or its history cannot be what the settings say.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in STOPS:
        loop.add_signal_handler(each, stop.set)
    try:
        async with recording(seat) as recorder:
            said(f"recording {recorder.name}")
            await stop.wait()
    finally:
        with suppress(UmbelError, OSError):
            await seat.broker.aclose()


@asynccontextmanager
async def recording(seat: Seat) -> AsyncGenerator[Recorder]:
    """Record what happens to the jobs of *seat* beside the block, and end with it, within about a second.

    Its broker stays open. Raises `ImproperlyConfigured` if that keeps no events, or its history cannot be what the
    settings say; what goes wrong later is logged, told by the recorder's ``trouble``, and tried again.
    """
    source = source_of(seat)
    archive = archive_at(history_url(seat.conf, seat.main), seat.conf)
    with suppress(HistoryError):  # which may be away for now; one that cannot be used never will be there
        await asyncio.to_thread(archive.write, lambda _: None)
    recorder = Recorder(archive, source, terms_of(seat.conf))
    stop = asyncio.Event()
    running = asyncio.create_task(_steadily(recorder, stop))
    aligning = asyncio.create_task(keep(seat.broker, seat.conf.broker_url))
    try:
        yield recorder
    finally:
        stop.set()
        aligning.cancel()
        await asyncio.wait((running, aligning))
        await asyncio.to_thread(archive.close)


async def _steadily(recorder: Recorder, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            await recorder.run(stop)
        except Exception as error:
            _logger.exception("The recorder stumbled, and begins anew.")
            recorder.trouble = repr(error)
            with suppress(TimeoutError):
                async with asyncio.timeout(PAUSE_SECONDS):
                    await stop.wait()


def source_of(seat: Seat) -> Source:
    """What there is to record of *seat*. Raises `ImproperlyConfigured` if its broker keeps no events."""
    broker, name = seat.broker, place_of(seat)
    demand(broker, Power.EVENTS, "a recorder", name)
    if not isinstance(broker, EventLogHolder):
        raise ImproperlyConfigured(f"{type(broker).__name__} says that it keeps events, and has no event_log")
    inspector = broker if isinstance(broker, Inspector) else None
    return Source(name, broker, broker.event_log, inspector, seat.store, seat.conf.event_log_batches)
