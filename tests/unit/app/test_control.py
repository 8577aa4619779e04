"""Control: jobs are revoked wherever they are, and what workers tell is gathered."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
import pytest

from umbel import Umbel, group
from umbel.app import revoking
from umbel.app.revoking import Stopped
from umbel.brokers.memory.jobs import MemoryJobs
from umbel.contracts.broker import Beat, Settlement
from umbel.contracts.capabilities import MEMORY, Power
from umbel.contracts.jobs import JobHolder, JobStore, Listed
from umbel.contracts.mailbox import MailboxHolder
from umbel.contracts.powers import Record
from umbel.exceptions import BrokerUnavailable, ImproperlyConfigured, TaskRevokedError, UmbelError
from umbel.model import presence
from umbel.model.job import Counts, Delivery
from umbel.model.presence import Presence, RunningJob
from umbel.result import AsyncResult
from umbel.wire.letters import BOX, HELD, Answer, Doomed, decode_order, encode, read_doomed

SESSION = "session-1"
OTHER = "session-2"


@pytest.fixture
def app(request: pytest.FixtureRequest) -> Umbel:
    return an_app(f"memory://{request.node.originalname}")


def an_app(url: str, **settings: Any) -> Umbel:
    app = Umbel("shop", broker=url, set_as_current=False, **settings)
    app.task(name="add")(_add)
    app.task(name="mail")(_mail)
    return app


def _add(a: int, b: int) -> int:
    raise NotImplementedError(a, b)


def _mail(to: str) -> None:
    raise NotImplementedError(to)


def send(app: Umbel, **options: Any) -> AsyncResult[Any]:
    return app.send_task("add", (1, 2), **options)


def store(app: Umbel) -> JobStore:
    assert isinstance(app.broker, JobHolder)
    return app.broker.job_store


async def receive(app: Umbel, session: str = SESSION, queue: str = "default") -> list[Delivery]:
    await app.broker.heartbeat([Beat(session)], [queue], 60, opening=True)
    return await app.broker.receive(session, [queue], 10, wait=0)


# --- revoking


def test_what_waits_ends_as_revoked_without_a_worker(app: Umbel) -> None:
    ready, delayed = send(app), send(app, countdown=60)
    ready.revoke()
    delayed.revoke()
    assert (ready.state, delayed.state) == ("REVOKED", "REVOKED")
    with pytest.raises(TaskRevokedError, match="revoked"):
        ready.get(timeout=5)
    assert asyncio.run(receive(app)) == []


async def test_a_retry_that_is_awaited_is_revoked(app: Umbel) -> None:
    job = await app.asend_task("add", (1, 2))
    (delivery,) = await receive(app)
    await app.broker.settle(SESSION, [Settlement(delivery, "retry", delay=60, counts=Counts(retries=1))])
    await job.arevoke()
    assert await job.astate() == "REVOKED"


async def test_what_runs_is_not_revoked_before_it_has_ended_and_is_not_retried(app: Umbel) -> None:
    job = await app.asend_task("add", (1, 2))
    (delivery,) = await receive(app)
    await job.arevoke()
    assert (await job.astate(), await job.aplace()) == ("PENDING", "running")
    await app.broker.settle(SESSION, [Settlement(delivery, "retry", delay=60, counts=Counts(retries=1))])
    (again,) = await receive(app, OTHER)
    assert again.counts.doom == "revoked"


async def test_workers_are_told_of_running_jobs_alone(app: Umbel) -> None:
    running, waiting = await app.asend_task("add", (1, 2)), await app.asend_task("add", (1, 2), countdown=60)
    await receive(app)
    found = await app.control.aterminate([running, waiting], signal="kill")
    assert [one.place for one in found] == ["running", "delayed"]
    assert isinstance(app.broker, MailboxHolder)
    (letter,) = await app.broker.mailbox.ahear(BOX, 0, 0)
    told = read_doomed(decode_order(letter.message))
    assert told == Doomed(ids=[running.id], terminate=True, signal="SIGKILL")


def test_it_is_told_where_each_job_was(app: Umbel) -> None:
    one, other = send(app), send(app)
    other.revoke()
    assert app.control.revoke([one, other, "stranger"]) == [
        Stopped(one.id, "ready", "default"),
        Stopped(other.id, "ended", "default"),
        Stopped("stranger", "unknown", ""),
    ]


def test_what_a_call_had_got_before_its_answer_was_lost_is_ended_and_not_looked_for_at_workers(
    app: Umbel, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = send(app)
    verb = MemoryJobs.revoke

    def again(self: MemoryJobs, session: str, keys: Any, lease: float) -> Any:
        verb(self, session, keys, lease)
        return verb(self, session, keys, lease)

    monkeypatch.setattr(MemoryJobs, "revoke", again)
    assert app.control.revoke(job) == [Stopped(job.id, "ready", "default")]
    assert job.state == "REVOKED"
    assert isinstance(app.broker, MailboxHolder)
    assert app.broker.mailbox.hear(BOX, 0, 0) == []


def test_the_callers_of_a_client_that_died_in_between_wait_no_longer_than_its_lease(app: Umbel) -> None:
    job = send(app)
    store(app).revoke("client", [(job.id, None)], 0.0)  # … and here it died

    async def later() -> list[Delivery]:
        await app.broker.reclaim(["default"], 15)
        return await receive(app)

    (delivery,) = asyncio.run(later())
    assert delivery.counts.doom == "revoked"


def test_a_group_is_revoked_as_one(app: Umbel) -> None:
    sent = group(app.tasks["add"].s(1, 2), app.tasks["mail"].s("x")).apply_async()
    assert sent is not None
    sent.revoke()
    assert sent.state == "REVOKED"


def test_ids_and_handles_of_any_sort_may_be_given_together(app: Umbel) -> None:
    sent = group(app.tasks["add"].s(1, 2), app.tasks["mail"].s("x")).apply_async()
    one, other = send(app), send(app)
    assert len(app.control.revoke({one, other.id})) == 2
    assert len(app.control.revoke(iter([sent, one]))) == 3
    assert sent is not None
    assert {sent.state, one.state, other.state} == {"REVOKED"}


def test_what_follows_a_revoked_job_in_its_chain_is_revoked(app: Umbel) -> None:
    last = (app.tasks["add"].s(1, 2) | app.tasks["add"].s(3)).apply_async()
    assert last is not None
    last.parent.revoke()
    (delivery,) = asyncio.run(receive(app))
    assert delivery.id == last.id  # its node is open: a worker ends it with the reason
    with pytest.raises(UmbelError, match=r"is not sent yet.*app\.flows\.revoke"):
        (app.tasks["add"].s(1, 2) | app.tasks["add"].s(3)).apply_async().revoke()


def test_all_jobs_of_a_task_are_revoked_wherever_they_wait(app: Umbel) -> None:
    jobs = [send(app), send(app, countdown=60), send(app, queue="other")]
    mail = app.send_task("mail", ("x",))
    assert len(app.control.revoke_by_task("add", ["default"])) == 2
    assert {job.state for job in jobs[:2]} == {"REVOKED"}
    assert len(app.control.revoke_by_task("add")) == 1
    assert (jobs[2].state, mail.state) == ("REVOKED", "PENDING")
    with pytest.raises(ImproperlyConfigured, match="'nowhere' is unknown"):
        app.control.revoke_by_task("add", ["nowhere"])


def test_more_jobs_than_one_call_takes_are_revoked(app: Umbel) -> None:
    jobs = app.tasks["add"].delay_many([(1, number) for number in range(1_001)])
    assert len(app.control.revoke(jobs)) == 1_001
    assert {jobs[0].state, jobs[-1].state} == {"REVOKED"}


def test_purge_takes_what_waits_and_leaves_what_runs(app: Umbel) -> None:
    running = send(app)
    asyncio.run(receive(app))
    send(app)
    send(app, countdown=60)
    assert app.control.purge() == app.control.discard_all() + 2
    assert running.place == "running"


def test_records_on_another_engine_are_stored_before_the_job_is_gone() -> None:
    app = an_app("memory://records_a", backend="memory://records_b")
    fresh, returned = send(app), send(app, queue="q")

    async def comes_back() -> None:
        (delivery,) = await receive(app, queue="q")
        claimed = Record(delivery.id, "q", b"", 60, f"{SESSION}:{delivery.number}")
        assert await app.store.claim([claimed]) == [None]  # whoever held it may have written its record
        await app.broker.settle(SESSION, [Settlement(delivery, "release")])

    asyncio.run(comes_back())
    app.control.revoke([fresh, returned])
    for job in (fresh, returned):
        assert (job.state, job.place) == ("REVOKED", "ended")


def test_a_crash_between_record_and_removal_leaves_a_job_that_never_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    app = an_app("memory://crash_a", backend="memory://crash_b")
    job = send(app)

    def crash(*_: object) -> None:
        raise BrokerUnavailable("away")

    monkeypatch.setattr(MemoryJobs, "end", crash)
    monkeypatch.setattr(revoking, "LEASE_SECONDS", 0.0)
    with pytest.raises(BrokerUnavailable):
        job.revoke()
    assert (job.state, job.place) == ("REVOKED", "running")
    asyncio.run(app.broker.reclaim(["default"], 15))
    (delivery,) = asyncio.run(receive(app))
    assert delivery.counts.doom == "revoked"


def test_an_ignored_result_leaves_no_record(app: Umbel) -> None:
    job = app.send_task("add", (1, 2), ignore_result=True)
    job.revoke()
    assert (job.place, job.state) == ("ended", "PENDING")


@pytest.mark.parametrize("given", ["", "a b", ["fine", "ä"], None, [None]])
def test_what_is_no_id_is_refused(app: Umbel, given: Any) -> None:
    with pytest.raises(ValueError, match="no id of a job"):
        app.control.revoke(given)


@pytest.mark.parametrize("given", ["", None, 1])
def test_a_handle_needs_an_id(app: Umbel, given: Any) -> None:
    with pytest.raises(ValueError, match="no id of a job"):
        app.AsyncResult(given)


@pytest.mark.parametrize("given", ["SIGSTOP", "nonsense", 999])
def test_what_is_no_signal_that_ends_a_job_is_refused(app: Umbel, given: str | int) -> None:
    with pytest.raises(ValueError, match=r"is no signal|ends no job"):
        send(app).revoke(terminate=True, signal=given)


def test_what_is_not_there_is_refused_not_ignored(app: Umbel) -> None:
    with pytest.raises(ImproperlyConfigured):
        app.control.broadcast("dance")


@pytest.mark.parametrize(
    ("verb", "why"),
    [
        ("revoke", "revoke is state of the broker, no order: call app.control.revoke"),
        ("rate_limit", "rate_limit is state of the broker, no order: call app.control.rate_limit"),
        ("heartbeat", "heartbeat is not supported: workers are seen by their leases"),
    ],
)
def test_orders_of_celery_that_there_are_not_say_what_there_is_instead(app: Umbel, verb: str, why: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=why):
        app.control.broadcast(verb, {"task_id": "a"})


def test_a_broker_without_that_power_refuses() -> None:
    app = Umbel("shop", broker="amqp://nowhere.invalid/", set_as_current=False)
    with pytest.raises(ImproperlyConfigured, match="shows and stops single jobs"):
        app.control.revoke("one")
    with pytest.raises(ImproperlyConfigured, match="carries messages"):
        app.control.shutdown()
    with pytest.raises(ImproperlyConfigured, match="pauses queues"):
        app.queues.pause("default")


def test_limits_that_cannot_be_are_refused_before_anybody_is_told(app: Umbel) -> None:
    for soft, hard in ((2.0, 1.0), (0.0, None), (None, -1.0)):
        with pytest.raises(ValueError, match="limit"):
            app.control.time_limit("add", soft, hard)
    assert app.control.time_limit("add", 1.0, 2.0) == []


# --- asking workers


async def worker(app: Umbel, name: str, session: str, value: Any) -> asyncio.Task[None]:
    """A worker that answers one order with *value*; None: it never does."""
    told = presence.encode(Presence(name, "host", 7, 8, 1, 1, 0.0, ("default",)))
    await app.broker.heartbeat([Beat(session, told)], ["default"], 60, opening=True)
    assert isinstance(app.broker, MailboxHolder)
    mailbox = app.broker.mailbox

    async def answer() -> None:
        while value is not None:
            for letter in await mailbox.ahear(BOX, 0, 5):
                order = decode_order(letter.message)
                reply = Answer(worker=name, host="host", pid=7, value=value)
                await mailbox.atell(order.reply, [encode(reply)], 60)
                return

    return asyncio.create_task(answer())


async def answers(app: Umbel, values: dict[str, Any]) -> asyncio.Task[None]:
    """A worker w0, whose sessions are open, that answers orders with *values*, by their verbs."""
    assert isinstance(app.broker, MailboxHolder)
    mailbox = app.broker.mailbox
    after = await mailbox.aposition(BOX)

    async def answer() -> None:
        nonlocal after
        while True:
            for letter in await mailbox.ahear(BOX, after, 5):
                after = letter.number
                order = decode_order(letter.message)
                reply = Answer(worker="w0", host="host", pid=7, value=values[order.verb])
                await mailbox.atell(order.reply, [encode(reply)], 60)

    return asyncio.create_task(answer())


async def test_all_living_workers_are_heard_and_nobody_is_waited_for_longer(app: Umbel) -> None:
    answering = [await worker(app, f"w{number}", f"s{number}", {"ok": "pong"}) for number in range(2)]
    before = time.monotonic()
    assert await app.control.inspect(timeout=30).aping() == {"w0": {"ok": "pong"}, "w1": {"ok": "pong"}}
    assert time.monotonic() - before < 15
    await asyncio.gather(*answering)


async def test_one_that_is_silent_is_missing_and_nobody_at_all_is_none(app: Umbel) -> None:
    assert await app.control.inspect(timeout=30).aping() is None  # nobody lives: nobody is waited for
    answering = [await worker(app, "w0", "s0", {"ok": "pong"}), await worker(app, "w1", "s1", None)]
    assert await app.control.inspect(timeout=2.0).aping() == {"w0": {"ok": "pong"}}
    await asyncio.gather(*answering)


async def test_a_single_destination_given_as_text_gets_the_bare_reply(app: Umbel) -> None:
    answering = await worker(app, "w0", "s0", {"ok": "pong"})
    assert await app.control.inspect("w0", timeout=30).aping() == {"ok": "pong"}
    assert await app.control.inspect("w9", timeout=30).aping() is None
    await answering


@pytest.mark.parametrize("verb", ["memdump", "clock", "heartbeat"])
def test_a_verb_that_is_not_supported_says_what_there_is_instead(app: Umbel, verb: str) -> None:
    for asked in (app.control, app.control.inspect()):
        with pytest.raises(AttributeError, match=f"{verb} is not supported: .{{20}}"):
            getattr(asked, verb)
        with pytest.raises(AttributeError, match="there is no verb 'dance'"):
            getattr(asked, "dance")  # noqa: B009 - to mypy there is none


async def test_active_and_reserved_are_told_apart_by_what_has_started(app: Umbel) -> None:
    one, other = await app.asend_task("add", (1, 2)), await app.asend_task("mail", ("x",))
    started = {"s0": {"pid": 9, "jobs": {one.id: 12.5}}}
    answering = await worker(app, "w0", "s0", started)
    await app.broker.receive("s0", ["default"], 10, wait=0)
    (active,) = (await app.control.inspect(timeout=30).aactive())["w0"]
    assert (active["id"], active["name"], active["args"], active["time_start"]) == (one.id, "add", [1, 2], 12.5)
    assert (active["hostname"], active["worker_pid"]) == ("w0", 9)
    again = await worker(app, "w0", "s1", started)
    (reserved,) = (await app.control.inspect(timeout=0.3).areserved())["w0"][-1:]
    assert reserved["id"] in (one.id, other.id)
    answering.cancel()
    again.cancel()


async def test_where_the_broker_shows_no_jobs_children_tell_what_those_are_that_they_hold(
    app: Umbel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.broker, "powers", MEMORY - {Power.JOBS}, raising=False)
    one, other, third = [await app.asend_task("add", (1, number)) for number in range(3)]
    started = {"s0": {"pid": 8, "jobs": {one.id: 12.5}}, "s1": {"pid": 9, "jobs": {}}}
    told = presence.encode(Presence("w0", "host", 7, 8, 1, 1, 0.0, ("default",)))
    silent = Presence("w0", "host", 7, 9, 1, 1, 0.0, ("default",), (RunningJob(third.id, "add", 1.0),))
    await app.broker.heartbeat([Beat("s0", told), Beat("s1", presence.encode(silent))], ["default"], 60, opening=True)
    first, second = await app.broker.receive("s0", ["default"], 2, wait=0)
    await app.broker.receive("s1", ["default"], 1, wait=0)
    ended = Listed("ended", "default", "running", 6, first.envelope, "")
    jobs = [Listed(each.id, "default", "running", 6, each.envelope, "") for each in (first, second)]
    held = msgspec.to_builtins({"8": [*jobs, ended], "9": {"error": "no answer"}}, builtin_types=(bytes,))
    answering = await answers(app, {"started": started, HELD: held})
    inspect = app.control.inspect(timeout=30)
    (active,) = (await inspect.aactive())["w0"]
    assert (active["id"], active["args"], active["time_start"], active["worker_pid"]) == (one.id, [1, 0], 12.5, 8)
    reserved, unknown = (await inspect.areserved())["w0"]
    assert (reserved["id"], reserved["args"], reserved["worker_pid"]) == (other.id, [1, 1], 8)
    assert (unknown["id"], unknown["name"], unknown["args"], unknown["worker_pid"]) == (third.id, "add", [], 9)
    for listing in (inspect.arevoked(), inspect.ascheduled()):
        with pytest.raises(ImproperlyConfigured, match="shows and stops single jobs"):
            await listing
    answering.cancel()


async def test_delayed_and_revoked_jobs_are_read_from_the_broker(app: Umbel) -> None:
    await worker(app, "w0", "s0", None)
    running, delayed = await app.asend_task("add", (1, 2)), await app.asend_task("add", (1, 2), countdown=60)
    await app.broker.receive("s0", ["default"], 1, wait=0)
    await app.control.arevoke(running)
    inspect = app.control.inspect(timeout=0.1)
    (scheduled,) = (await inspect.ascheduled())["w0"]
    assert scheduled["request"]["id"] == delayed.id
    assert scheduled["eta"] > time.time()
    assert await inspect.arevoked() == {"w0": [running.id]}
    found = (await inspect.aquery_task(running.id, delayed.id, "stranger"))["w0"]
    assert {job: state for job, (state, _) in found.items()} == {running.id: "reserved", delayed.id: "scheduled"}
