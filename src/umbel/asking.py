"""What a handle asks, one round trip at a time: the record of a job from the store, its place from the broker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, Protocol

import msgspec

from umbel.contracts.flows import FlowHolder
from umbel.contracts.powers import Inspector, Location, ResultStore
from umbel.model.flow import FlowView
from umbel.revocable import Revoker
from umbel.settings import Settings


class Returning(Protocol):
    """What a handle asks of a task."""

    name: str
    track_started: bool | None

    def decode_result(self, raw: msgspec.Raw | bytes) -> Any:
        """The return value in *raw*."""
        ...


class Source(Protocol):
    """Where a handle looks: what it needs of the app."""

    @property
    def conf(self) -> Settings:
        """The settings."""
        ...

    @property
    def store(self) -> ResultStore:
        """Where records are."""
        ...

    @property
    def broker(self) -> object:
        """Where jobs are; asked if it is an `Inspector`."""
        ...

    @property
    def control(self) -> Revoker:
        """What stops jobs."""
        ...

    @property
    def exceptions(self) -> Mapping[str, type[Exception]]:
        """The classes, by qualified name, of which errors of tasks may be made again."""
        ...

    @property
    def tasks(self) -> Mapping[str, Returning]:
        """The tasks known here."""
        ...


class Question(msgspec.Struct, frozen=True):
    """One round trip: *seconds* is how long a watch may take; whether *flow* is known and running."""

    verb: Literal["fetch", "watch", "locate", "forget", "flow"]
    seconds: float = 0.0
    flow: str = ""


FETCH: Final = Question("fetch")
LOCATE: Final = Question("locate")
FORGET: Final = Question("forget")
_SOMEWHERE: Final = Location("ready", guessed=True)  # what is assumed of a broker that cannot tell


def ask(source: Source, job_id: str, queue: str | None, question: Question) -> Any:
    """The answer to *question* about *job_id*; *queue* is a hint where to look."""
    match question.verb:
        case "fetch":
            return source.store.fetch(job_id, queue)
        case "watch":
            return source.store.watch(job_id, queue, question.seconds)
        case "locate":
            broker = source.broker
            return broker.locate(job_id, queue) if isinstance(broker, Inspector) else _SOMEWHERE
        case "forget":
            return source.store.forget(job_id, queue)
        case "flow":
            broker = source.broker
            return isinstance(broker, FlowHolder) and _runs(broker.flow_store.flow(question.flow, None))


async def aask(source: Source, job_id: str, queue: str | None, question: Question) -> Any:
    """The async twin of `ask`."""
    match question.verb:
        case "fetch":
            return await source.store.afetch(job_id, queue)
        case "watch":
            return await source.store.awatch(job_id, queue, question.seconds)
        case "locate":
            broker = source.broker
            return await broker.alocate(job_id, queue) if isinstance(broker, Inspector) else _SOMEWHERE
        case "forget":
            return await source.store.aforget(job_id, queue)
        case "flow":
            broker = source.broker
            return isinstance(broker, FlowHolder) and _runs(await broker.flow_store.aflow(question.flow, None))


def _runs(flow: FlowView | None) -> bool:
    return flow is not None and flow.state == "running"
