"""Desk: where a run ends its own job, in a transaction of the user's own, ahead of the settler."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final, cast

from umbel.contracts.broker import Settlement
from umbel.contracts.capabilities import Power, demand
from umbel.contracts.jobs import amender_of
from umbel.contracts.powers import TransactionalSettler
from umbel.exceptions import ImproperlyConfigured, LeaseLost, UmbelError
from umbel.execution.executor import AnyTask, Executor, Finished, Run
from umbel.model.job import Delivery
from umbel.model.outcome import Succeeded
from umbel.request import Request
from umbel.to_end import to_end
from umbel.worker.child.ledger import OwnEngine
from umbel.worker.child.link import Link

_logger: Final = logging.getLogger("umbel.worker")


class Desk:
    """Ends jobs of the session of *link*; *settle* makes the settlement of a finished run at a unix time.

    *place* is the URL of the broker as errors may show it.
    """

    def __init__(
        self, link: Link, executor: Executor, settle: Callable[[Finished, float], Settlement], place: str
    ) -> None:
        self._link = link
        self._place = place
        self._executor = executor
        self._settle = settle

    def complete(self, request: Request, value: bytes, connection: object) -> None:
        """Carry it out on *connection*; see `umbel.request.Desk`."""
        settlement = self._settlement(request, value)
        if not self._broker().settle_in(self._link.session, settlement, connection):
            raise _lost(request)

    async def acomplete(self, request: Request, value: bytes, connection: object) -> None:
        """The async twin of `complete`."""
        settlement = self._settlement(request, value)
        if not await self._broker().asettle_in(self._link.session, settlement, connection):
            raise _lost(request)

    def check(self) -> None:
        """Raise `ImproperlyConfigured` if the broker cannot keep what a run amends."""
        demand(self._link.broker, Power.STEPS, "a durable step", self._place)

    def amend(self, request: Request, envelope: bytes) -> None:
        """Keep *envelope* as the job; see `umbel.request.Desk`."""
        self.keep(request.delivery, envelope)

    async def aamend(self, request: Request, envelope: bytes) -> None:
        """The async twin of `amend`."""
        await self._keep(request.delivery, envelope)

    def keep(self, delivery: Delivery, envelope: bytes) -> None:
        """Keep *envelope* as the job of *delivery*; called in the thread of its run. Raises as `amend`."""
        to_end(self._keep(delivery, envelope))

    async def _keep(self, delivery: Delivery, envelope: bytes) -> None:
        amender = amender_of(self._link.broker)
        assert amender is not None  # noqa: S101 - `check` says so
        if await amender.amend(self._link.session, [(delivery, envelope)]) != [True]:
            raise LeaseLost(f"{delivery.id} is not this worker's any more: its step is not kept")

    def revoked(self, job_id: str) -> bool:
        """Whether the job was revoked; see `umbel.request.Desk`."""
        return job_id in self._executor.withdrawn

    def confirm(self, request: Request) -> bool:
        """Whether it was committed. True if nobody knows: the next reconcile gives the job back if it was not."""
        try:
            return self._broker().confirm(self._link.session, self._settlement(request, b""))
        except UmbelError as error:
            return _unknown(request, error)

    async def aconfirm(self, request: Request) -> bool:
        """The async twin of `confirm`."""
        try:
            return await self._broker().aconfirm(self._link.session, self._settlement(request, b""))
        except UmbelError as error:
            return _unknown(request, error)

    def _settlement(self, request: Request, value: bytes) -> Settlement:
        run = Run(request.delivery, request.envelope, cast("AnyTask", request.task_object))
        outcome = Succeeded(value, time.perf_counter() - request.began, request.follow_ups, request.added)
        finished = self._executor.finished(run, outcome)
        if finished.keep_result and not self._keeps_records():
            raise ImproperlyConfigured(
                "complete_in needs the result in the database of the job: leave result_backend out, or give the task "
                "ignore_result=True"
            )
        return self._settle(finished, time.time())

    def _keeps_records(self) -> bool:
        ledger = self._link.ledger
        return isinstance(ledger, OwnEngine) and not ledger.refers

    def _broker(self) -> TransactionalSettler:
        broker = self._link.broker
        demand(broker, Power.TRANSACTIONS, "complete_in", self._place)
        assert isinstance(broker, TransactionalSettler)  # noqa: S101 - it says so
        return broker


def _lost(request: Request) -> LeaseLost:
    return LeaseLost(f"{request.task}[{request.id}] is not this worker's any more: its transaction must not commit")


def _unknown(request: Request, error: UmbelError) -> bool:
    _logger.warning("whether %s[%s] has ended is not known yet: %s", request.task, request.id, error)
    return True
