"""The users of docs/redis.md: the rights written there suffice, and none is there for nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from tests.patient import PATIENT
from tests.servers import Redis, Server
from tests.servers.redis import command
from umbel.brokers.redis import RedisBroker
from umbel.brokers.redis.calls import FOLDER
from umbel.contracts.broker import Beat, Settlement
from umbel.contracts.limits import Admission
from umbel.contracts.powers import QueueCounts, Record
from umbel.engines.redis_command import SHARED, load
from umbel.exceptions import BackendError, BrokerError, BrokerUnavailable
from umbel.model.flow import Flow, Node
from umbel.model.ids import new_id
from umbel.model.job import Job
from umbel.model.limit import Limit, Pace, Unique
from umbel.stores.redis import RedisResultStore
from umbel.stores.redis.operations import FOLDER as STORE_FOLDER
from umbel.testing import BrokerConformance, InspectorConformance, RecordConformance, ResultStoreConformance
from umbel.testing.conformance.ageing import AgeingConformance
from umbel.testing.conformance.event_log import EventLogConformance
from umbel.testing.conformance.flows import FlowConformance
from umbel.testing.conformance.jobs import JobConformance
from umbel.testing.conformance.limiting import LimitingConformance
from umbel.testing.conformance.mailbox import MailboxConformance
from umbel.testing.conformance.schedules import ScheduleConformance

QUEUE = "q"
DOCUMENT = Path(__file__).parents[2] / "docs" / "redis.md"
BESIDE_SCRIPTS = {"evalsha", "script|load", "select", "info", "subscribe", "unsubscribe", "smembers", "get", "del"}
BOXES = {"xread", "xrevrange"}


def rules(user: str) -> str:
    """The rules of *user* in the document, as one line."""
    found = re.search(rf"^ACL SETUSER {user} [^`]*", DOCUMENT.read_text(), re.MULTILINE)
    assert found is not None
    return " ".join(found.group().split())


def more_rights(what: str = "flows") -> set[str]:
    """What a producer needs beside its rules for flows, limits or control, as the document says."""
    _, flows, limits, control = re.findall(r"^ACL SETUSER producer [^`]*", DOCUMENT.read_text(), re.MULTILINE)
    return set(re.findall(r"\+(\S+)", {"flows": flows, "limits": limits, "control": control}[what]))


def called(*texts: str) -> set[str]:
    """The commands that scripts use."""
    return {name.lower() for text in texts for name in re.findall(r"redis\.p?call\('([A-Z]+)'", text)}


def scripts(folder: Path, names: Iterable[str]) -> set[str]:
    return called(*(load(folder, name).text for name in names))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the two users, and nobody else's data."""
    with Server(Redis(), tmp_path_factory.mktemp("guarded")) as server:
        for user in ("producer", "worker"):
            assert command(server.port, rules(user)) == "+OK"
        starter = f"{rules('producer')} {' '.join(f'+{right}' for right in more_rights())}"
        operator = f"{starter} {' '.join(f'+{right}' for right in more_rights('control'))}"
        limited = f"{rules('producer')} {' '.join(f'+{right}' for right in more_rights('limits'))}"
        for user, line in (("starter", starter), ("operator", operator), ("limited", limited)):
            assert command(server.port, line.replace("producer", user)) == "+OK"
        yield server


@pytest.fixture
def url_of(guarded: Server) -> Callable[[str], str]:
    """The address of a user on the server, which is empty."""
    assert command(guarded.port, "FLUSHALL") == "+OK"
    return lambda user: guarded.url.replace("127", f"{user}:secret@127", 1)


class AsWorker:
    """Every client is the documented worker."""

    url: str

    @pytest.fixture(autouse=True)
    def _server(self, url_of: Callable[[str], str]) -> None:
        self.url = url_of("worker")

    def make(self, clock: Callable[[], float]) -> RedisBroker:
        return RedisBroker(self.url, PATIENT, clock)

    def make_store(self, clock: Callable[[], float]) -> RedisResultStore:
        return RedisResultStore(self.url, PATIENT)


class TestBroker(AsWorker, BrokerConformance):
    pass


class TestRecords(AsWorker, RecordConformance):
    pass


class TestFlows(AsWorker, FlowConformance):
    pass


class TestSchedules(AsWorker, ScheduleConformance):
    pass


class TestJobs(AsWorker, JobConformance):
    pass


class TestAgeing(AsWorker, AgeingConformance):
    pass


class TestLimits(AsWorker, LimitingConformance):
    pass


class TestEventLog(AsWorker, EventLogConformance):
    pass


class TestMailbox(AsWorker, MailboxConformance):
    pass


class TestInspector(AsWorker, InspectorConformance):
    pass


class TestStore(ResultStoreConformance):
    @pytest.fixture(autouse=True)
    def _server(self, url_of: Callable[[str], str]) -> None:
        self.url = url_of("worker")

    def make(self, clock: Callable[[], float]) -> RedisResultStore:
        return RedisResultStore(self.url, PATIENT)


def test_a_worker_has_no_right_that_no_script_needs() -> None:
    ours = scripts(FOLDER, (each.stem for folder in (FOLDER, SHARED) for each in folder.glob("*.lua")))
    ours |= scripts(STORE_FOLDER, (each.stem for each in STORE_FOLDER.glob("*.lua")))
    assert set(re.findall(r"\+(\S+)", rules("worker"))) == ours | BESIDE_SCRIPTS | {"blpop", "xinfo|stream", *BOXES}


def test_a_producer_has_no_right_that_sending_and_reading_results_do_not_need() -> None:
    assert set(re.findall(r"\+(\S+)", rules("producer"))) == scripts(FOLDER, ("send", "register")) | BESIDE_SCRIPTS


def test_who_starts_flows_has_no_right_that_these_do_not_need() -> None:
    needed = scripts(FOLDER, ("flow_store", "flow_start", "flow_views", "flow_revoke"))
    assert more_rights() == needed - set(re.findall(r"\+(\S+)", rules("producer")))


def test_who_sends_under_limits_has_no_right_that_this_does_not_need() -> None:
    assert more_rights("limits") == scripts(FOLDER, ("admit",)) - set(re.findall(r"\+(\S+)", rules("producer")))


CONTROL = (
    "revoke", "purge", "settle", "settle_joins", "close", "jobs", "revive", "discard", "pause", "tell",
    "counts", "locate", "sessions", "adjust", "limits",
)  # fmt: skip


def test_who_controls_has_no_right_that_this_does_not_need() -> None:
    known = more_rights() | set(re.findall(r"\+(\S+)", rules("producer")))
    assert more_rights("control") == (scripts(FOLDER, CONTROL) | BOXES) - known


async def test_a_producer_with_these_rights_controls_jobs_and_queues(url_of: Callable[[str], str]) -> None:
    broker, worker = RedisBroker(url_of("operator"), PATIENT), RedisBroker(url_of("worker"), PATIENT)
    jobs, box = broker.job_store, broker.mailbox
    broker.send([Job(each, QUEUE, b"envelope", priority=each == "a") for each in "abc"])
    await worker.heartbeat([Beat("s")], [QUEUE], 10.0, opening=True)
    (dead,) = await worker.receive("s", [QUEUE], 1, wait=0)
    await worker.settle("s", [Settlement(dead, "dead", record=b"record", ttl=60.0)])
    assert jobs.revive(QUEUE, ["a"]) == [True]
    assert [each.id for each in jobs.jobs(QUEUE, "ready", "", 10)] == ["a", "b", "c"]
    (found,) = jobs.revoke("r", [("a", None)], 10.0)
    assert found.delivery is not None
    assert jobs.end("r", [Settlement(found.delivery, "dead", record=b"record", ttl=60.0)]) == [True]
    assert await jobs.adiscard(QUEUE, ["a"]) == [True]
    await jobs.apause(QUEUE, paused=True)
    assert await jobs.apaused([QUEUE]) == [True]
    taken = await jobs.apurge("p", QUEUE, 10, 10.0)
    assert await jobs.aend("p", [Settlement(each, "end") for each in taken]) == [True, True]
    await jobs.apause(QUEUE, paused=False)
    broker.limit_store.adjust(QUEUE, "task", Pace(1))
    assert [each.adjusted for _, each in broker.limit_store.limits(QUEUE, "", 10)] == [True]
    broker.limit_store.adjust(QUEUE, "task", None)
    assert (await broker.alocate("b", None)).place == "ended"
    assert await broker.counts([QUEUE]) == [QueueCounts(QUEUE)]
    assert [each.session for each in await broker.sessions([QUEUE])] == ["s"]
    await box.atell("box", [b"message"], 60.0)
    assert [each.message for each in box.hear("box", 0, 1.0)] == [b"message"]
    for each in (broker, worker):
        await each.aclose()
        each.close()


async def test_a_producer_with_these_rights_starts_flows_shows_and_revokes_them(url_of: Callable[[str], str]) -> None:
    broker = RedisBroker(url_of("starter"), PATIENT)
    flow = Flow("flow", QUEUE, (Node(0, 0), Node(1, 3000)))
    broker.flow_store.start(flow, ((0, Job(f"{number}", QUEUE, b"envelope")) for number in range(3000)))
    found = await broker.flow_store.aflow("flow", None)
    assert found is not None
    assert [each.id for each in broker.flow_store.flows([QUEUE], 10)] == [found.id]
    assert await broker.flow_store.arevoke_flow("flow", None)
    await broker.aclose()
    broker.close()


async def test_a_producer_with_these_rights_sends_under_limits(url_of: Callable[[str], str]) -> None:
    broker = RedisBroker(url_of("limited"), PATIENT)
    limit, unique = Limit("task", "key", "turn", Pace(1, 0.5, 2)), Unique("key")
    jobs = [Job(each, QUEUE, b"envelope", delay=60.0 * (each == "d")) for each in "abcd"]
    admissions = [Admission(job, limit, unique if job.id == "a" else Unique("k", seconds=9.0), 9) for job in jobs]
    assert broker.limit_store.admit(admissions) == ["a", "b", "b", "b"]
    assert await broker.limit_store.aadmit([Admission(Job("e", QUEUE, b"envelope"), None, unique)]) == ["a"]
    await broker.aclose()
    broker.close()


async def test_a_producer_sends_and_reads_results(url_of: Callable[[str], str]) -> None:
    broker, store = RedisBroker(url_of("producer"), PATIENT), RedisResultStore(url_of("producer"), PATIENT)
    writer = RedisResultStore(url_of("worker"), PATIENT)
    broker.send([Job("now", QUEUE, b"envelope"), Job("later", QUEUE, b"envelope", delay=60.0)])
    await broker.asend([Job("now", QUEUE, b"envelope")])
    await writer.put([Record("now", QUEUE, b"record", 60.0)])
    for queue in (QUEUE, None):
        assert store.fetch("now", queue) == b"record"
        assert store.watch("now", queue, 1.0) == b"record"
        assert await store.awatch("now", queue, 1.0) == b"record"
    store.forget("now", QUEUE)
    assert await store.afetch("now", None) is None
    for each in (broker, store, writer):
        await each.aclose()
        each.close()


async def test_a_producer_cannot_take_jobs_or_write_results_and_hears_which_command_is_denied(
    url_of: Callable[[str], str],
) -> None:
    broker, store = RedisBroker(url_of("producer"), PATIENT), RedisResultStore(url_of("producer"), PATIENT)
    worker = RedisBroker(url_of("worker"), PATIENT)
    broker.send([Job(new_id(), QUEUE, b"envelope")])
    await worker.heartbeat([Beat("s")], [QUEUE], 10.0, opening=True)
    with pytest.raises(BrokerError, match="'hdel'") as failed:
        await broker.heartbeat([Beat("other")], [QUEUE], 10.0, opening=True)
    assert not isinstance(failed.value, BrokerUnavailable)
    with pytest.raises(BrokerError, match="'zscore'"):
        await broker.receive("s", [QUEUE], 1, wait=0)
    with pytest.raises(BrokerError, match="'zscore'"):
        await broker.reconcile("s", [QUEUE], [])
    with pytest.raises(BackendError, match="'set'"):
        await store.put([Record("id", QUEUE, b"forged", 60.0)])
    assert (await worker.counts([QUEUE]))[0].ready == 1
    for each in (broker, store, worker):
        await each.aclose()
        each.close()


async def test_keys_of_others_are_denied(url_of: Callable[[str], str], guarded: Server) -> None:
    assert command(guarded.port, "SET other 1") == "+OK"
    assert command(guarded.port, "ACL DRYRUN worker GET other") != "+OK"
    assert command(guarded.port, "ACL DRYRUN worker GET umbel:{q}:r:id") == "+OK"


async def test_without_the_right_to_ask_for_settings_a_worker_still_works(
    url_of: Callable[[str], str], guarded: Server
) -> None:
    url = url_of("worker")
    assert command(guarded.port, "ACL SETUSER worker -info") == "+OK"
    broker = RedisBroker(url, PATIENT)
    try:
        with pytest.raises(BrokerError, match="'info'"):
            await broker.examine()
        await broker.asend([Job(new_id(), QUEUE, b"envelope")])
        assert (await broker.counts([QUEUE]))[0].ready == 1
    finally:
        assert command(guarded.port, "ACL SETUSER worker +info") == "+OK"
        await broker.aclose()
        broker.close()
