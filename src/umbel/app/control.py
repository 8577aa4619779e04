"""Control: stops jobs, has workers do and tell things. What must not be lost is state of the broker, not a letter."""

from __future__ import annotations

import signal as signals
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias, Unpack

from umbel.app.inspection import Inspect
from umbel.app.limiting import Limiting
from umbel.app.orders import HEARING, MANNER, Destination, Hearing, Manner, Orders, Reply, fitting, missing
from umbel.app.revoking import Ending, Revoking, Stopped
from umbel.app.seat import Seat, known_queues, place_of, waited
from umbel.app.twin import Steps, arun, run
from umbel.model.ids import valid_id
from umbel.options import Rate, check_names, checked_limits
from umbel.revocable import Revocable

Ids: TypeAlias = Any
"""An id, a handle (also of a group), or several of them."""
DEFAULT_SECONDS: Final = 1.0
_SIGNALS: Final = ("SIGTERM", "SIGINT", "SIGQUIT", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGHUP", "SIGABRT")


class Control:
    """`app.control`. Each verb has an async twin whose name begins with "a".

    All raise `ImproperlyConfigured` when the broker cannot do what they need, and `BrokerUnavailable`.
    """

    def __init__(self, seat: Seat) -> None:
        """Control the jobs and workers of the broker of *seat*."""
        self._seat = seat
        self._revoking = Revoking(seat)
        self._orders = Orders(seat)

    # --- jobs

    def revoke(self, task_id: Ids, *, terminate: bool = False, signal: str | int | None = None) -> list[Stopped]:
        """Revoke jobs, durably, with or without workers; answers where each of them was found.

        *task_id* is an id or a handle, or several. What waits has ended as REVOKED when this returns; what runs goes
        on, but is not retried. With *terminate* what runs is ended too, wherever it runs; *signal* says how: SIGTERM
        (the default) lets it clean up, SIGKILL does not. Raises `UmbelError` for a job that its flow has not sent yet,
        `TypeError` or `ValueError` for what is no id or no signal.
        """
        return run(self._revoke(_keys(task_id), terminate, signal))

    async def arevoke(self, task_id: Ids, *, terminate: bool = False, signal: str | int | None = None) -> list[Stopped]:
        """The async twin of `revoke`."""
        return await arun(self._revoke(_keys(task_id), terminate, signal))

    def terminate(self, task_id: Ids, *, signal: str | int | None = None) -> list[Stopped]:
        """`revoke` with *terminate*."""
        return self.revoke(task_id, terminate=True, signal=signal)

    async def aterminate(self, task_id: Ids, *, signal: str | int | None = None) -> list[Stopped]:
        """The async twin of `terminate`."""
        return await self.arevoke(task_id, terminate=True, signal=signal)

    def revoke_jobs(
        self, keys: Sequence[tuple[str, str | None]], *, terminate: bool, signal: str | int | None
    ) -> list[Stopped]:
        """`revoke` for pairs of id and queue, which spares looking for them; None: the queue is not known."""
        return run(self._revoke(keys, terminate, signal))

    async def arevoke_jobs(
        self, keys: Sequence[tuple[str, str | None]], *, terminate: bool, signal: str | int | None
    ) -> list[Stopped]:
        """The async twin of `revoke_jobs`."""
        return await arun(self._revoke(keys, terminate, signal))

    def revoke_by_task(
        self, task: str, queues: Sequence[str] = (), *, terminate: bool = False, signal: str | int | None = None
    ) -> list[Stopped]:
        """`revoke` all jobs of the task *task* in *queues*, by default in all of the broker's queues.

        It looks at every job there. Jobs that are sent meanwhile may be missed.
        """
        _named(signal)
        found = waited(self._seat, known_queues(self._seat, tuple(queues)))
        return run(self._revoke(run(self._revoking.named(task, found)), terminate, signal))

    async def arevoke_by_task(
        self, task: str, queues: Sequence[str] = (), *, terminate: bool = False, signal: str | int | None = None
    ) -> list[Stopped]:
        """The async twin of `revoke_by_task`."""
        _named(signal)
        found = await known_queues(self._seat, tuple(queues))
        return await arun(self._revoke(await arun(self._revoking.named(task, found)), terminate, signal))

    def revoke_by_stamped_headers(
        self,
        headers: Mapping[str, Any],
        queues: Sequence[str] = (),
        *,
        terminate: bool = False,
        signal: str | int | None = None,
    ) -> list[Stopped]:
        """`revoke` all jobs with one of the stamps *headers*, names with a value or a list of values.

        It looks at every job of *queues*, by default of all queues. Jobs that are sent meanwhile may be missed.
        """
        _named(signal)
        found = waited(self._seat, known_queues(self._seat, tuple(queues)))
        return run(self._revoke(run(self._revoking.stamped(headers, found)), terminate, signal))

    async def arevoke_by_stamped_headers(
        self,
        headers: Mapping[str, Any],
        queues: Sequence[str] = (),
        *,
        terminate: bool = False,
        signal: str | int | None = None,
    ) -> list[Stopped]:
        """The async twin of `revoke_by_stamped_headers`."""
        _named(signal)
        found = await known_queues(self._seat, tuple(queues))
        return await arun(self._revoke(await arun(self._revoking.stamped(headers, found)), terminate, signal))

    def purge(self, queue: str | None = None, *, told: Callable[[int], object] | None = None) -> int:
        """Revoke all jobs that wait in *queue*, by default in the app's default queue; answers how many that were.

        Those that are delayed or parked are among them, those that run are not. *told* is called with the number of
        each portion that is done.
        """
        return run(self._revoking.purge(queue or self._seat.conf.task_default_queue, told))

    async def apurge(self, queue: str | None = None, *, told: Callable[[int], object] | None = None) -> int:
        """The async twin of `purge`."""
        return await arun(self._revoking.purge(queue or self._seat.conf.task_default_queue, told))

    discard_all = purge
    adiscard_all = apurge

    # --- workers

    def inspect(
        self, destination: Destination = None, timeout: float = DEFAULT_SECONDS, **hearing: Unpack[Hearing]
    ) -> Inspect:
        """What workers do and know. *destination* are node names, by default all; a text is one, *timeout* seconds."""
        check_names(hearing, HEARING, "app.control.inspect")
        return Inspect(self._seat, self._orders, destination, timeout, hearing)

    def workers(self) -> list[str]:
        """The names of the workers that live, by their sessions; none where the broker knows of no sessions."""
        return waited(self._seat, self.aworkers())

    async def aworkers(self) -> list[str]:
        """The async twin of `workers`."""
        return sorted({name for name, _, _ in await self._orders.living(fitting(None, {})) or ()})

    def broadcast(
        self,
        command: str,
        arguments: Mapping[str, Any] | None = None,
        destination: Destination = None,
        *,
        reply: bool = False,
        timeout: float = DEFAULT_SECONDS,
        **hearing: Unpack[Hearing],
    ) -> list[Reply] | None:
        """Have the workers *destination*, by default all, do *command*; answers one ``{name: reply}`` each if asked to.

        Waits for those workers that live, *timeout* seconds at most. Raises `ImproperlyConfigured` for a command that
        there is not, or not yet.
        """
        asking = self.abroadcast(command, arguments, destination, reply=reply, timeout=timeout, **hearing)
        return waited(self._seat, asking)

    async def abroadcast(
        self,
        command: str,
        arguments: Mapping[str, Any] | None = None,
        destination: Destination = None,
        *,
        reply: bool = False,
        timeout: float = DEFAULT_SECONDS,
        **hearing: Unpack[Hearing],
    ) -> list[Reply] | None:
        """The async twin of `broadcast`."""
        check_names(hearing, HEARING, command)
        given = dict(arguments or {})
        if not reply:
            await self._orders.tell(command, given, destination, hearing)
            return None
        return [{one.worker: one.told} for one in await self._orders.ask(command, given, destination, timeout, hearing)]

    def ping(
        self, destination: Destination = None, timeout: float = DEFAULT_SECONDS, **how: Unpack[Manner]
    ) -> list[Reply]:
        """One ``{name: {"ok": "pong"}}`` for each worker that answers within *timeout* seconds."""
        return self._asked("ping", destination, timeout, how)

    def quiet(
        self, destination: Destination = None, timeout: float = DEFAULT_SECONDS, **how: Unpack[Manner]
    ) -> list[Reply]:
        """Have workers receive no jobs until `resume`, or a restart. What runs goes on; they live, as do their leases.

        Jobs that they have received and not begun go back to their queues at once, for others.
        """
        return self._asked("quiet", destination, timeout, how)

    def resume(
        self, destination: Destination = None, timeout: float = DEFAULT_SECONDS, **how: Unpack[Manner]
    ) -> list[Reply]:
        """Have workers that are `quiet` receive jobs again."""
        return self._asked("resume", destination, timeout, how)

    def shutdown(
        self, destination: Destination = None, timeout: float = DEFAULT_SECONDS, **how: Unpack[Manner]
    ) -> list[Reply]:
        """Have workers stop as SIGTERM would: running jobs may finish within the grace period.

        Nobody waits for answers, unless *reply* is True.
        """
        return self._asked("shutdown", destination, timeout, {"reply": False, **how})

    def pool_grow(
        self, n: int = 1, destination: Destination = None, timeout: float = DEFAULT_SECONDS, **how: Unpack[Manner]
    ) -> list[Reply]:
        """Have each worker run *n* children more."""
        return self._asked("pool_grow", destination, timeout, how, n=n)

    def pool_shrink(
        self, n: int = 1, destination: Destination = None, timeout: float = DEFAULT_SECONDS, **how: Unpack[Manner]
    ) -> list[Reply]:
        """Have each worker run *n* children fewer; they finish what they run."""
        return self._asked("pool_shrink", destination, timeout, how, n=n)

    def autoscale(
        self,
        max: int,
        min: int,
        destination: Destination = None,
        timeout: float = DEFAULT_SECONDS,
        **how: Unpack[Manner],
    ) -> list[Reply]:
        """Have workers that were started with --autoscale keep between *min* and *max* children; others refuse.

        Raises `ValueError` for bounds that cannot be.
        """
        if not 1 <= min <= max:
            raise ValueError(f"autoscale: max is {max!r} and min {min!r}: give whole numbers from 1, max first")
        return self._asked("autoscale", destination, timeout, how, max=max, min=min)

    def pool_restart(
        self, destination: Destination = None, timeout: float = DEFAULT_SECONDS, **how: Unpack[Manner]
    ) -> list[Reply]:
        """Have each child replaced when what it runs has ended. SIGHUP also loads the code anew."""
        return self._asked("pool_restart", destination, timeout, how)

    def add_consumer(
        self, queue: str, destination: Destination = None, timeout: float = DEFAULT_SECONDS, **how: Unpack[Manner]
    ) -> list[Reply]:
        """Have workers serve *queue*, too, until they are restarted. A child does when what it runs has ended."""
        return self._asked("add_consumer", destination, timeout, how, queue=queue)

    def cancel_consumer(
        self, queue: str, destination: Destination = None, timeout: float = DEFAULT_SECONDS, **how: Unpack[Manner]
    ) -> list[Reply]:
        """Have workers no longer serve *queue*, until they are restarted."""
        return self._asked("cancel_consumer", destination, timeout, how, queue=queue)

    def rate_limit(self, task_name: str, rate: Rate | None = None, queues: Sequence[str] = ()) -> list[str]:
        """Let another *rate* ("10/s", "100/m", a number a second; 0: any) count for *task_name*, for all workers.

        It is kept by the broker until another one is set, also for workers that start later; None: what the code says
        counts again. A task without limits gets one: workers count its jobs once they have heard of it, at the latest
        after 5 s. *queues* are by default that of the task and all in which it has jobs under a limit, or if it has no
        limits all queues; answers them. In each the rate counts apart. Raises `ValueError` for a wrong rate,
        `ImproperlyConfigured` for an unknown task.
        """
        return waited(self._seat, self.arate_limit(task_name, rate, queues))

    async def arate_limit(self, task_name: str, rate: Rate | None = None, queues: Sequence[str] = ()) -> list[str]:
        """The async twin of `rate_limit`."""
        return await Limiting(self._seat).aadjust(task_name, rate, queues)

    def time_limit(
        self,
        task_name: str,
        soft: float | None = None,
        hard: float | None = None,
        destination: Destination = None,
        timeout: float = DEFAULT_SECONDS,
        **how: Unpack[Manner],
    ) -> list[Reply]:
        """Let other limits, in seconds, count for the runs of a task that begin from now on, until workers restart.

        Both None: its own again. The limits of a call still beat them. Raises `ValueError` for limits that cannot be.
        """
        checked_limits(soft, hard)
        return self._asked("time_limit", destination, timeout, how, task_name=task_name, soft=soft, hard=hard)

    def enable_events(
        self, destination: Destination = None, timeout: float = DEFAULT_SECONDS, **how: Unpack[Manner]
    ) -> list[Reply]:
        """Have workers tell of their jobs in events from now on, until they are restarted."""
        return self._asked("enable_events", destination, timeout, how)

    def disable_events(
        self, destination: Destination = None, timeout: float = DEFAULT_SECONDS, **how: Unpack[Manner]
    ) -> list[Reply]:
        """Have workers no longer tell of their jobs, until they are restarted; that they are there, they still say."""
        return self._asked("disable_events", destination, timeout, how)

    # ---

    def _asked(self, verb: str, destination: Destination, timeout: float, how: Manner, **arguments: Any) -> list[Reply]:
        check_names(how, MANNER, f"app.control.{verb}")
        given: dict[str, Any] = {"reply": True, **how}
        return self.broadcast(verb, arguments, destination, timeout=timeout, **given) or []

    def _revoke(
        self, keys: Sequence[tuple[str, str | None]], terminate: bool, signal: str | int | None
    ) -> Steps[list[Stopped]]:
        return self._revoking.revoke(keys, Ending(terminate, _named(signal)))

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            raise missing(name)

    def __repr__(self) -> str:
        return f"<Control of {place_of(self._seat)}>"


def _keys(given: Ids) -> list[tuple[str, str | None]]:
    if isinstance(given, Revocable):
        return given.job_keys()
    if hasattr(given, "__iter__") and not isinstance(given, str):
        return [key for one in given for key in _keys(one)]
    job_id = "" if given is None else str(given)
    if not valid_id(job_id):
        raise ValueError(f"{given!r} is no id of a job")
    return [(job_id, None)]


def _named(signal: str | int | None) -> str:
    """The name of *signal*, which may lack its SIG, or be a number."""
    try:
        found = signals.Signals(signal) if isinstance(signal, int) else signals.Signals[_full(signal or "TERM")]
    except (ValueError, KeyError):
        raise ValueError(f"{signal!r} is no signal: give one such as SIGTERM or SIGKILL") from None
    if found.name not in _SIGNALS:
        raise ValueError(f"{found.name} ends no job: give one of {', '.join(_SIGNALS)}")
    return found.name


def _full(name: str) -> str:
    return name.upper() if name.upper().startswith("SIG") else f"SIG{name.upper()}"
