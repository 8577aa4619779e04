"""How jobs leave that stand under limits: the broker admits them, and may answer that another job stands for one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, cast

from umbel import spans
from umbel.contracts.broker import Broker
from umbel.contracts.capabilities import Power, demand
from umbel.contracts.limits import Admission, LimitHolder, LimitStore
from umbel.engines.address import masked
from umbel.exceptions import DuplicateJob, ImproperlyConfigured
from umbel.model.job import Job
from umbel.regulation import NOTHING, Options, Regulation, Standing, regulation_of
from umbel.result import AsyncResult
from umbel.sending import anote, asend, note, send, tell
from umbel.settings import Settings
from umbel.telling import Teller
from umbel.wire.envelope import MAX_LINK_BYTES, decode


class Host(Protocol):
    """Whose jobs leave: an app."""

    @property
    def broker(self) -> Broker:
        """Where they go."""
        ...

    @property
    def conf(self) -> Settings:
        """The settings."""
        ...

    @property
    def teller(self) -> Teller | None:
        """What tells of the jobs in events, if they are told of."""
        ...


class Regulated(Protocol):
    """A task whose jobs may stand under limits."""

    name: str

    @property
    def regulation(self) -> Regulation | None:
        """What its jobs stand under."""
        ...


class Made(NamedTuple):
    """One call: its job and the handle on it."""

    job: Job
    handle: AsyncResult[Any]

    @property
    def task(self) -> Options:
        """The task that is called: of a shared task that of the app."""
        return cast("Options", self.handle.task)


def dispatch(host: Host, made: Sequence[Made], connection: object | None = None) -> None:
    """Send the jobs of *made*; a handle then names the job that stands. Raises as `sending.send`.

    Also `QueueFull`, `DuplicateJob` for a job that is not sent because its task says so, `TypeError` for a key that
    cannot be computed, and `ImproperlyConfigured` for a broker that keeps no limits.
    """
    admissions = _admissions(host, made, connection)
    jobs = [one.job for one in made]
    if admissions is None:
        send(host, jobs, connection)
        return
    with spans.sending(jobs):
        sent = _stand(made, _store(host, made).admit(admissions))
    tell(host, sent)
    note(sent)
    _refuse_duplicates(made)


async def adispatch(host: Host, made: Sequence[Made], connection: object | None = None) -> None:
    """The async twin of `dispatch`."""
    admissions = _admissions(host, made, connection)
    jobs = [one.job for one in made]
    if admissions is None:
        await asend(host, jobs, connection)
        return
    with spans.sending(jobs):
        sent = _stand(made, await _store(host, made).aadmit(admissions))
    tell(host, sent)
    await anote(sent)
    _refuse_duplicates(made)


def limit_store(host: Host, what: str) -> LimitStore:
    """The verbs of limits, for *what*. Raises `ImproperlyConfigured` when the broker has none."""
    broker = host.broker
    demand(broker, Power.LIMITS, what, masked(host.conf.broker_url))
    if not isinstance(broker, LimitHolder):
        raise ImproperlyConfigured(f"{type(broker).__name__} says that it keeps limits, and has no limit_store")
    return broker.limit_store


def standing_of(regulation: Regulation | None, conf: Settings, job: Job) -> Standing:
    """What *job*, of a task with *regulation*, stands under. Raises as `Regulation.standing`."""
    if regulation is None:
        return NOTHING
    envelope = decode(job.envelope, MAX_LINK_BYTES)
    return regulation.standing(conf, envelope.args, envelope.kwargs)


def check(task: Options, conf: Settings, job: Job) -> None:
    """Raise as `dispatch` for a job that is run in place, where nothing is counted but a key may be wrong."""
    standing_of(regulation_of(task, conf), conf, job)


def refuse_unique(task: Regulated) -> None:
    """Raise `ValueError` for a *task* whose jobs are unique: in a canvas each job has an id that others wait for."""
    if task.regulation is not None and task.regulation.unique is not None:
        raise ValueError(
            f"{task.name} is unique, so another job may stand for it, and what waits for this one would wait for ever: "
            "send it alone, from a task of the canvas if need be"
        )


def _admissions(host: Host, made: Sequence[Made], connection: object | None) -> list[Admission] | None:
    """How *made* are to be admitted; None if they stand under nothing, or leave in a transaction."""
    conf = host.conf
    if not conf.regulates and all(one.task.regulation is None for one in made):
        return None
    admissions = [_admission(conf, one) for one in made]
    if connection is not None:
        _check_transactional(made, admissions)
        return None
    plain = all(one.limit is None and one.unique is None and not one.max_length for one in admissions)
    return None if plain else admissions


def _admission(conf: Settings, made: Made) -> Admission:
    standing = standing_of(regulation_of(made.task, conf), conf, made.job)
    return Admission(made.job, standing.limit, standing.unique, conf.max_length(made.job.queue))


def _check_transactional(made: Sequence[Made], admissions: Sequence[Admission]) -> None:
    """Raise `ImproperlyConfigured` for what nobody can know before the transaction of a job is committed.

    Limits do not need it: whoever receives the job asks for them.
    """
    for one, admission in zip(made, admissions, strict=True):
        regulation, unique = one.task.regulation, admission.unique
        why = ""
        if admission.max_length:
            why = f"the queue {one.job.queue} has a length limit"
        elif unique is not None and (unique.seconds == 0 and unique.scope == "queued"):
            why = "unique='queued' is for jobs that nobody has started"
        elif regulation is not None and regulation.raises:
            why = "on_conflict='raise' needs an answer"
        if why:
            raise ImproperlyConfigured(
                f"{one.task.name} cannot be sent with connection=: {why}, and the broker looks when it has committed"
            )


def _store(host: Host, made: Sequence[Made]) -> LimitStore:
    named = [one.task.name for one in made if regulation_of(one.task, host.conf) is not None]
    what = f"limiting {named[0]}" if named else f"limiting the length of the queue {made[0].job.queue}"
    return limit_store(host, what)


def _stand(made: Sequence[Made], standing: Sequence[str]) -> list[Job]:
    """Let the handles of *made* name the jobs that are *standing*; answers those that were sent."""
    sent: list[Job] = []
    for one, job_id in zip(made, standing, strict=True):
        if job_id == one.job.id:
            sent.append(one.job)
        one.handle.id = job_id
    return sent


def _refuse_duplicates(made: Sequence[Made]) -> None:
    for one in made:
        regulation = one.task.regulation
        if regulation is not None and regulation.raises and one.handle.id != one.job.id:
            error = DuplicateJob(f"{one.task.name} was not sent: job {one.handle.id} has its unique key")
            error.holder = one.handle.id
            raise error
