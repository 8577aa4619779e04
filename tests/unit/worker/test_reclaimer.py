import asyncio
import time
from collections.abc import Sequence

import pytest

from umbel.brokers.memory import MemoryBroker
from umbel.brokers.rabbitmq import connect
from umbel.contracts.broker import Ended, Reclaimed
from umbel.engines.memory import space
from umbel.exceptions import BrokerUnavailable, ImproperlyConfigured
from umbel.settings import Settings
from umbel.worker.messages import Loaded
from umbel.worker.options import WorkerOptions
from umbel.worker.supervisor import reclaimer as module
from umbel.worker.supervisor.outage import Outage
from umbel.worker.supervisor.plan import Plan, make_plan
from umbel.worker.supervisor.reclaimer import FULL_BATCH, Reclaimer

SECONDS = 30.0


@pytest.fixture(autouse=True)
def _long_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_INTERVAL_SECONDS", 10 * SECONDS)


class ScriptedBroker(MemoryBroker):
    """Answers reclaims with what it is given, then with nothing to do; keeps what it was told."""

    def __init__(self, name: str, *answers: Reclaimed | Exception) -> None:
        super().__init__(space(f"memory://{name}"))
        self.answers = list(answers)
        self.told: list[tuple[str, ...]] = []
        self.called = asyncio.Event()

    async def reclaim(self, queues: Sequence[str], lease: float, ended: Sequence[Ended] = ()) -> Reclaimed:
        self.told.append(tuple(each.session for each in ended))
        self.called.set()
        answer = self.answers.pop(0) if self.answers else Reclaimed()
        if isinstance(answer, Exception):
            raise answer
        return answer


def plan(lease: float = 30 * SECONDS, ageing: float | None = None, broker: str = "sqlite:///x") -> Plan:
    settings = Settings(broker_url=broker, worker_lease=lease, task_priority_ageing=ageing)
    return make_plan(WorkerOptions(app="a"), Loaded("a", settings, []))


async def run_until(reclaimer: Reclaimer, broker: ScriptedBroker, calls: int) -> None:
    """Run *reclaimer* until it has called *calls* times, which must not take its regular interval."""
    running = asyncio.create_task(reclaimer.run())
    async with asyncio.timeout(SECONDS):
        while len(broker.told) < calls:
            broker.called.clear()
            await broker.called.wait()
    running.cancel()
    await asyncio.wait((running,))


async def test_news_of_a_death_is_told_at_once() -> None:
    broker = ScriptedBroker("news")
    reclaimer = Reclaimer(broker, plan(), Outage("url"))
    running = asyncio.create_task(reclaimer.run())
    await broker.called.wait()
    reclaimer.end("gone", ("job",))
    broker.called.clear()
    async with asyncio.timeout(SECONDS):
        await broker.called.wait()
    running.cancel()
    assert broker.told == [(), ("gone",)]


async def test_a_death_is_told_until_the_broker_answers() -> None:
    broker = ScriptedBroker("again", BrokerUnavailable("away"), BrokerUnavailable("away"))
    reclaimer = Reclaimer(broker, plan(), Outage("url"))
    reclaimer.end("gone")
    await run_until(reclaimer, broker, 3)
    assert broker.told == [("gone",)] * 3


async def test_a_full_batch_is_followed_by_another_with_the_same_news() -> None:
    broker = ScriptedBroker("full", Reclaimed(returned=FULL_BATCH), Reclaimed(promoted=1, returned=3))
    reclaimer = Reclaimer(broker, plan(), Outage("url"))
    reclaimer.end("gone")
    await run_until(reclaimer, broker, 2)
    assert broker.told == [("gone",), ("gone",)]
    await reclaimer.drain()
    assert len(broker.told) == 2


async def test_a_session_about_to_lapse_is_waited_for() -> None:
    broker = ScriptedBroker("lapse", Reclaimed(next_deadline=0.01))
    await run_until(Reclaimer(broker, plan(), Outage("url")), broker, 2)


async def test_after_a_long_outage_nobody_is_reaped_for_a_lease() -> None:
    broker, outage = ScriptedBroker("hold"), Outage("url")
    outage.last_seconds, outage.back_at = 8.0, time.monotonic()
    reclaimer = Reclaimer(broker, plan(15.0), outage)
    running = asyncio.create_task(reclaimer.run())
    await asyncio.sleep(0)
    assert broker.told == []
    reclaimer.end("own child")  # but the worker's own dead are, as ever
    await broker.called.wait()
    running.cancel()
    assert broker.told == [("own child",)]


@pytest.mark.parametrize(("lasted", "ago"), [(7.0, 0.0), (100.0, 15.1)])
async def test_after_a_short_or_an_old_outage_all_is_as_ever(lasted: float, ago: float) -> None:
    broker, outage = ScriptedBroker(f"short{lasted:g}"), Outage("url")
    outage.last_seconds, outage.back_at = lasted, time.monotonic() - ago
    await run_until(Reclaimer(broker, plan(15.0), outage), broker, 1)


async def test_parked_jobs_of_tasks_that_came_with_new_code_are_asked_for_at_once() -> None:
    asked: list[Sequence[str]] = []
    more = asyncio.Event()

    class Asked(ScriptedBroker):
        async def unpark(self, queues: Sequence[str], tasks: Sequence[str]) -> int:
            asked.append(tasks)
            more.set()
            return 0 * len(queues)

    reclaimer = Reclaimer(Asked("new-code"), plan(), Outage("url"))
    running = asyncio.create_task(reclaimer.run())
    async with asyncio.timeout(SECONDS):
        await more.wait()
        more.clear()
        reclaimer.know(("app.new",))
        await more.wait()
    running.cancel()
    assert asked == [(), ("app.new",)]


class AgedBroker(ScriptedBroker):
    """Keeps how it was asked to let jobs rise."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.aged: list[tuple[Sequence[str], float]] = []

    async def age(self, queues: Sequence[str], seconds: float) -> int:
        self.aged.append((queues, seconds))
        return 0


async def test_jobs_are_let_rise_several_times_within_the_time_of_the_setting() -> None:
    broker = AgedBroker("aged")
    reclaimer = Reclaimer(broker, plan(ageing=0.2), Outage("url"))
    reclaimer.serve(("more",))
    await run_until(reclaimer, broker, 4)
    assert len(broker.aged) >= 3
    assert set(broker.aged) == {(("default", "more"), 0.2)}


async def test_where_priorities_do_not_age_nobody_asks_for_it() -> None:
    broker = AgedBroker("strict")
    broker.answers += [Reclaimed(next_deadline=0.01)] * 3
    await run_until(Reclaimer(broker, plan(), Outage("url")), broker, 3)
    assert broker.aged == []


def test_a_broker_whose_priorities_cannot_age_is_refused() -> None:
    asked = plan(ageing=60.0, broker="amqp://me:secret@host")
    rabbit = connect("amqp://me:secret@host", asked.settings)
    with pytest.raises(ImproperlyConfigured) as refused:
        Reclaimer(rabbit, asked, Outage("url"))
    assert str(refused.value) == (
        "task_priority_ageing needs a broker that raises jobs that wait long under more urgent ones: "
        "amqp://me:***@host does not, memory, SQLite, Redis and PostgreSQL do"
    )
    assert Reclaimer(rabbit, plan(broker="amqp://me:secret@host"), Outage("url"))
