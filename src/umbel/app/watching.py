"""What an app tells in events: its teller, if jobs are told of and the broker keeps a log of events."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, Protocol

from umbel.aligning import look
from umbel.contracts.capabilities import Power
from umbel.contracts.event_log import EventLog
from umbel.engines.address import masked
from umbel.journal import Journal
from umbel.messenger import messenger
from umbel.settings import Settings
from umbel.telling import Teller, log_at, sketch_of

_logger: Final = logging.getLogger("umbel.events")


class Telling(Protocol):
    """Whose jobs are told of: an app."""

    @property
    def conf(self) -> Settings:
        """The settings."""
        ...

    @property
    def broker(self) -> object:
        """Where the jobs are."""
        ...

    @property
    def tasks(self) -> Mapping[str, Any]:
        """The tasks known here."""
        ...


def teller_of(app: Telling) -> Teller | None:
    """What tells of the jobs that are sent from here; None if nobody shall, or no log is there for it."""
    if not app.conf.task_send_sent_event:
        return None
    log = log_of(app.broker, app.conf, "task_send_sent_event")
    if log is None:
        return None
    journal = Journal(log, app.conf.event_log_batches)
    journal.look = partial(look, app.broker, app.conf.broker_url)
    messenger.carry(journal)
    return make_teller(journal, app)


def make_teller(journal: Journal, app: Telling) -> Teller:
    """What tells of jobs of *app* in *journal*."""
    return Teller(journal, app.conf, lambda name: sketch_of(app.tasks.get(name)))


def log_of(broker: object, conf: Settings, setting: str) -> EventLog | None:
    """The log of *broker*; None, and a line in the log if *setting* was given, where it keeps none."""
    log = log_at(broker)
    if log is None and conf.origin(setting) != "default":
        text = "%s needs a broker that %s: with %s there are no events"
        _logger.warning(text, setting, Power.EVENTS.value, masked(conf.broker_url))
    return log
