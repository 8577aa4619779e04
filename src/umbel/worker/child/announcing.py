"""Announcing: the signals of a worker itself, sent where its user code is, for the supervisor has none."""

from __future__ import annotations

import logging
from typing import Any, Final

import msgspec

from umbel import log, signals
from umbel.app.app import Umbel
from umbel.app.watching import log_of
from umbel.contracts.capabilities import Power, powers_of
from umbel.engines.address import masked
from umbel.worker.messages import Load, Moment
from umbel.worker.options import WorkerOptions

_logger: Final = logging.getLogger("umbel.worker")
OF_WORKER: Final = {
    each.name: each
    for each in (signals.worker_ready, signals.heartbeat_sent, signals.worker_shutting_down, signals.worker_shutdown)
}
"""What the supervisor has to tell of."""


def app_loaded(app: Umbel, order: Load) -> None:
    """In the forkserver, with the app imported and nothing forked yet: receivers may still change its settings."""
    if not order.worker:
        set_up_log(order.options)
        signals.beat_init.send(app)
        return
    options = msgspec.structs.asdict(order.options)
    signals.celeryd_init.send(order.worker, instance=app, conf=app.conf, options=options)
    set_up_log(order.options)
    signals.celeryd_after_setup.send(order.worker, instance=app, conf=app.conf)
    if app.conf.moot:  # they were read before there was a log
        _logger.info("settings that tune nothing in Umbel: %s", ", ".join(app.conf.moot))
    warn_of_untracked(app)
    if app.conf.worker_send_task_events:
        log_of(app.broker, app.conf, "worker_send_task_events")
    signals.worker_init.send(app)
    if order.options.beat:
        signals.beat_embedded_init.send(app)


def warn_of_untracked(app: Umbel) -> None:
    """Say so if runs are to be shown as STARTED, and the broker keeps nothing of the kind."""
    tracked = app.conf.task_track_started or any(task.track_started for task in app.tasks.values())
    if tracked and Power.NOTES not in powers_of(app.broker):
        text = "track_started needs a broker that %s: with %s no job is shown as STARTED"
        _logger.warning(text, Power.NOTES.value, masked(app.conf.broker_url))


def listened() -> list[str]:
    """The names of those signals of `OF_WORKER` that somebody listens to."""
    return [name for name, signal in OF_WORKER.items() if signal.receivers]


def set_up_log(options: WorkerOptions) -> None:
    """Set logging up after the user's code, which may have done so; a receiver of setup_logging does it instead."""
    told: dict[str, Any] = {
        "loglevel": log.level_of(options.loglevel),
        "logfile": options.logfile or None,
        "format": options.logformat,
        "colorize": options.color,
    }
    if signals.setup_logging.receivers:
        signals.setup_logging.send(None, **told)
        return
    log.setup(options.loglevel, options.logformat, options.logfile, options.color)
    signals.after_setup_logger.send(None, logger=logging.getLogger(), **told)
    signals.after_setup_task_logger.send(None, logger=log.task_logger, **told)


def announce(app: Umbel, moment: Moment, worker: str) -> None:
    """Send the signal of *moment*, outside a loop."""
    signal = OF_WORKER.get(moment.name)
    if signal is not None:
        signal.send(_sender(app, moment, worker), **moment.details)


async def aannounce(app: Umbel, moment: Moment, worker: str) -> None:
    """The async twin of `announce`."""
    signal = OF_WORKER.get(moment.name)
    if signal is not None:
        await signal.asend(_sender(app, moment, worker), **moment.details)


def _sender(app: Umbel, moment: Moment, worker: str) -> object:
    return worker if moment.name == signals.worker_shutting_down.name else app
