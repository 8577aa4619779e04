"""Capabilities: which engine can do what, as data; and the refusal, at the start, of what an engine cannot do.

What every engine can do is the contract itself and is not listed here. A power that is missing is never imitated badly.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final, Protocol, runtime_checkable

from umbel.exceptions import ImproperlyConfigured


class Power(Enum):
    """What some engines can do and others cannot; the value says what, after "The engine …"."""

    PROCESSES = "is shared by several processes"
    HOSTS = "is shared by several hosts"
    LEASES = "knows who runs a job, gives a lost one back and refuses the verdict of whoever lost it"
    SENT_ONCE = "runs a job once that is sent twice"
    ATOMIC_SETTLE = "writes a result and removes its job in one atomic step"
    EXACT_DELAYS = "makes a delayed job ready at its due time, to the millisecond, not in the next whole second"
    DUE_TIMES = "tells when the next delayed job is due"
    FIRST_SEND = "keeps a job that is sent twice as it was sent first"
    FRONT = "puts a job that is given back in front of those that wait, and one that is retried behind them"
    TEN_PRIORITIES = "has ten priorities, not four classes of them"
    EXACT_COUNTS = "counts the jobs of a queue exactly and shows the oldest"
    LOOKUP = "finds a job by its id wherever it is"
    TRANSACTIONS = "accepts and ends jobs in a transaction of your own"
    FLOWS = "holds groups, chords and other flows"
    SCHEDULES = "holds schedules"
    JOBS = "shows and stops single jobs"
    PAUSES = "pauses queues"
    STEPS = "keeps what the durable steps of a job came to"
    NOTES = "keeps what running jobs say of their progress"
    DOOM = "marks any job as revoked, for whoever receives it next"
    AGEING = "raises jobs that wait long under more urgent ones"
    LIMITS = "keeps limits, fair turns and unique keys for all workers"
    MAILBOX = "carries messages to workers and their answers back"
    EVENTS = "keeps what happened for whoever watches"
    PUSHED_RESULTS = "wakes whoever waits for a result"


@runtime_checkable
class Capable(Protocol):
    """A broker or store that says what it can do. One that says nothing has no power."""

    @property
    def powers(self) -> frozenset[Power]:
        """Its powers."""
        ...


MEMORY: Final = frozenset(
    {
        Power.LEASES,
        Power.SENT_ONCE,
        Power.ATOMIC_SETTLE,
        Power.EXACT_DELAYS,
        Power.DUE_TIMES,
        Power.FIRST_SEND,
        Power.FRONT,
        Power.TEN_PRIORITIES,
        Power.EXACT_COUNTS,
        Power.LOOKUP,
        Power.FLOWS,
        Power.SCHEDULES,
        Power.JOBS,
        Power.PAUSES,
        Power.STEPS,
        Power.NOTES,
        Power.AGEING,
        Power.LIMITS,
        Power.MAILBOX,
        Power.EVENTS,
        Power.PUSHED_RESULTS,
    }
)
SQLITE: Final = MEMORY | {Power.PROCESSES}
REDIS: Final = SQLITE | {Power.HOSTS}
POSTGRES: Final = REDIS | {Power.TRANSACTIONS}
RABBITMQ_ALONE: Final = frozenset({Power.PROCESSES, Power.HOSTS})
RABBITMQ: Final = RABBITMQ_ALONE | {
    Power.LEASES,
    Power.SENT_ONCE,
    Power.PUSHED_RESULTS,
    Power.DOOM,
    Power.NOTES,
    Power.PAUSES,
    Power.STEPS,
    Power.MAILBOX,
    Power.EVENTS,
}
"""With a claim store beside it that fails over, as Redis behind Sentinel; alone it has fewer."""
RABBITMQ_KEEPING: Final = RABBITMQ | {Power.FLOWS, Power.SCHEDULES}
"""With a claim store that keeps flows and schedules: one Redis server, or a SQL database."""

BROKERS: Final[Mapping[str, frozenset[Power]]] = MappingProxyType(
    {
        "memory": MEMORY,
        "SQLite": SQLITE,
        "Redis": REDIS,
        "PostgreSQL": POSTGRES,
        "RabbitMQ with Redis or SQL": RABBITMQ_KEEPING,
        "RabbitMQ with Sentinel or Cluster": RABBITMQ,
        "RabbitMQ alone": RABBITMQ_ALONE,
    }
)
"""The built-in brokers and their powers, from the simplest on."""


def powers_of(engine: object) -> frozenset[Power]:
    """The powers that the broker or store *engine* says it has."""
    # `isinstance(engine, Capable)` would take some ten microseconds.
    powers: frozenset[Power] = getattr(engine, "powers", frozenset())
    return powers


def demand(engine: object, power: Power, what: str, place: str) -> None:
    """Refuse *what* if the broker *engine* at *place*, a masked URL, lacks *power*: raises `ImproperlyConfigured`."""
    if power in powers_of(engine):
        return
    raise ImproperlyConfigured(f"{what} needs a broker that {power.value}: {place} does not, {_able(power)}")


def _able(power: Power) -> str:
    names = [name for name, powers in BROKERS.items() if power in powers]
    if len(names) > 1:
        return f"{', '.join(names[:-1])} and {names[-1]} do"
    return f"{names[0]} does" if names else "and none of the built-in ones does"
