import asyncio
from collections.abc import Sequence

import pytest

from umbel.brokers.memory import MemoryBroker
from umbel.contracts.broker import Beat, Ended
from umbel.engines.memory import space
from umbel.settings import Settings
from umbel.testing.clock import Clock
from umbel.worker.board import boot_seconds
from umbel.worker.messages import Loaded
from umbel.worker.options import WorkerOptions
from umbel.worker.supervisor.outage import Outage
from umbel.worker.supervisor.plan import Plan, make_plan
from umbel.worker.supervisor.sessions import Sessions

LEASE = 90.0
TRUSTED = 0.9 * LEASE


class Holder:
    """Keeps what its sessions told it."""

    def __init__(self, session: str) -> None:
        self.session = session
        self.until = 0.0
        self.lost = False

    def info(self) -> bytes:
        return b"alive and well"

    def trust(self, until: float) -> None:
        self.until = until

    def lose(self) -> None:
        self.lost = True


class SlowBroker(MemoryBroker):
    """Answers each heartbeat *delay* seconds late."""

    delay = 0.0

    async def heartbeat(
        self, beats: Sequence[Beat], queues: Sequence[str], lease: float, *, opening: bool = False
    ) -> list[bool]:
        answer = await super().heartbeat(beats, queues, lease, opening=opening)
        await asyncio.sleep(self.delay)
        return answer


@pytest.fixture
def broker(request: pytest.FixtureRequest) -> SlowBroker:
    return SlowBroker(space(f"memory://{request.node.name[:40]}"), Clock())


@pytest.fixture
def plan() -> Plan:
    settings = Settings(broker_url="sqlite:///x", worker_lease=LEASE)
    return make_plan(WorkerOptions(app="a", queues=("a", "b")), Loaded("a", settings, []))


@pytest.fixture
def sessions(broker: SlowBroker, plan: Plan) -> Sessions:
    return Sessions(broker, plan, Outage("memory"))


async def test_an_opened_session_is_open_in_every_queue(sessions: Sessions, broker: SlowBroker) -> None:
    session, _ = await sessions.open(b"")
    for queue in ("a", "b"):
        assert [info.session for info in await broker.sessions([queue])] == [session]


async def test_every_session_is_another_one(sessions: Sessions) -> None:
    assert len({(await sessions.open(b""))[0] for _ in range(5)}) == 5


async def test_trust_counts_from_the_moment_the_heartbeat_was_sent(sessions: Sessions, broker: SlowBroker) -> None:
    broker.delay = 0.05
    before = boot_seconds()
    _, until = await sessions.open(b"")
    assert before <= until - TRUSTED <= boot_seconds() - broker.delay


async def test_a_heartbeat_renews_and_tells(sessions: Sessions, broker: SlowBroker) -> None:
    session, _ = await sessions.open(b"")
    holder = Holder(session)
    sessions.add(holder)
    await sessions._beat()
    assert 0 < holder.until - boot_seconds() <= TRUSTED
    (info,) = await broker.sessions(["a"])
    assert info.info == b"alive and well"


async def test_one_that_begins_is_told_of_long_before_the_next_beat_is_due(
    sessions: Sessions, broker: SlowBroker
) -> None:
    beating = asyncio.create_task(sessions.run())
    await asyncio.sleep(0)  # the first beat is over: there is nobody
    sessions.add(Holder((await sessions.open(b""))[0]))
    beaten = asyncio.Event()
    sessions.beaten = beaten.set
    await asyncio.wait_for(beaten.wait(), LEASE / 3 - 1)
    assert [info.info for info in await broker.sessions(["a"])] == [b"alive and well"]
    beating.cancel()


async def test_a_session_declared_dead_is_lost_and_no_longer_renewed(sessions: Sessions, broker: SlowBroker) -> None:
    holders = [Holder((await sessions.open(b""))[0]) for _ in range(2)]
    for holder in holders:
        sessions.add(holder)
    await broker.reclaim(["a"], LEASE, [Ended(holders[0].session)])
    await sessions._beat()
    assert [(holder.lost, holder.until > 0) for holder in holders] == [(True, False), (False, True)]
    holders[0].lost = False
    await sessions._beat()
    assert not holders[0].lost


async def test_a_session_that_was_removed_gets_no_trust(sessions: Sessions) -> None:
    holder = Holder((await sessions.open(b""))[0])
    sessions.add(holder)
    sessions.remove(holder)
    await sessions._beat()
    assert holder.until == 0.0


async def test_who_ended_while_the_beat_was_on_its_way_is_told_nothing(sessions: Sessions, broker: SlowBroker) -> None:
    session, _ = await sessions.open(b"")
    holder = Holder(session)
    sessions.add(holder)
    asked, answered = asyncio.Event(), asyncio.Event()
    heartbeat = broker.heartbeat

    async def late(beats: Sequence[Beat], queues: Sequence[str], lease: float) -> list[bool]:
        answer = await heartbeat(beats, queues, lease)
        asked.set()
        await answered.wait()
        return answer

    broker.heartbeat = late  # type: ignore[method-assign,assignment]
    beating = asyncio.create_task(sessions.run())
    await asked.wait()
    sessions.remove(holder)
    asked.clear()
    answered.set()
    # The loop goes on after that answer: it sleeps until the next beat, and no sooner is the answer dealt with.
    for _ in range(10):
        await asyncio.sleep(0)
    assert not beating.done()
    assert holder.until == 0.0
    beating.cancel()
