"""Doorkeeper: between receive and start. Fetches what jobs of flows are given, and asks for those under limits.

One call for all jobs of a receive. Whoever may not start yet is held by the broker, and no concern of this child.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from umbel.admitting import Host, limit_store
from umbel.contracts.limits import Entry, LimitStore
from umbel.exceptions import DecodeError, UmbelError
from umbel.execution.executor import AnyTask, Executor, Finished, Run
from umbel.model.failure import capture
from umbel.model.job import Delivery
from umbel.model.limit import Limit
from umbel.model.outcome import Duplicate, Failed, Released
from umbel.regulation import NOTHING, Regulation, regulation_of
from umbel.wire.envelope import MAX_LINK_BYTES, decode
from umbel.worker.child.gatherer import Gatherer
from umbel.worker.child.link import Link

TAKEN: Final = "taken:"
MAX_BATCH: Final = 256

_logger = logging.getLogger("umbel.worker")


class Doorkeeper:
    """Says which of the runs of one child may start. Before `regulate` it knows of no limits."""

    def __init__(self, link: Link, executor: Executor) -> None:
        self._link = link
        self._executor = executor
        self._gatherer = Gatherer(link.broker, link.ledger, executor)
        self._host: Host | None = None
        self._known: dict[str, Regulation | None] = {}
        self._adjusted: frozenset[tuple[str, str]] = frozenset()
        self._store: LimitStore | None = None
        self._inside: dict[tuple[str, int], Limit] = {}
        self._left: list[tuple[str, Limit, str]] = []
        self._leaving: asyncio.Task[None] | None = None

    def regulate(self, host: Host, tasks: Mapping[str, AnyTask], adjusted: Collection[tuple[str, str]] = ()) -> None:
        """Ask the broker of *host* for jobs of *tasks* that have limits; others may come. *adjusted*: see `adjust`.

        Raises `ImproperlyConfigured` when it keeps none, and one of the tasks needs them.
        """
        self._host = host
        for task in tasks.values():
            self._regulation(task)
        self.adjust(adjusted)

    def adjust(self, adjusted: Collection[tuple[str, str]]) -> None:
        """Ask for the jobs of these (queue, task) as well, whose rate was set; no longer for those of the last call.

        Raises `ImproperlyConfigured` as `regulate`.
        """
        host = self._host
        if host is None or host.conf.worker_disable_rate_limits:
            return
        self._adjusted = frozenset(adjusted)
        if adjusted and self._store is None:
            self._store = limit_store(host, "a rate that was set")

    def passes(self, run: Run) -> bool:
        """Whether *run* may start without being asked for."""
        if run.envelope.part is not None:
            return False
        if run.ending is not None:
            return True
        if self._adjusted and (run.delivery.queue, run.task.name) in self._adjusted:
            return False
        return self._regulation(run.task) is None

    async def ask(self, runs: Sequence[Run], drop: Callable[[Delivery], None]) -> list[Run | Finished]:
        """Those of *runs* that may start, with what flows give them, and the ends of those that never will.

        *drop* is told of the others: they are not ours any more. Errors as `Broker`.
        """
        parts = [run for run in runs if run.envelope.part is not None]
        found: list[Run | Finished] = [run for run in runs if run.envelope.part is None]
        if parts:
            found += await self._gatherer.gather(parts)
        ready: list[Run | Finished] = []
        asking: list[tuple[Run, Entry]] = []
        for one in found:
            entry = self._entry(one) if isinstance(one, Run) else None
            if isinstance(one, Run) and isinstance(entry, Entry):
                asking.append((one, entry))
            else:
                ready.append(entry if isinstance(entry, Finished) else one)
        return ready + await self._enter(asking, drop) if asking else ready

    def forget(self, delivery: Delivery) -> None:
        """Its place is somebody else's matter."""
        self._inside.pop((delivery.id, delivery.number), None)

    def left(self, batch: Iterable[Finished]) -> None:
        """Have the places of *batch*, whose ends the broker has answered, given to others; soon, and together."""
        if self._store is None:
            return
        self._left += self._places(batch)
        if self._left and (self._leaving is None or self._leaving.done()):
            self._leaving = asyncio.ensure_future(self._leave(self._store))

    async def leave(self, batch: Iterable[Finished]) -> None:
        """The same as `left`, at once."""
        if self._store is not None:
            self._left += self._places(batch)
            await self._leave(self._store)

    async def aclose(self) -> None:
        """Wait until the broker knows of all that have left."""
        if self._leaving is not None:
            await self._leaving

    def _regulation(self, task: AnyTask) -> Regulation | None:
        try:
            return self._known[task.name]
        except KeyError:
            pass
        host = self._host
        found = None if host is None else regulation_of(task, host.conf)
        if found is not None and host is not None and self._store is None:
            self._store = limit_store(host, f"limiting {task.name}")
        self._known[task.name] = found
        return found

    def _entry(self, run: Run) -> Entry | Finished | None:
        """What to ask for *run*; None if it stands under nothing, or what it ends with if nobody can tell."""
        regulation, name = self._regulation(run.task), run.task.name
        if self._host is None or run.ending is not None:
            return None
        envelope, standing = run.envelope, NOTHING
        try:
            if regulation is not None:
                standing = regulation.standing(self._host.conf, run.args or envelope.args, envelope.kwargs)
        except DecodeError:
            return None  # the run will say so
        except TypeError as error:
            return self._executor.finished(run, Failed(capture(error), dead=True), ran=False)
        if standing.limit is None and (run.delivery.queue, name) in self._adjusted:
            standing = standing._replace(limit=Limit(name))
        return None if standing == NOTHING else Entry(run.delivery, *standing)

    async def _enter(
        self, asking: Sequence[tuple[Run, Entry]], drop: Callable[[Delivery], None]
    ) -> list[Run | Finished]:
        assert self._store is not None  # noqa: S101 - what asks has a regulation
        answers = await self._store.enter(self._link.session, [entry for _, entry in asking])
        ready: list[Run | Finished] = []
        for (run, entry), answer in zip(asking, answers, strict=True):
            if answer == "run":
                if entry.limit is not None:
                    self._inside[run.delivery.id, run.delivery.number] = entry.limit
                ready.append(run)
            elif answer.startswith(TAKEN):
                holder = answer.removeprefix(TAKEN)
                ready.append(self._executor.finished(run, Duplicate("duplicate", holder), ran=False))
            else:
                drop(run.delivery)
        return ready

    def _places(self, batch: Iterable[Finished]) -> Iterator[tuple[str, Limit, str]]:
        for finished in batch:
            delivery = finished.delivery
            entered = self._inside.pop((delivery.id, delivery.number), None)
            if isinstance(finished.outcome, Released):
                continue  # it comes back, to the same place
            limit = self._limit_of(finished) if entered is None else entered
            # What has entered under a rate alone keeps nobody waiting.
            if limit is not None and (entered is None or limit.pace.concurrency):
                yield delivery.queue, limit, delivery.id

    def _limit_of(self, finished: Finished) -> Limit | None:
        """The limit of a job that has ended here without having entered."""
        regulation = self._known.get(finished.task)
        if regulation is None or self._host is None:
            return None
        try:
            envelope = decode(finished.delivery.envelope, MAX_LINK_BYTES)
            return regulation.standing(self._host.conf, envelope.args, envelope.kwargs).limit
        except (DecodeError, TypeError):
            return None

    async def _leave(self, store: LimitStore) -> None:
        while self._left:
            batch, self._left = self._left[:MAX_BATCH], self._left[MAX_BATCH:]
            try:
                await store.leave(batch)
            except UmbelError as error:  # whoever reclaims finds them, too
                _logger.debug("%d places are given to others later: %s", len(batch), error)
