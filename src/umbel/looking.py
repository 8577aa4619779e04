"""Looking: what a handle shows of its job without waiting: its state, what goes with it, what its record says."""

from __future__ import annotations

from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from umbel.asking import FETCH, LOCATE, Question, Returning, Source, aask, ask
from umbel.contracts.powers import Location
from umbel.engines.operation import Operation, adrive, drive
from umbel.exceptions import DecodeError
from umbel.model.outcome import Result
from umbel.states import FAILURE, PENDING, READY_STATES, RETRY, STARTED, SUCCESS, Place
from umbel.wire import note


class Sight(msgspec.Struct, frozen=True):
    """What a handle has seen of its job: Celery's state, and what goes with it."""

    state: str
    info: Any = None
    place: Place = "unknown"


def seen(location: Location, tracked: bool) -> Sight:
    """What *location* says of a job that has no record. *tracked*: a job that runs is shown as STARTED."""
    if location.place in ("ready", "delayed", "held") and location.retries:
        return Sight(RETRY, None, location.place)
    if location.place != "running":
        return Sight(PENDING, None, location.place)
    if location.note:
        try:
            said = note.decode(location.note)
            if said.retries == location.retries:
                return Sight(said.state, note.meta_of(said), "running")
        except DecodeError as error:
            return Sight(STARTED, error, "running")  # of a later version, or damaged: no reason to hide the job
    return Sight(STARTED if tracked else PENDING, None, "running")


class Looking:
    """A handle of one job. An async twin begins with "a"."""

    __slots__ = ()

    if TYPE_CHECKING:
        id: str
        app: Source
        task: Returning | None
        queue: str | None
        settled: Result | None

        def keep(self, raw: bytes) -> Result:
            """The result in the record *raw*."""
            ...

        def value_of(self, found: Result) -> Any:
            """The value, or the error, in *found*."""
            ...

    @property
    def state(self) -> str:
        """Celery's state, or the one that the task gave itself: PENDING for queued and unknown jobs alike.

        `place` tells those apart.
        """
        return drive(self._state(), self.ask)

    async def astate(self) -> str:
        """The async twin of `state`."""
        return await adrive(self._state(), self.aask)

    @property
    def status(self) -> str:
        """The same as `state`."""
        return self.state

    @property
    def info(self) -> Any:
        """What goes with the state: the value, the error, the ``meta`` of `update_state`; None if there is nothing.

        With STARTED it is ``{"pid", "hostname"}``. Raises no error of the task.
        """
        return drive(self.sight(), self.ask).info

    async def ainfo(self) -> Any:
        """The async twin of `info`."""
        return (await adrive(self.sight(), self.aask)).info

    @property
    def place(self) -> Place:
        """Where the job is: ready, delayed, running, parked, dead, ended or unknown."""
        return drive(self.located(), self.ask).place

    async def aplace(self) -> Place:
        """The async twin of `place`."""
        return (await adrive(self.located(), self.aask)).place

    @property
    def whereabouts(self) -> str:
        """Its `place` in words, for people: some engines cannot tell a job that waits from one that was never sent."""
        location = drive(self.located(), self.ask)
        if not location.guessed:
            return f"the job is {location.place}"
        return "nothing is known of it: it waits where no worker has received it yet, or there is no such job"

    def ready(self) -> bool:
        """Tell whether the job has ended with a result or an error."""
        return self.state in READY_STATES

    async def aready(self) -> bool:
        """The async twin of `ready`."""
        return await self.astate() in READY_STATES

    def successful(self) -> bool:
        """Tell whether the task has returned."""
        return self.state == SUCCESS

    def failed(self) -> bool:
        """Tell whether the task has failed."""
        return self.state == FAILURE

    def exists(self) -> bool:
        """Tell whether the job is known: waiting, running, or ended with a record."""
        return drive(self._exists(), self.ask)

    async def aexists(self) -> bool:
        """The async twin of `exists`."""
        return await adrive(self._exists(), self.aask)

    @property
    def traceback(self) -> str | None:
        """The traceback of the task's error in the worker, as text."""
        found = self._found()
        return None if found is None or found.failure is None else found.failure.traceback or None

    @property
    def date_done(self) -> datetime | None:
        """When the job ended, in UTC."""
        found = self._found()
        return None if found is None else datetime.fromtimestamp(found.done, UTC)

    @property
    def name(self) -> str | None:
        """The name of the task, if it is known here or in the record."""
        if self.task is not None:
            return self.task.name
        found = self._found()
        return None if found is None else found.task

    @property
    def worker(self) -> str | None:
        """The worker that ended the job."""
        found = self._found()
        return None if found is None else found.worker

    @property
    def retries(self) -> int:
        """How often the job was retried."""
        found = self._found()
        return drive(self.located(), self.ask).retries if found is None else found.retries

    @property
    def task_id(self) -> str:
        """The same as `id`."""
        return self.id

    # --- the operations, each written once

    def sight(self) -> Operation[Question, Sight]:
        """What there is to be seen now."""
        found = self.settled or (yield from self._look())
        if found is not None:
            return Sight(found.state, self.value_of(found), "ended")
        return seen((yield from self.located()), self.tracked)

    def _state(self) -> Operation[Question, str]:
        found = self.settled or (yield from self._look())  # its value need not be readable here
        return found.state if found is not None else seen((yield from self.located()), self.tracked).state

    def located(self) -> Operation[Question, Location]:
        """Where the job is."""
        location: Location = yield LOCATE
        return location

    def _look(self) -> Operation[Question, Result | None]:
        raw: bytes | None = yield FETCH
        return self.keep(raw) if raw else None

    def _exists(self) -> Operation[Question, bool]:
        if self.settled is not None:
            return True
        location = yield from self.located()
        if location.place != "unknown":
            return True
        raw: bytes | None = yield FETCH
        return raw is not None

    def _found(self) -> Result | None:
        return self.settled or drive(self._look(), self.ask)

    def ask(self, question: Question) -> Any:
        """The answer to *question*."""
        return ask(self.app, self.id, self.queue, question)

    def aask(self, question: Question) -> Coroutine[Any, Any, Any]:
        """The async twin of `ask`."""
        return aask(self.app, self.id, self.queue, question)

    @property
    def tracked(self) -> bool:
        """Whether a job that runs is shown as STARTED."""
        own = None if self.task is None else self.task.track_started
        return self.app.conf.task_track_started if own is None else own
