"""Request: what a running task may know of the job it runs for; Celery's ``self.request``."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, Protocol, TypeVar, overload

from umbel.circumstances import Circumstances
from umbel.exceptions import NotCommitted, Retry
from umbel.model.job import Delivery, Job
from umbel.page import Notebook, Page
from umbel.wire.envelope import MAX_LINK_BYTES, Envelope, Link
from umbel.wire.envelope import decode as decode_envelope
from umbel.wire.values import decode, pack

T = TypeVar("T")
MAX_CHILDREN: Final = 256
"""How many of the jobs that a task sends are noted in its record."""


class Named(Protocol):
    """What a request knows of its task."""

    name: str

    @property
    def app(self) -> Any:
        """Its app."""
        ...

    def encode_result(self, value: object) -> bytes:
        """The return value as bytes. Raises `EncodeError`."""
        ...


class Desk(Protocol):
    """Where a run ends its own job, in a transaction of the user's own. *value* is encoded."""

    def complete(self, request: Request, value: bytes, connection: object) -> None:
        """End the job of *request* with success when *connection* commits. Raises `LeaseLost`."""

    async def acomplete(self, request: Request, value: bytes, connection: object) -> None:
        """The async twin of `complete`."""

    def check(self) -> None:
        """Raise `ImproperlyConfigured` if the broker cannot keep what a run amends."""

    def amend(self, request: Request, envelope: bytes) -> None:
        """Have the broker keep *envelope* as the job of *request*. Raises `LeaseLost` and what the broker raises."""

    async def aamend(self, request: Request, envelope: bytes) -> None:
        """The async twin of `amend`."""

    def confirm(self, request: Request) -> bool:
        """Whether that was committed, or cannot be told now; raises nothing."""
        ...

    async def aconfirm(self, request: Request) -> bool:
        """The async twin of `confirm`."""
        ...

    def revoked(self, job_id: str) -> bool:
        """Whether the worker was told that the job, which runs here, is revoked."""
        ...


class Request(Circumstances):
    """One run of one job. Made for every run, so only what most tasks ask for is there before it is asked for.

    Custom headers are attributes too; attributes of your own may be set.
    """

    id: str
    task_object: Named
    args: list[Any]
    kwargs: dict[str, Any]
    hostname: str
    called_directly: bool = False
    retrying: Retry | None = None
    """What ``self.retry(throw=False)`` decided: the run goes on, and is a retry whatever it returns."""
    desk: Desk | None = None
    """Where `complete_in` is carried out; none where there is no broker: eager, or in a plain call."""
    notebook: Notebook | None = None
    """Where what the run says of itself leaves from; none where there is no broker."""
    page: Page | None = None
    """What it has said, if it has."""
    began: float = 0.0
    """When the run began, by ``time.perf_counter``."""
    received: float = 0.0
    """The unix time at which its process received the job; 0 if it runs in place."""
    completing: bool = False
    """Whether `complete_in` was carried out; its transaction may be open yet, or undone."""
    follow_ups: tuple[Job, ...] = ()
    """Jobs that are sent in the step that ends this one, if it succeeds."""
    added: tuple[tuple[str, str, int], ...] = ()
    """Nodes of flows, (flow, home, node), that wait for one member more when this job has succeeded."""
    children_ids: tuple[str, ...] = ()
    """The ids of the jobs that the task has sent so far, the first `MAX_CHILDREN` of them."""
    step_book: Any = None
    """The steps of this run, once it took one; see `umbel.steps`."""
    exhausted: bool = False
    """Whether ``self.retry`` found the limit reached: if the run fails now, its job is kept as a dead letter."""

    def __init__(
        self,
        task: Named,
        delivery: Delivery,
        envelope: Envelope,
        args: list[Any],
        kwargs: dict[str, Any],
        hostname: str,
    ) -> None:
        """Keep what the executor has; *args* and *kwargs* are decoded."""
        self.task_object = task
        self.id = delivery.id
        self.args = args
        self.kwargs = kwargs
        self.hostname = hostname
        self._delivery = delivery
        self._envelope = envelope

    @property
    def revoked(self) -> bool:
        """Whether the job was revoked while it runs: a long ``def`` task may look now and then, and return early.

        False in a process of its own, which is ended by *terminate* instead.
        """
        return self.desk is not None and self.desk.revoked(self.id)

    @property
    def task(self) -> str:
        """The name of the task."""
        return self.task_object.name

    @property
    def queue(self) -> str:
        """The queue that the job came from."""
        return self._delivery.queue

    @property
    def retries(self) -> int:
        """How often the job was retried before this run; crashes are not among them."""
        return self._delivery.counts.retries

    @property
    def crashes(self) -> int:
        """How often the job was running when its process died."""
        return self._delivery.counts.crashes

    @property
    def deliveries(self) -> int:
        """How often the job was handed to a worker, this time included."""
        counts = self._delivery.counts
        return 1 + counts.retries + counts.crashes + counts.losses

    @property
    def is_eager(self) -> bool:
        """Whether the job runs in the process that called it, without a broker."""
        # The receives of a session are counted from 1; a job that runs in place was never received.
        return self._delivery.number == 0 and not self.called_directly

    @property
    def eta(self) -> str | None:
        """The time before which the job was not to start, as ISO text in UTC, or None."""
        return _iso(self._envelope.eta)

    @property
    def expires(self) -> str | None:
        """The time from which the job is not started any more, as ISO text in UTC, or None."""
        return _iso(self._envelope.expires)

    @property
    def origin(self) -> str | None:
        """The process that sent the job: ``gen<pid>@<host>``."""
        return self._envelope.origin

    @property
    def root_id(self) -> str:
        """The id of the job at whose call the family of this job began."""
        return self._envelope.root_id or self.id

    @property
    def parent_id(self) -> str | None:
        """The id of the job whose task sent this one, or None."""
        return self._envelope.parent_id

    @property
    def group(self) -> str | None:
        """The id of the group that the job is a member of, or None."""
        return self._envelope.group_id

    @property
    def group_index(self) -> int | None:
        """The number of the job among the members of its chord's header, or None."""
        part = self._envelope.part
        return part.feeds[0][1] if part is not None and self._envelope.in_chord else None

    @property
    def flow_id(self) -> str | None:
        """The id of the flow that the job belongs to, or None."""
        return None if self._envelope.part is None else self._envelope.part.flow

    @property
    def replaced_task_nesting(self) -> int:
        """How often the job was replaced by another task."""
        return self._envelope.replaced

    @property
    def callbacks(self) -> list[dict[str, Any]] | None:
        """The callbacks of the job as dicts, in the form of signatures, or None."""
        return [_signature(link) for link in self._envelope.links] or None

    @property
    def errbacks(self) -> list[dict[str, Any]] | None:
        """The errbacks of the job as dicts, in the form of signatures, or None."""
        return [decode(errback.signature) for errback in self._envelope.errbacks] or None

    @property
    def headers(self) -> dict[str, Any]:
        """The custom headers of the call, a new dict at each look."""
        # They travel encoded like arguments, so dates and other tagged values come back as such.
        return decode(pack(self._envelope.headers)) if self._envelope.headers else {}

    @property
    def stamps(self) -> dict[str, Any]:
        """The stamps of the call; see `Signature.stamp`."""
        return self.headers.get("stamps") or {}

    @property
    def stamped_headers(self) -> list[str]:
        """The names of the stamps."""
        return self.headers.get("stamped_headers") or []

    @property
    def ignore_result(self) -> bool:
        """Whether the call said that nobody will ask for the result."""
        return bool(self._envelope.ignore_result)

    @property
    def delivery_info(self) -> dict[str, Any]:
        """Where the job came from, in Celery's words."""
        return {
            "exchange": "",
            "routing_key": self._delivery.queue,
            "priority": self._envelope.priority,
            "redelivered": self._delivery.returned,
            "is_eager": self.is_eager,
        }

    @property
    def envelope(self) -> Envelope:
        """The job as it travelled."""
        return self._envelope

    def become(self, envelope: Envelope) -> None:
        """Go on as *envelope*: what is kept of the job at the broker from now on."""
        self._envelope = envelope

    @property
    def delivery(self) -> Delivery:
        """The job as it is leased to this worker."""
        return self._delivery

    @overload
    def complete_in(self, connection: object) -> None: ...
    @overload
    def complete_in(self, connection: object, value: T) -> T: ...
    def complete_in(self, connection: object, value: Any = None) -> Any:
        """End this job with the result *value* in the open transaction of *connection*, and answer *value*.

        Result, end of the job and whatever else is written there are committed together, or nothing is: so the effect
        counts exactly once. Call it last before the commit. *connection* is one to the database that is broker and
        result store, as in ``connection=`` of a call. Eager and in a plain call it does nothing.

        Raises `LeaseLost` if another worker has the job by now: let it out of the transaction, which is undone then.
        `ImproperlyConfigured` if broker or connection cannot do this.
        """
        if self.desk is not None:
            self.desk.complete(self, self.task_object.encode_result(value), connection)
            self.completing = True
        return value

    @overload
    async def acomplete_in(self, connection: object) -> None: ...
    @overload
    async def acomplete_in(self, connection: object, value: T) -> T: ...
    async def acomplete_in(self, connection: object, value: Any = None) -> Any:
        """The async twin of `complete_in`, for an async connection."""
        if self.desk is not None:
            await self.desk.acomplete(self, self.task_object.encode_result(value), connection)
            self.completing = True
        return value

    @property
    def completed(self) -> bool:
        """Whether `complete_in` was carried out and its transaction committed; asks the broker."""
        return self.completing and self.desk is not None and self.desk.confirm(self)

    async def acompleted(self) -> bool:
        """The async twin of `completed`."""
        return self.completing and self.desk is not None and await self.desk.aconfirm(self)

    def sent(self, ids: Iterable[str]) -> None:
        """Note that the task has sent the jobs *ids*."""
        if len(self.children_ids) < MAX_CHILDREN:
            first = itertools.islice(ids, MAX_CHILDREN)
            self.children_ids = tuple(dict.fromkeys((*self.children_ids, *first)))[:MAX_CHILDREN]

    @property
    def children(self) -> list[Any]:
        """The handles of the jobs that the task has sent so far, the first `MAX_CHILDREN` of them."""
        app = self.task_object.app
        return [app.AsyncResult(job_id) for job_id in self.children_ids]

    def get(self, name: str, default: Any = None) -> Any:
        """The attribute or custom header *name*, or *default*."""
        return getattr(self, name, default)

    def update(self, *values: Mapping[str, Any], **more: Any) -> None:
        """Set attributes of your own on this request."""
        for mapping in values:
            vars(self).update(mapping)
        vars(self).update(more)

    def give_up(self) -> None:
        """End the run as `retrying` says; what the executor does after a body that went on."""
        if self.retrying is not None:
            raise self.retrying

    def not_committed(self) -> NotCommitted:
        """The error of a run that returned before the transaction of `complete_in` was committed."""
        return NotCommitted("complete_in was called, but its transaction was not committed when the task returned")

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name in (self._envelope.headers or {}):
            return self.headers[name]
        if name in ("chain", "chord"):
            raise AttributeError(
                f"request.{name}: the broker keeps what follows a job; see app.flows.get(request.flow_id)"
            )
        raise AttributeError(f"the request has no attribute and no header {name!r}")

    def __repr__(self) -> str:
        return f"<Request: {self.task}[{self.id}] retries={self.retries}>"


def called_directly(task: Named) -> Request:
    """The request of a *task* that was called like a function: it has no job."""
    request = Request(task, Delivery("", "", 9, 0, b""), Envelope(task.name), [], {}, "")
    request.called_directly = True
    return request


running: Final[ContextVar[Request | None]] = ContextVar("umbel_running", default=None)
"""The request of the job that this context runs. Right for threads and for interleaved coroutines."""


def _signature(link: Link) -> dict[str, Any]:
    call = decode_envelope(link.envelope, MAX_LINK_BYTES)
    return {
        "task": call.task,
        "args": decode(call.args),
        "kwargs": decode(call.kwargs),
        "options": {"queue": link.queue},
        "subtask_type": None,
        "immutable": not link.takes,
    }


def _iso(moment: float | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat()
