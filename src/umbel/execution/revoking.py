"""How jobs end that were revoked while nobody ran them: the same verdicts that a worker would reach."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from umbel.contracts.broker import Settlement
from umbel.execution.executor import Executor, Finished, Run
from umbel.execution.moments import Moment, moment_of
from umbel.execution.verdict import ended_before, settlement_of
from umbel.model.job import Delivery
from umbel.model.outcome import Revoked
from umbel.settings import Settings
from umbel.task import Task

AnyTask: TypeAlias = Task[..., Any]


class Ender:
    """Ends deliveries of an app's jobs without running them; *name* stands in the records for the worker."""

    def __init__(self, tasks: Mapping[str, AnyTask], conf: Settings, name: str) -> None:
        """*conf* says which records are kept, and for how long."""
        self._name = name
        self._tasks = tasks
        self._expires = conf.result_expires
        self._executor = Executor(
            tasks,
            name,
            max_crashes=conf.worker_max_crashes,
            max_bytes=conf.message_max_bytes,
            ignore_results=conf.task_ignore_result,
            store_errors=conf.task_store_errors_even_if_ignored,
        )

    def settlements(self, deliveries: Sequence[Delivery], records: Mapping[str, bytes]) -> list[Settlement]:
        """The settlement of each of *deliveries*. Those with a record in *records* had ended before: that counts."""
        now = time.time()
        return [
            settlement_of(self._finished(delivery, records.get(delivery.id), now), self._name, now, self._expires)
            for delivery in deliveries
        ]

    def tell(self, deliveries: Sequence[Delivery]) -> None:
        """Tell receivers of task_revoked that *deliveries* were ended so."""
        for signal, sender, told in self._moments(deliveries):
            signal.deliver(sender, told)

    async def atell(self, deliveries: Sequence[Delivery]) -> None:
        """The async twin of `tell`."""
        for signal, sender, told in self._moments(deliveries):
            await signal.adeliver(sender, told)

    def _moments(self, deliveries: Sequence[Delivery]) -> list[Moment]:
        now = time.time()
        ended = (self._finished(delivery, None, now) for delivery in deliveries)
        found = (moment_of(each, self._tasks, self._name) for each in ended if isinstance(each.outcome, Revoked))
        return [moment for moment in found if moment is not None]

    def _finished(self, delivery: Delivery, stored: bytes | None, now: float) -> Finished:
        if stored is not None:
            return ended_before(delivery, stored, now)
        prepared = self._executor.prepare(delivery, now)
        if isinstance(prepared, Run):
            return self._executor.finished(prepared, Revoked("revoked"), ran=False)
        return prepared
