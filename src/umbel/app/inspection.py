"""Inspect: what workers do and know. Jobs are read from the broker; workers are asked for what only they know."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias, cast

import msgspec

from umbel.app.orders import Destination, Hearing, Orders, Told, fitting, missing, node_of
from umbel.app.seat import Seat, inspector, job_store, mailbox, waited
from umbel.contracts.capabilities import Power, powers_of
from umbel.contracts.jobs import JobStore, Listed
from umbel.contracts.powers import SessionInfo
from umbel.exceptions import DecodeError
from umbel.model import presence
from umbel.model.presence import Presence
from umbel.states import Place
from umbel.wire import values
from umbel.wire.envelope import decode
from umbel.wire.letters import HELD

MAX_SHOWN: Final = 1_000
"""The most jobs of one kind that are shown of a queue."""
_ATTRIBUTES: Final = frozenset({"exchange", "routing_key", "rate_limit"})
_STATES: Final = {"delayed": "scheduled"}

Replies: TypeAlias = Any
"""A reply for each node; the bare one if a single node was asked for by text; None if nobody is there."""
Item: TypeAlias = dict[str, Any]


class Started(msgspec.Struct, frozen=True):
    """The process of a session, and the jobs that it had started and not ended, with the time of it."""

    pid: int
    jobs: dict[str, float]


class Child(msgspec.Struct, frozen=True):
    """A session of a worker: its node, and the jobs that it had started and not ended when it was asked."""

    session: str
    presence: Presence
    held: tuple[str, ...]
    started: Started

    @property
    def node(self) -> str:
        """The name of its worker."""
        return self.presence.worker


class Inspect:
    """`app.control.inspect()`: each verb answers ``{node: reply}``. Its async twin begins with "a"."""

    def __init__(
        self, seat: Seat, orders: Orders, destination: Destination, timeout: float, hearing: Hearing | None = None
    ) -> None:
        """Ask the workers *destination*, by default all; wait for their answers *timeout* seconds at most.

        Raises `ValueError` for a pattern that cannot be read.
        """
        self._seat = seat
        self._orders = orders
        self._bare = destination if isinstance(destination, str) else None
        self._to = destination
        self._timeout = timeout
        self._hearing: Hearing = hearing or {}
        self._fits = fitting(destination, self._hearing)

    # --- jobs, as the broker has them

    async def aactive(self, safe: bool | None = None) -> Replies:
        """The async twin of `active`."""
        return await self._held(lambda job, child: job.id in child.started.jobs, safe)

    def active(self, safe: bool | None = None) -> Replies:
        """The jobs that run: dicts with Celery's keys. Who holds a job is exact, whether it has started as told now.

        *safe*: arguments as texts, as they are shown to people.
        """
        return waited(self._seat, self.aactive(safe))

    async def areserved(self, safe: bool | None = None) -> Replies:
        """The async twin of `reserved`."""
        return await self._held(lambda job, child: job.id not in child.started.jobs, safe)

    def reserved(self, safe: bool | None = None) -> Replies:
        """The jobs that a child has received and not started, or has ended and not settled yet."""
        return waited(self._seat, self.areserved(safe))

    async def arevoked(self) -> Replies:
        """The async twin of `revoked`."""
        job_store(self._seat, "showing what is revoked and runs")
        held = await self._jobs_held()
        return self._shaped({node: [job.id for job, _ in jobs if job.counts.doom] for node, jobs in held.items()})

    def revoked(self) -> Replies:
        """The ids of jobs that were revoked and still run. What waited has ended when it was revoked."""
        return waited(self._seat, self.arevoked())

    async def ascheduled(self, safe: bool | None = None) -> Replies:
        """The async twin of `scheduled`."""
        jobs = job_store(self._seat, "showing scheduled jobs")
        queues = _queues_of(await self._children(started=False))
        served = sorted({queue for names in queues.values() for queue in names})
        due: dict[str, list[Item]] = {}
        for queue in served:
            page = await jobs.ajobs(queue, "delayed", "", MAX_SHOWN)
            due[queue] = [{"eta": one.at, "priority": 6, "request": _item(one, None, safe)} for one in page]
        return self._shaped({node: [item for name in names for item in due[name]] for node, names in queues.items()})

    def scheduled(self, safe: bool | None = None) -> Replies:
        """The delayed jobs of the queues that each worker serves, up to 1,000 a queue."""
        return waited(self._seat, self.ascheduled(safe))

    async def aquery_task(self, *ids: str) -> Replies:
        """The async twin of `query_task`."""
        mailbox(self._seat, "showing where jobs are")
        children = await self._children(started=True)
        wanted = [str(one) for given in ids for one in ([given] if isinstance(given, str) else given)]
        found: dict[str, dict[str, Any]] = {child.node: {} for child in children}
        look = inspector(self._seat)
        for job_id in wanted:
            location = await look.alocate(job_id, None)
            holder = next((child for child in children if job_id in child.held), None)
            state = _state(location.place, started=holder is not None and job_id in holder.started.jobs)
            item = {"id": job_id, "queue": location.queue, "retries": location.retries, "doom": location.doom}
            for child in children:
                serves = location.queue in child.presence.queues if location.place != "running" else child is holder
                if serves and location.place != "unknown":
                    found[child.node][job_id] = [state, item]
        return self._shaped(found)

    def query_task(self, *ids: str) -> Replies:
        """Where jobs are, by id: ``[state, item]``, under the node that holds each, or those that could take it."""
        return waited(self._seat, self.aquery_task(*ids))

    # --- workers, as they say themselves

    async def aping(self, destination: Destination = None) -> Replies:
        """The async twin of `ping`."""
        if destination is not None:
            return await Inspect(self._seat, self._orders, destination, self._timeout, self._hearing).aping()
        return await self._ask("ping")

    def ping(self, destination: Destination = None) -> Replies:
        """``{"ok": "pong"}`` of each worker that hears; of those of *destination*, if it is given here."""
        return waited(self._seat, self.aping(destination))

    async def areport(self) -> Replies:
        """The async twin of `report`."""
        return await self._ask("report")

    def report(self) -> Replies:
        """``{"ok": text}`` of each worker: versions, system, broker, queues, settings that are not defaults."""
        return waited(self._seat, self.areport())

    async def astats(self) -> Replies:
        """The async twin of `stats`."""
        return await self._ask("stats")

    def stats(self) -> Replies:
        """Process, children, slots, uptime and resources of each worker."""
        return waited(self._seat, self.astats())

    async def aconf(self, with_defaults: bool = True) -> Replies:
        """The async twin of `conf`."""
        return await self._ask("conf", {"with_defaults": with_defaults})

    def conf(self, with_defaults: bool = True) -> Replies:
        """The settings of each worker, secrets masked; without *with_defaults* those that somebody has given."""
        return waited(self._seat, self.aconf(with_defaults))

    async def aregistered(self, *taskinfoitems: str) -> Replies:
        """The async twin of `registered`."""
        strangers = set(taskinfoitems) - _ATTRIBUTES
        if strangers:
            unknown = ", ".join(sorted(strangers))
            raise ValueError(f"registered tells of no {unknown}: have a command of your own do so, see inspect_command")
        return await self._ask("registered")

    def registered(self, *taskinfoitems: str) -> Replies:
        """The names of the tasks that each worker knows, with their limits: ``name [rate_limit=10/s]``.

        *taskinfoitems* are Celery's, which are told anyway; `ValueError` for others.
        """
        return waited(self._seat, self.aregistered(*taskinfoitems))

    registered_tasks = registered

    async def aactive_queues(self) -> Replies:
        """The async twin of `active_queues`."""
        return await self._ask("active_queues")

    def active_queues(self) -> Replies:
        """The queues that each worker serves, as dicts with Celery's keys."""
        return waited(self._seat, self.aactive_queues())

    async def acommand(self, name: str, **arguments: Any) -> Replies:
        """The async twin of `command`."""
        return await self._ask(name, arguments)

    def command(self, name: str, **arguments: Any) -> Replies:
        """What the app's own command *name* answers, of each worker by child; see `Umbel.inspect_command`."""
        return waited(self._seat, self.acommand(name, **arguments))

    # ---

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            raise missing(name)

    async def _ask(self, verb: str, arguments: dict[str, Any] | None = None) -> Replies:
        told = await self._orders.ask(verb, arguments or {}, self._to, self._timeout, self._hearing)
        return self._bared({one.worker: one.told for one in told})

    def _bared(self, replies: dict[str, Any]) -> Replies:
        if not replies:
            return None
        return replies.get(self._bare) if self._bare is not None else replies

    def _shaped(self, replies: dict[str, Any]) -> Replies:
        """What the broker tells, as if each worker had answered."""
        heard = dict(islice(replies.items(), self._hearing.get("limit")))
        callback = self._hearing.get("callback")
        if callback is not None:
            for node, reply in heard.items():
                callback({node: reply})
        return self._bared(heard)

    async def _held(self, wanted: Callable[[Listed, Child], bool], safe: bool | None) -> Replies:
        held = await self._jobs_held()
        return self._shaped(
            {
                node: [_item(job, child, safe) for job, child in jobs if wanted(job, child)]
                for node, jobs in held.items()
            }
        )

    async def _jobs_held(self) -> dict[str, list[tuple[Listed, Child]]]:
        """The jobs that each node holds, with the child that does."""
        if Power.JOBS not in powers_of(self._seat.broker):
            return await self._jobs_told()
        jobs = job_store(self._seat, "showing what runs")
        children = {child.session: child for child in await self._children(started=True)}
        held: dict[str, list[tuple[Listed, Child]]] = {child.node: [] for child in children.values()}
        for queue in sorted({queue for child in children.values() for queue in child.presence.queues}):
            async for job in _pages(jobs, queue, "running"):
                child = children.get(job.session)
                if child is not None:
                    held[child.node].append((job, child))
        return held

    async def _jobs_told(self) -> dict[str, list[tuple[Listed, Child]]]:
        """The same where the broker knows only who holds which ids: children tell what these jobs are.

        A child that does not answer in time may hold them yet: what its last heartbeat told is shown.
        """
        mailbox(self._seat, "showing what runs")
        held_now = self._orders.ask(HELD, {}, self._to, self._timeout, self._silently)
        asked = (self._children(started=True), held_now)
        children, told = await asyncio.gather(*asked)
        jobs = _jobs_of(told)
        held: dict[str, list[tuple[Listed, Child]]] = {child.node: [] for child in children}
        for child in children:
            mine = jobs.get((child.node, child.presence.child), _last_known(child))
            held[child.node] += [(mine[job_id], child) for job_id in child.held if job_id in mine]
        return held

    @property
    def _silently(self) -> Hearing:
        """How those are heard who are asked on behalf of the broker: whoever asks for jobs hears of these alone."""
        hearing = {name: value for name, value in self._hearing.items() if name in ("pattern", "matcher")}
        return cast("Hearing", hearing)

    async def _children(self, *, started: bool) -> list[Child]:
        """The sessions of the workers asked for; *started* asks what they have started just now."""
        look = inspector(self._seat)
        sessions = [_read(one) for one in await look.sessions(await look.queues())]
        mine = [one for one in sessions if one is not None and self._fits(one.node)]
        if not (started and mine):
            return mine
        told = await self._orders.ask_those("started", {node_of(one.presence) for one in mine}, self._timeout)
        now = _started_of(told)
        return [msgspec.structs.replace(one, started=now.get(one.session, one.started)) for one in mine]


async def _pages(jobs: JobStore, queue: str, place: Place) -> AsyncIterator[Listed]:
    after = ""
    while True:
        page = await jobs.ajobs(queue, place, after, MAX_SHOWN)
        for job in page:
            yield job
        if len(page) < MAX_SHOWN:
            return
        after = page[-1].cursor


def _read(session: SessionInfo) -> Child | None:
    """The child in *session*, with what its last heartbeat told; None if it is no worker's."""
    told = presence.decode(session.info)
    if told is None:
        return None
    return Child(session.session, told, session.held, Started(told.child, {job.id: job.since for job in told.running}))


def _started_of(told: Iterable[Told]) -> dict[str, Started]:
    found: dict[str, Started] = {}
    for one in told:
        with suppress(msgspec.ValidationError):
            found.update(msgspec.convert(one.value, dict[str, Started]))
    return found


def _jobs_of(told: Iterable[Told]) -> dict[tuple[str, int], dict[str, Listed]]:
    """What the children of each node, by their process, tell that they hold."""
    found: dict[tuple[str, int], dict[str, Listed]] = {}
    for one in told:
        with suppress(msgspec.ValidationError):
            for child, answer in msgspec.convert(one.value, dict[int, list[Listed] | Item], str_keys=True).items():
                if isinstance(answer, list):  # not an error
                    found[one.worker, child] = {job.id: job for job in answer}
    return found


def _last_known(child: Child) -> dict[str, Listed]:
    """What is known of the jobs that *child* holds, where it tells nothing."""
    tasks = {job.id: job.task for job in child.presence.running}
    return {each: Listed(each, "", "running", 0, b"", "", task=tasks.get(each, "")) for each in child.held}


def _queues_of(children: Iterable[Child]) -> dict[str, list[str]]:
    found: dict[str, dict[str, None]] = {}
    for child in children:
        found.setdefault(child.node, {}).update(dict.fromkeys(child.presence.queues))
    return {node: list(queues) for node, queues in found.items()}


def _state(place: Place, *, started: bool) -> str:
    if place == "running":
        return "active" if started else "reserved"
    return _STATES.get(place, place)


def _item(job: Listed, child: Child | None, safe: bool | None) -> Item:
    """A job with Celery's keys; *safe*: its arguments as texts."""
    item: Item = {"id": job.id, "name": job.task, "args": [], "kwargs": {}, "type": job.task}
    try:
        envelope = decode(job.envelope, len(job.envelope))
        item |= {"name": envelope.task, "type": envelope.task}
        told = {"args": values.decode(envelope.args), "kwargs": values.decode(envelope.kwargs)}
        item |= {name: repr(value) for name, value in told.items()} if safe else told
    except DecodeError as error:
        item["error"] = str(error)
    item["delivery_info"] = {"routing_key": job.queue, "priority": 9 - job.level, "redelivered": _came_back(job)}
    item |= {"retries": job.counts.retries, "crashes": job.counts.crashes, "doom": job.counts.doom}
    if child is not None:
        item |= {"hostname": child.node, "worker_pid": child.started.pid, "acknowledged": False}
        item["time_start"] = child.started.jobs.get(job.id)
    return item


def _came_back(job: Listed) -> bool:
    return bool(job.counts.crashes or job.counts.losses)
