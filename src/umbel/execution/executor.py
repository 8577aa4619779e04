"""Executor: Delivery -> Outcome, a value. It knows no broker and no settings; `runners.py` knows where to call it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from contextvars import copy_context
from datetime import datetime
from typing import Any, Final, TypeAlias

import msgspec

from umbel import options
from umbel.clock import clock
from umbel.exceptions import DecodeError, EncodeError, Ignore, Reject, Replaced, Retry, Terminated, WorkerLostError
from umbel.execution import hooks
from umbel.execution.dooms import doomed
from umbel.execution.following import errbacks, follow_ups, is_body
from umbel.execution.interruption import HardLimit, LoopWindow, ThreadWindow, meant
from umbel.execution.limits import Terms
from umbel.model import chance
from umbel.model.failure import Failure, capture, rebuild
from umbel.model.finding import STEP_SECONDS
from umbel.model.flow import NOTHING, Part
from umbel.model.job import FIRST, Delivery, Job
from umbel.model.outcome import Completed, Failed, Ignored, Outcome, Parked, Retried, Revoked, Succeeded
from umbel.model.retry import RetryPolicy, after_failure
from umbel.page import Notebook
from umbel.reporting import started
from umbel.request import Desk, Request, running
from umbel.signals import AROUND_RUNS
from umbel.task import Task
from umbel.wire.envelope import Envelope, decode, encode, pack
from umbel.wire.flow import part_of

AnyTask: TypeAlias = Task[..., Any]
_logger = logging.getLogger("umbel.worker")
_MAX_DELAY: Final = 100 * 365 * 86_400.0


class Run(msgspec.Struct, frozen=True, gc=False):
    """A delivery that may be run: its envelope is decoded and its task is known here.

    *args* are the arguments if they are not those of the envelope: what a flow gives comes before them. With an
    *ending* the task does not run any more: its hooks are told. *received* is the unix time at which it came here,
    *due* when it became ready, on the clock of this host; 0 where only the envelope tells.
    """

    delivery: Delivery
    envelope: Envelope
    task: AnyTask
    args: msgspec.Raw | None = None
    ending: Failed | None = None
    received: float = 0.0
    due: float = 0.0


class Finished(msgspec.Struct, frozen=True, gc=False):
    """A delivery with its outcome, its part in a flow, and the callbacks or errbacks that are to be sent.

    *task* is empty when the envelope could not be read. *ended* is the unix time of the end of a run, *wait* for how
    many seconds its job had been due when it started first; below 0 if nobody knows, or it is no first run.
    """

    delivery: Delivery
    outcome: Outcome
    task: str = ""
    keep_result: bool = True
    part: Part | None = None
    follow_ups: tuple[Job, ...] = ()
    ended: float = 0.0
    wait: float = -1.0


class Executor:
    """Runs deliveries of the tasks in one registry.

    *hostname* is what the request tells the task; *max_crashes* the number of crashes at which a job is buried;
    *max_bytes* limits envelopes, *ignore_results* and *store_errors* (even if ignored) are the app's defaults.
    """

    desk: Desk | None = None
    """Where runs may end their jobs themselves."""
    watched = False
    """Whether somebody wants to know when runs end, and for how long their jobs had waited."""
    notebook: Notebook | None = None
    """Where what runs say of themselves leaves from."""
    track_started = False
    """Whether runs of tasks that do not say so themselves are shown as STARTED."""

    def __init__(
        self,
        tasks: Mapping[str, AnyTask],
        hostname: str,
        *,
        max_crashes: int = 3,
        max_bytes: int = 1024 * 1024,
        ignore_results: bool = False,
        store_errors: bool = False,
    ) -> None:
        """Keep what every run needs."""
        self._tasks = tasks
        self._hostname = hostname
        self._max_crashes = max_crashes
        self._max_bytes = max_bytes
        self._ignore_results = ignore_results
        self._store_errors = store_errors
        self._abandoned = False
        self.terms = Terms()
        """The time limits under which jobs run here."""
        self.withdrawn: set[str] = set()
        """The ids of jobs that are here and must not begin any more: they are revoked."""

    def abandon(self) -> None:
        """From now on a run that is cancelled has no outcome: nobody here asks for it, its job runs elsewhere."""
        self._abandoned = True

    def prepare(self, delivery: Delivery, now: float) -> Run | Finished:
        """Decide whether *delivery* may be run at unix time *now*; otherwise say what becomes of it.

        Doomed: revoked, or failed for the limit that it exceeded. Undecodable, or crashed too often: dead. Expired:
        revoked. No task of that name here: parked.
        """
        try:
            envelope = decode(delivery.envelope, self._max_bytes)
        except DecodeError as error:
            revoked = delivery.counts.doom == "revoked"
            outcome = Revoked("revoked") if revoked else Failed(capture(error), dead=True)
            return Finished(delivery, outcome, part=part_of(delivery.envelope))
        task = self._tasks.get(envelope.task)
        ending = self._ending(delivery, envelope, task, now)
        if ending is None:
            if task is None:
                return Finished(delivery, Parked(envelope.task), envelope.task)
            return Run(delivery, envelope, task, received=now)
        if isinstance(ending, Failed) and delivery.counts.doom and task is not None and task.hooks:
            return Run(delivery, envelope, task, ending=ending)
        told = errbacks(delivery, envelope, ending.failure, now) if isinstance(ending, Failed) else ()
        kept = self._keeps(envelope, task, ending)
        return Finished(delivery, ending, envelope.task, kept, envelope.part, told)

    def _ending(self, delivery: Delivery, envelope: Envelope, task: AnyTask | None, now: float) -> Outcome | None:
        """What *delivery* ends with without being run, if anything."""
        counts = delivery.counts
        if counts is FIRST and envelope.expires is None:
            return None
        if counts.doom:
            return doomed(counts.doom, self.terms.of(envelope, task))
        if counts.crashes >= self._max_crashes:
            return Failed(_poison(delivery), dead=True)
        if envelope.expires is not None and envelope.expires <= now + clock.ahead:
            return Revoked("expired")
        return None

    def finished(self, run: Run, outcome: Outcome, *, ran: bool = True) -> Finished:
        """*run* with its outcome, whether its record is kept, and who is to be told.

        A job that did not run because one before it failed (*ran* false) tells nobody, but for the body of a chord.
        """
        envelope, now, wait = run.envelope, 0.0, -1.0
        if self.watched:
            now = time.time()
            if ran:
                wait = _waited(run, outcome, now)
        told: tuple[Job, ...] = ()
        if (envelope.links or envelope.errbacks) and (ran or is_body(envelope.part)):
            told = follow_ups(run.delivery, envelope, outcome, time.time())
        kept = self._keeps(envelope, run.task, outcome)
        return Finished(run.delivery, outcome, run.task.name, kept, envelope.part, told, now, wait)

    def run(self, run: Run, window: ThreadWindow | None = None) -> Outcome:
        """Run a `def` task here and now, in a context of its own; never raises, unless it is interrupted twice at once.

        Whoever may interrupt it does so through *window*.
        """
        if run.ending is not None:
            return copy_context().run(self._tell, run, run.ending)
        return copy_context().run(self._run, run, window or ThreadWindow())

    def _run(self, run: Run, window: ThreadWindow) -> Outcome:
        request = self._requested(run)
        if not isinstance(request, Request):
            return request
        task = run.task
        try:
            if task.hooks or AROUND_RUNS:
                hooks.before(task, request)
            window.open()
            value = task.body(*request.args, **request.kwargs)
            if window.close():
                window.insist()
            if request.retrying is not None:
                request.give_up()
            outcome = self._returned(request, value, completed=request.completing and request.completed)
        except BaseException as raised:  # noqa: BLE001 - no exception of a task harms the worker
            error = meant(window, raised)
            ending = self._raised(run, request, error, completed=request.completing and request.completed)
            if task.hooks or AROUND_RUNS:
                hooks.after_error(task, request, ending, error)
            return ending
        if task.hooks or AROUND_RUNS:
            hooks.after_success(task, request, value, outcome)
        return outcome

    def _tell(self, run: Run, ending: Failed) -> Outcome:
        """Tell the hooks of a task that does not run any more."""
        request = self._requested(run)
        if isinstance(request, Request):
            hooks.after_error(run.task, request, ending, rebuild(ending.failure))
        return ending

    async def arun(self, run: Run, window: LoopWindow | None = None) -> Outcome:
        """Run an `async def` task in the current asyncio task, whose context is its own; see `run`.

        Raises nothing but `CancelledError`, and that only when it is cancelled after `abandon`.
        """
        if run.ending is not None:
            return await self._atell(run, run.ending)
        request = self._requested(run)
        if not isinstance(request, Request):
            return request
        task, window = run.task, window or LoopWindow(run.delivery.id)
        try:
            if task.hooks or AROUND_RUNS:
                await hooks.abefore(task, request)
            window.open()
            body = task.body(*request.args, **request.kwargs)
            value = await (body if window.soft is None else window.softly(body))
            if window.close():
                await window.insist()
            request.give_up()
            outcome = self._returned(request, value, completed=request.completing and await request.acompleted())
        except BaseException as raised:  # noqa: BLE001 - as above
            self._let_go(raised, window)
            error = meant(window, raised)
            await window.calm()
            ending = self._raised(run, request, error, completed=request.completing and await request.acompleted())
            if task.hooks or AROUND_RUNS:
                await hooks.aafter_error(task, request, ending, error)
            return ending
        if task.hooks or AROUND_RUNS:
            await hooks.aafter_success(task, request, value, outcome)
        return outcome

    async def _atell(self, run: Run, ending: Failed) -> Outcome:
        """The async twin of `_tell`."""
        request = self._requested(run)
        if isinstance(request, Request):
            await hooks.aafter_error(run.task, request, ending, rebuild(ending.failure))
        return ending

    def _requested(self, run: Run) -> Request | Failed:
        """The request of *run*, which is the current one from now on; or its end, if its arguments are damaged."""
        began = time.perf_counter()
        task = run.task
        try:
            args, kwargs = task.arguments.decode(run.args or run.envelope.args, run.envelope.kwargs)
        except DecodeError as error:
            return Failed(capture(error), dead=True)
        request = Request(task, run.delivery, run.envelope, args, kwargs, self._hostname)
        request.desk, request.notebook, request.began = self.desk, self.notebook, began
        request.received = run.received
        running.set(request)
        if self.track_started if task.track_started is None else task.track_started:
            started(request)
        return request

    def keeps(self, run: Run, outcome: Outcome) -> bool:
        """Tell whether the record of *outcome* is stored: the call beats the task, the task beats the app."""
        return self._keeps(run.envelope, run.task, outcome)

    def _keeps(self, envelope: Envelope, task: AnyTask | None, outcome: Outcome) -> bool:
        ignored = envelope.ignore_result
        if ignored is None and task is not None:
            ignored = task.ignore_result
        if ignored is None:
            ignored = self._ignore_results
        if not ignored or not isinstance(outcome, Failed):
            return not ignored
        stored = None if task is None else task.store_errors_even_if_ignored
        return self._store_errors if stored is None else stored

    def _let_go(self, error: BaseException, window: LoopWindow) -> None:
        if self._abandoned and not window.why and isinstance(error, asyncio.CancelledError):
            raise error

    def _returned(self, request: Request, value: object, *, completed: bool) -> Outcome:
        """The outcome of a run that returned *value*. Raises `EncodeError` or `NotCommitted`: then it has failed."""
        if completed:
            return Completed(time.perf_counter() - request.began)
        if request.completing:
            raise request.not_committed()
        encoded = request.task_object.encode_result(value)
        seconds = time.perf_counter() - request.began
        return Succeeded(encoded, seconds, request.follow_ups, request.added, request.children_ids)

    def _raised(self, run: Run, request: Request, error: BaseException, *, completed: bool) -> Outcome:
        """The outcome of a run that raised *error*; FAILURE with what is wrong if it asks for the impossible."""
        seconds = time.perf_counter() - request.began
        if completed:
            _logger.error("task %s[%s] has ended its job and raised then", request.task, request.id, exc_info=error)
            return Completed(seconds)
        if isinstance(error, Replaced):
            return Retried(None, error.delay, seconds, error.envelope, charged=False)
        try:
            outcome = self._steered(run, request, error, seconds)
        except Exception as wrong:  # noqa: BLE001 - a delay or arguments that cannot travel
            outcome = Failed(capture(wrong), seconds)
        if isinstance(outcome, Failed) and (request.children_ids or request.step_book is not None):
            kept = b"" if request.step_book is None else pack(request.envelope)
            return msgspec.structs.replace(outcome, children=request.children_ids, envelope=kept)
        return outcome

    def _steered(self, run: Run, request: Request, error: BaseException, seconds: float) -> Outcome:
        match error:
            case Ignore() | Terminated():
                return Ignored(seconds) if isinstance(error, Ignore) else Revoked("terminated")
            case Reject():
                return (
                    Retried(None, 0.0, seconds, charged=False)
                    if error.requeue
                    else Failed(capture(error), seconds, dead=True)
                )
            case Retry():
                failure = capture(error.exc) if error.exc is not None else None
                return Retried(failure, _delay(error.when or 0.0), seconds, self._replaced(run, request, error))
            case _:
                pass
        # What cannot travel does not travel better the second time; and a limit is a limit.
        if isinstance(error, EncodeError | HardLimit):
            return Failed(capture(error), seconds)
        outcome = after_failure(_policy(run), error, capture(error), run.delivery.counts.retries, chance.random())
        if isinstance(outcome, Retried):
            return msgspec.structs.replace(outcome, delay=_delay(outcome.delay), run=seconds)
        return msgspec.structs.replace(outcome, dead=outcome.dead or request.exhausted, run=seconds)

    def _replaced(self, run: Run, request: Request, retry: Retry) -> bytes | None:
        """The envelope with the arguments that ``self.retry(args=…, kwargs=…)`` gave, or None if it gave none."""
        if retry.replaced is None:
            return None
        args, kwargs = retry.replaced
        envelope = request.envelope  # with the steps of this run
        old_args, old_kwargs = run.task.arguments.decode(run.args or envelope.args, envelope.kwargs)
        new_args, new_kwargs = run.task.arguments.encode(
            old_args if args is None else args, old_kwargs if kwargs is None else kwargs
        )
        envelope = msgspec.structs.replace(envelope, kwargs=msgspec.Raw(new_kwargs))
        if args is not None:
            # They are all there now: what a flow gives does not come before them again.
            part = None if envelope.part is None else msgspec.structs.replace(envelope.part, takes=NOTHING)
            envelope = msgspec.structs.replace(envelope, args=msgspec.Raw(new_args), part=part)
        return encode(envelope, self._max_bytes)


def _waited(run: Run, outcome: Outcome, now: float) -> float:
    """For how many seconds the job of *run*, which ends *now*, had been due when it began; below 0: nobody knows."""
    counts = run.delivery.counts
    if counts is not FIRST and counts != FIRST:
        return -1.0
    due = run.due
    if not due:
        envelope = run.envelope
        due = envelope.created if envelope.eta is None and envelope.part is None else envelope.due
        if not due:
            return -1.0
        due -= clock.ahead
    ran: float = outcome.run if isinstance(outcome, Succeeded) else getattr(outcome, "run", 0.0)
    wait = now - due - ran
    if wait > 0.0:  # nearly always
        return wait
    return 0.0 if wait > -STEP_SECONDS else -1.0  # it has not begun before it was due: the clocks differ


def _policy(run: Run) -> RetryPolicy:
    """The task's retry policy with what this call changed of it."""
    policy = run.task.retry_policy
    if run.envelope.retry_policy:
        policy = msgspec.structs.replace(policy, **run.envelope.retry_policy)
    if run.envelope.max_retries is not None:
        policy = msgspec.structs.replace(policy, max_retries=run.envelope.max_retries)
    return policy


def _delay(given: object) -> float:
    """Seconds that a broker can count: from zero to a hundred years. Raises `TypeError` or `ValueError`."""
    if isinstance(given, datetime):
        return min(max(options.timestamp(given, "when") - time.time(), 0.0), _MAX_DELAY)
    return min(max(options.seconds(given, "countdown"), 0.0), _MAX_DELAY)


def _poison(delivery: Delivery) -> Failure:
    crashes = delivery.counts.crashes
    return capture(
        WorkerLostError(f"the job was running when its process died, {crashes} times: it is kept as a dead letter")
    )
