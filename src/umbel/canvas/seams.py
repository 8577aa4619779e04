"""What the canvas needs of an app and of a task. Tasks make signatures, so the canvas may not know their class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from umbel.asking import Returning, Source
from umbel.calling import Said
from umbel.contracts.broker import Broker
from umbel.model.job import Job
from umbel.model.outcome import Result
from umbel.options import CallOptions, Seconds
from umbel.regulation import Options
from umbel.result import AsyncResult, EagerResult
from umbel.settings import Settings
from umbel.telling import Teller


class Callee(Returning, Options, Protocol):
    """A task, as the canvas sees it."""

    queue: str | None
    expires: Seconds | None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the body here and now."""
        ...

    def _job(
        self, host: Any, args: Sequence[Any], kwargs: Mapping[str, Any] | None, said: Said
    ) -> tuple[Job, AsyncResult[Any]]: ...

    def _saying(self, options: CallOptions) -> Said: ...

    def _eager(self, host: Any, job: Job, throw: bool | None = None) -> EagerResult[Any]: ...


class Place(Protocol):
    """Where flows are held."""

    @property
    def conf(self) -> Settings:
        """The settings."""
        ...

    @property
    def broker(self) -> Broker:
        """Where jobs go, and flows if it is a `FlowHolder`."""
        ...

    @property
    def teller(self) -> Teller | None:
        """What tells of jobs and flows in events, if they are told of."""
        ...


class Host(Source, Place, Protocol):
    """What the canvas needs of the app."""

    @property
    def broker(self) -> Broker:
        """Where jobs go, and flows if it is a `FlowHolder`."""
        ...

    def task_named(self, name: str) -> Callee:
        """The task *name*; one that is not registered here is sent by its name alone."""
        ...

    def run_eager(self, task: Any, job: Job) -> Result:
        """Run *job* of *task* here and now."""
        ...
