"""Schedules: those of a broker, from code and stored, listed, added, removed, paused, resumed and run at will."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeVar

import msgspec

from umbel.contracts.broker import Broker
from umbel.contracts.capabilities import Power, demand
from umbel.contracts.schedules import ScheduleHolder, ScheduleStore
from umbel.engines.operation import adrive, drive
from umbel.exceptions import AlreadyRegistered, ImproperlyConfigured, NotRegistered
from umbel.model.schedule import Change, Entry, State, Table, key_of
from umbel.options import nearest
from umbel.schedules.book import Book, Planned
from umbel.schedules.policy import begun, next_tick
from umbel.schedules.wanted import POLICIES, wanted
from umbel.wire.ticks import job_now

if TYPE_CHECKING:
    from umbel.app.periodic import Host
    from umbel.model.job import Job

TRIES: Final = 20
"""How often an edit is made again because a tick came between."""

T = TypeVar("T")
Step: TypeAlias = "int | Change | Job"
Steps: TypeAlias = Generator[Step, Any, T]
"""Yields what is to be read, written or sent: a revision, a change, a job; is sent the answer."""


class ScheduleView(msgspec.Struct, frozen=True, kw_only=True):
    """What can be told of a schedule. Durations are seconds, moments in the schedule's time zone.

    *source* is "code" or "stored", *app* the app whose code it is from. *next* is None for one that is paused,
    disabled, over, or not yet met by a scheduler. *watermark* is how far it has come: ticks up to then are over, also
    those that did not run; None until a scheduler has met it. *lateness* is how late its last job was sent.
    """

    name: str
    rule: str
    task: str
    queue: str
    source: Literal["code", "stored"]
    app: str | None
    timezone: str
    enabled: bool
    paused: bool
    misfire: str
    overlap: str
    jitter: float
    runs: int
    next: datetime | None
    last: datetime | None
    last_job: str
    lateness: float | None
    watermark: datetime | None = None


Views: TypeAlias = list[ScheduleView]


class Schedules:
    """The schedules of *broker* at *place*, its masked URL.

    With an *app* schedules can be added; without one those of all apps are shown. Methods raise `ImproperlyConfigured`
    if the broker holds no schedules, `NotRegistered` for a name that is not there, and `BrokerUnavailable`. Each has an
    async twin: ``a`` and its name. An edit is seen by schedulers within 5 seconds.
    """

    def __init__(self, broker: Broker, place: str, app: Host | None = None) -> None:
        self._broker = broker
        self._app = app
        self._place = place

    def list(self) -> Views:
        """All of them, by name."""
        return self._do(_listed(self._scopes))

    async def alist(self) -> Views:
        """The async twin of `list`."""
        return await self._ado(_listed(self._scopes))

    def get(self, name: str) -> ScheduleView:
        """The schedule *name*."""
        return self._do(_shown(self._scopes, name))

    async def aget(self, name: str) -> ScheduleView:
        """The async twin of `get`."""
        return await self._ado(_shown(self._scopes, name))

    def add(
        self,
        name: str,
        schedule: object,
        task: object,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> ScheduleView:
        """Store a schedule under *name*; arguments as `Umbel.add_periodic_task`, ``replace=True`` edits one.

        An edited schedule goes on counting, unless its rule has changed: then it begins anew. Raises `TypeError` or
        `ValueError` for what is wrong, `AlreadyRegistered` if there is one.
        """
        return self._do(self._adding(name, schedule, (task, args, kwargs or {}), options))

    async def aadd(
        self,
        name: str,
        schedule: object,
        task: object,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> ScheduleView:
        """The async twin of `add`."""
        return await self._ado(self._adding(name, schedule, (task, args, kwargs or {}), options))

    def remove(self, name: str) -> None:
        """Remove the stored schedule *name*. Raises `ImproperlyConfigured` for one that is in the code."""
        self._do(_removed(self._scopes, name))

    async def aremove(self, name: str) -> None:
        """The async twin of `remove`."""
        await self._ado(_removed(self._scopes, name))

    def pause(self, name: str) -> None:
        """Let no tick of *name* run until it is resumed; deployments do not change that."""
        self._do(_paused(self._scopes, name, paused=True))

    async def apause(self, name: str) -> None:
        """The async twin of `pause`."""
        await self._ado(_paused(self._scopes, name, paused=True))

    def resume(self, name: str) -> None:
        """Go on with *name*, from now: what it missed while it was paused does not run."""
        self._do(_paused(self._scopes, name, paused=False))

    async def aresume(self, name: str) -> None:
        """The async twin of `resume`."""
        await self._ado(_paused(self._scopes, name, paused=False))

    def run(self, name: str) -> str:
        """Send a job of *name* now, beside its ticks; answers the job's id."""
        return self._do(_run(self._scopes, name))

    async def arun(self, name: str) -> str:
        """The async twin of `run`."""
        return await self._ado(_run(self._scopes, name))

    # --- carrying out

    def _scopes(self, book: Book) -> Sequence[str]:
        return book.scopes() if self._app is None else [self._app.main or ""]

    def _store(self) -> ScheduleStore:
        demand(self._broker, Power.SCHEDULES, "a schedule", self._place)
        assert isinstance(self._broker, ScheduleHolder)  # noqa: S101 - it says so
        return self._broker.schedule_store

    def _do(self, steps: Steps[T]) -> T:
        store = self._store()

        def carry_out(step: Step) -> Table | bool | None:
            if isinstance(step, int):
                return store.read(step)
            if isinstance(step, Change):
                return store.write([step])[0]
            self._broker.send((step,))
            return None

        return drive(steps, carry_out)

    async def _ado(self, steps: Steps[T]) -> T:
        store = self._store()

        async def carry_out(step: Step) -> Table | bool | None:
            if isinstance(step, int):
                return await store.aread(step)
            if isinstance(step, Change):
                return (await store.awrite([step]))[0]
            await self._broker.asend((step,))
            return None

        return await adrive(steps, carry_out)

    def _adding(
        self,
        name: str,
        schedule: object,
        call: tuple[object, Sequence[Any], Mapping[str, Any]],
        options: dict[str, Any],
    ) -> Steps[ScheduleView]:
        from umbel.app.periodic import describe, entry_of

        if self._app is None:
            raise ImproperlyConfigured("a schedule is added with its app: give -A")
        replace = bool(options.pop("replace", False))
        policies = {key: value for key, value in options.items() if key in POLICIES}
        described = describe(*call, {key: value for key, value in options.items() if key not in POLICIES})
        entry = entry_of(self._app, wanted(name, {**described, **policies, "schedule": schedule}))
        return _added(self._scopes, entry, replace=replace)


Scopes: TypeAlias = Callable[[Book], Sequence[str]]


def _read() -> Steps[tuple[Book, int]]:
    table: Table = yield 0
    book = Book()
    book.reset(table)
    return book, round(table.now * 1000)


def _edited(change: Callable[[Book, int], Change]) -> Steps[None]:
    """Make a change to what is there; again if somebody else did between."""
    for _ in range(TRIES):
        book, now = yield from _read()
        if (yield change(book, now)):
            return
    raise ImproperlyConfigured("the schedule changes faster than it can be edited")


def _listed(scopes: Scopes) -> Steps[list[ScheduleView]]:
    book, _ = yield from _read()
    planned = book.plan(scopes(book))
    return [_view(planned[name]) for name in sorted(planned)]


def _shown(scopes: Scopes, name: str) -> Steps[ScheduleView]:
    book, _ = yield from _read()
    return _view(_found(book, scopes, name))


def _added(scopes: Scopes, entry: Entry, *, replace: bool) -> Steps[ScheduleView]:
    def change(book: Book, now: int) -> Change:
        old = book.plan(scopes(book)).get(entry.name)
        if old is not None and old.scope is not None:
            raise AlreadyRegistered(f"there is a schedule {entry.name!r} in the code already: give another name")
        if old is not None and not replace:
            raise AlreadyRegistered(f"there is a schedule {entry.name!r} already: remove it, or give replace=True")
        if next_tick(entry, State(key_of(entry), now, now)) is None:
            raise ValueError(f"schedule {entry.name!r} ({entry.rule}) is never due from now on")
        state = None if old is None else old.state
        started = begun(entry, state, None, now) or state
        assert started is not None  # noqa: S101 - begun answers a state for none
        return book.change_state(entry.name, msgspec.structs.replace(started, entry=entry, scope=None))

    yield from _edited(change)
    return (yield from _shown(scopes, entry.name))


def _removed(scopes: Scopes, name: str) -> Steps[None]:
    def change(book: Book, now: int) -> Change:
        del now
        found = _found(book, scopes, name)
        if found.scope is not None:
            raise ImproperlyConfigured(f"the schedule {name!r} is in the code: remove it there, or pause it")
        return book.change_state(name, None)

    return (yield from _edited(change))


def _paused(scopes: Scopes, name: str, *, paused: bool) -> Steps[None]:
    def change(book: Book, now: int) -> Change:
        found = _found(book, scopes, name)
        state = begun(found.entry, found.state, found.scope, now) or found.state
        assert state is not None  # noqa: S101 - begun answers a state for none
        last = max(now, state.last) if state.paused and not paused else state.last
        return book.change_state(name, msgspec.structs.replace(state, paused=paused, last=last))

    return (yield from _edited(change))


def _run(scopes: Scopes, name: str) -> Steps[str]:
    book, now = yield from _read()
    job = job_now(_found(book, scopes, name).entry, now / 1000)
    yield job
    return job.id


def _found(book: Book, scopes: Scopes, name: str) -> Planned:
    planned = book.plan(scopes(book))
    if name not in planned:
        raise NotRegistered(f"there is no schedule {name!r}{nearest(name, planned)}")
    return planned[name]


def _view(planned: Planned) -> ScheduleView:
    entry, state = planned.entry, planned.state
    running = state is not None and not state.paused and entry.enabled
    following = next_tick(entry, state) if state is not None and running else None
    last = state.tick if state is not None and state.tick else None
    return ScheduleView(
        name=entry.name,
        rule=entry.rule,
        task=entry.task,
        queue=entry.queue,
        source="stored" if planned.scope is None else "code",
        app=planned.scope,
        timezone=entry.zone,
        enabled=entry.enabled,
        paused=planned.paused,
        misfire=entry.misfire,
        overlap=entry.overlap,
        jitter=entry.jitter,
        runs=0 if state is None else state.runs,
        next=_moment(following, entry),
        last=_moment(last, entry),
        last_job="" if state is None else state.job,
        lateness=None if state is None or last is None else (state.sent - last) / 1000,
        watermark=None if state is None else _moment(state.last, entry),
    )


def _moment(milliseconds: int | None, entry: Entry) -> datetime | None:
    from umbel.schedules.zones import zone_of

    if milliseconds is None:
        return None
    try:
        zone = zone_of(entry.zone)
    except ValueError:
        zone = UTC
    return datetime.fromtimestamp(milliseconds / 1000, zone)
