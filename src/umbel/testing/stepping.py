"""Stepper: a worker without loop, threads and processes, that runs the next job when it is told to.

Broker, codec, executor, retries, flows and schedules are the real ones; what it does not have is what belongs to
processes: leases that lapse, crashes, time limits that break a job off.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, Final, TypeVar

from umbel.app.app import Umbel
from umbel.contracts.broker import Beat
from umbel.engines.address import masked
from umbel.execution import builtin
from umbel.execution.executor import Executor, Finished, Run
from umbel.model.failure import Failure, rebuild
from umbel.model.ids import new_session
from umbel.model.outcome import Failed
from umbel.scheduler.living import living_at
from umbel.scheduler.scheduler import Scheduler, Terms
from umbel.testing.recorder import Recorder
from umbel.to_end import to_end
from umbel.worker.child.desk import Desk
from umbel.worker.child.doorkeeper import Doorkeeper
from umbel.worker.child.ledger import OwnEngine
from umbel.worker.child.link import Link
from umbel.worker.child.settler import Settler

LEASE_SECONDS: Final = 1e9
NAME: Final = "umbel@virtual"
FAR_SECONDS: Final = 10 * 86_400.0
MAX_LOOKS: Final = 1_000
MAX_JOBS: Final = 100_000

T = TypeVar("T")


class Stepper:
    """Runs the jobs of *app* at *broker*, of all its queues, one at a time and in the order of the engine."""

    def __init__(self, app: Umbel, broker: Recorder) -> None:
        app.load_tasks()
        builtin.install(app)
        conf = app.conf
        self._app = app
        self._broker = broker
        self._link = Link(broker, OwnEngine(), new_session(), ())
        self._executor = Executor(
            app.tasks,
            NAME,
            max_crashes=conf.worker_max_crashes,
            max_bytes=conf.message_max_bytes,
            ignore_results=conf.task_ignore_result,
            store_errors=conf.task_store_errors_even_if_ignored,
        )
        self._executor.abandon()  # who cancels a run is the test
        self._settler = Settler(self._link, NAME, conf.result_expires, _ignore)
        self._executor.desk = Desk(self._link, self._executor, self._settler.settlement, masked(conf.broker_url))
        self._doorkeeper = Doorkeeper(self._link, self._executor)
        self._doorkeeper.regulate(app, app.tasks)
        self._opened: set[str] = set()
        terms = Terms(session=new_session(), scope=app.main or "", interval=FAR_SECONDS)
        self._scheduler = Scheduler(broker.schedule_store, living_at(broker), terms, app.periodic.entries())
        self._tick_at = 0.0
        self._failures: list[Failure] = []

    def run(self, now: float) -> int:
        """Do everything that is ready at *now*, and what it sends; answers how many jobs were run."""
        self._schedule(now)
        ran = 0
        while ran < MAX_JOBS:
            found = self._step(now)
            if found is None:
                return ran
            ran += found
        raise RuntimeError(f"{MAX_JOBS} jobs ran and more are ready: does a task send itself again?")

    def next(self, now: float) -> float | None:
        """When there is something to do again after *now*, as a unix time; None: never."""
        times = [self._tick_at] if self._tick_at < now + FAR_SECONDS else []
        due = self.due(now)
        return min(times if due is None else [*times, due], default=None)

    def due(self, now: float) -> float | None:
        """When the next delayed job is due, as a unix time; None: there is none."""
        due = at_once(self._broker.reclaim(self._queues(), LEASE_SECONDS)).next_due
        return None if due is None else now + due

    def raise_first(self) -> None:
        """Raise the error of the first job that has failed since the last call, if one has."""
        failures, self._failures = self._failures, []
        if failures:
            raise rebuild(failures[0], self._app.exceptions)

    def _schedule(self, now: float) -> None:
        for _ in range(MAX_LOOKS):
            seconds = at_once(self._scheduler.step())
            if seconds > 0:
                self._tick_at = now + seconds
                return
        raise RuntimeError("the schedules of the app do not come to rest")

    def _step(self, now: float) -> int | None:
        """Receive a job and run it, if its limits allow that; answers how many were run, None if none was ready."""
        queues = self._queues()
        if not queues:
            return None
        at_once(self._broker.unpark(queues, tuple(self._app.tasks)))
        self._doorkeeper.adjust(at_once(self._broker.limit_store.adjusted(queues)))
        deliveries = at_once(self._broker.receive(self._link.session, queues, 1, wait=0))
        admitted = [each for one in deliveries for each in self._let_in(self._executor.prepare(one, now))]
        for each in admitted:
            self._settle(self._ended(each), now)
        return len(admitted) if deliveries else None

    def _let_in(self, prepared: Run | Finished) -> Sequence[Run | Finished]:
        """What may go on; nothing if its limits do not allow it yet."""
        if isinstance(prepared, Finished) or self._doorkeeper.passes(prepared):
            return (prepared,)
        return at_once(self._doorkeeper.ask([prepared], lambda _: None))

    def _ended(self, prepared: Run | Finished) -> Finished:
        if isinstance(prepared, Finished):
            return prepared
        run = prepared
        outcome = to_end(self._executor.arun(run)) if run.task.is_async else self._executor.run(run)
        if isinstance(outcome, Failed) and outcome.failure.type == KeyboardInterrupt.__name__:
            raise KeyboardInterrupt
        return self._executor.finished(run, outcome)

    def _settle(self, finished: Finished, now: float) -> None:
        if isinstance(finished.outcome, Failed):
            self._failures.append(finished.outcome.failure)
        at_once(self._broker.settle(self._link.session, [self._settler.settlement(finished, now)]))
        at_once(self._doorkeeper.leave([finished]))

    def _queues(self) -> list[str]:
        """All queues that there are; the session lives in each of them."""
        found = at_once(self._broker.queues())
        new = [name for name in found if name not in self._opened]
        if new:
            at_once(self._broker.heartbeat([Beat(self._link.session)], new, LEASE_SECONDS, opening=True))
            self._opened.update(new)
        return found


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """What *coroutine* returns, which waits for nothing: so it needs no event loop."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        answer: T = done.value
        return answer
    coroutine.close()
    raise RuntimeError("the engine in memory waits for nothing here")


def _ignore(_: Sequence[Finished], __: Sequence[bool]) -> None:
    """Nobody else holds what was settled."""
