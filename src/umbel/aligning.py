"""Aligning: asks an engine for its time, and puts the moments of events on its clock."""

from __future__ import annotations

import logging
import time
from typing import Final

import msgspec

from umbel.clock import clock
from umbel.contracts.capabilities import Power, powers_of
from umbel.contracts.schedules import ScheduleHolder, ScheduleStore
from umbel.exceptions import UmbelError
from umbel.model.event import Batch, Event, Runs, Sends, Tally
from umbel.model.schedule import Table
from umbel.wire.events import unpack

LOOK_SECONDS: Final = 600.0
"""How often to look again."""
_HERE: Final = ("memory:", "sqlite:")
"""Engines that are on this host: there is one clock."""
_NONE: Final = 2**53
"""A revision that no row has: a read of those above it tells the time, and nothing else."""
_TROUBLE: Final = (UmbelError, OSError, TimeoutError)
_logger: Final = logging.getLogger("umbel.events")


def look(broker: object, url: str) -> None:
    """Ask *broker*, which is at *url*, for its time, if it is elsewhere and can tell; raises nothing."""
    store = _store(broker, url)
    if store is not None:
        before = time.time()
        try:
            _learn(before, store.read(_NONE))
        except _TROUBLE as error:
            _logger.debug("the engine does not tell its time: %s", error)


async def keep(broker: object, url: str) -> None:
    """Ask *broker*, which is at *url*, now and then, if it is elsewhere and can tell."""
    import asyncio  # a producer without a loop has no use for it

    store = _store(broker, url)
    while store is not None:
        before = time.time()
        try:
            _learn(before, await store.aread(_NONE))
        except _TROUBLE as error:
            _logger.debug("the engine does not tell its time: %s", error)
        await asyncio.sleep(LOOK_SECONDS)


def aligned(batch: Batch, seconds: float) -> Batch:
    """*batch* with all its moments *seconds* later."""
    return msgspec.structs.replace(
        batch,
        at=batch.at + seconds,
        events=tuple([_event(each, seconds) for each in batch.events]),
        tallies=tuple([_tally(each, seconds) for each in batch.tallies]),
        runs=tuple([_runs(each, seconds) for each in batch.runs]),
        sends=tuple([_sends(each, seconds) for each in batch.sends]),
    )


def _store(broker: object, url: str) -> ScheduleStore | None:
    holds = not url.startswith(_HERE) and Power.SCHEDULES in powers_of(broker)
    return broker.schedule_store if holds and isinstance(broker, ScheduleHolder) else None


def _learn(before: float, table: Table) -> None:
    clock.learn(before, table.now, time.time())


def _event(event: Event, seconds: float) -> Event:
    return msgspec.structs.replace(event, at=event.at + seconds)


def _tally(tally: Tally, seconds: float) -> Tally:
    return msgspec.structs.replace(tally, at=tally.at + seconds)


def _runs(runs: Runs, seconds: float) -> Runs:
    given: object = runs.rows
    rows = unpack(given) if isinstance(given, msgspec.Raw) else runs.rows  # a journal has packed them already
    return Runs(runs.task, runs.queue, [(row[0], row[1] + seconds, *row[2:]) for row in rows])


def _sends(sends: Sends, seconds: float) -> Sends:
    rows = [(job_id, at + seconds, priority, envelope) for job_id, at, priority, envelope in sends.rows]
    return msgspec.structs.replace(sends, rows=rows)
