"""Sends that are made at once by coroutines travel together, and each still gets an answer of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from tests.patient import PATIENT
from umbel.brokers.postgres import PostgresBroker
from umbel.engines.postgres_command import Command, Rows
from umbel.engines.postgres_connection import AsyncLine
from umbel.engines.postgres_topics import ring
from umbel.exceptions import BrokerError
from umbel.model.ids import new_id
from umbel.model.job import Job

QUEUE = "joined"
RING = ring({QUEUE: 1}).statement
COROUTINES = 200


@pytest.fixture
async def broker(postgres_url: str) -> AsyncIterator[PostgresBroker]:
    made = PostgresBroker(postgres_url, PATIENT)
    await made.asend([Job(new_id(), QUEUE, b"")])  # the tables and the queue are known
    yield made
    await made.aclose()
    made.close()


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[Command]:
    """The commands that are carried out."""
    carried: list[Command] = []
    run = AsyncLine.run

    async def counted(line: AsyncLine, command: Command) -> list[Rows]:
        carried.append(command)
        return await run(line, command)

    monkeypatch.setattr(AsyncLine, "run", counted)
    return carried


async def ready(broker: PostgresBroker) -> int:
    return (await broker.counts([QUEUE]))[0].ready


def job(envelope: bytes = b"body", level: int | None = None) -> Job:
    return Job(new_id(), QUEUE, envelope) if level is None else Job(new_id(), QUEUE, envelope, priority=9 - level)


async def test_one_send_is_one_statement(broker: PostgresBroker, commands: list[Command]) -> None:
    await broker.asend([job()])
    assert [len(each) for each in commands] == [1]


async def test_sends_of_many_coroutines_travel_in_a_few_commands(
    broker: PostgresBroker, commands: list[Command]
) -> None:
    await asyncio.gather(*(broker.asend([job()]) for _ in range(COROUTINES)))
    assert len(commands) < COROUTINES / 10
    assert await ready(broker) == 1 + COROUTINES


async def test_a_send_that_is_refused_fails_alone(broker: PostgresBroker) -> None:
    wrong = job(level=40_000)  # no smallint
    answers = await asyncio.gather(
        *(broker.asend([each]) for each in (job(), job(), wrong, job())), return_exceptions=True
    )
    assert [type(each) for each in answers] == [type(None), type(None), BrokerError, type(None)]
    assert await ready(broker) == 4


async def test_a_sender_that_is_cancelled_takes_no_other_along(broker: PostgresBroker) -> None:
    sends = [asyncio.ensure_future(broker.asend([job()])) for _ in range(10)]
    await asyncio.sleep(0)
    sends[0].cancel()  # the one under way, for whom all others wait
    sends[5].cancel()
    answers = await asyncio.gather(*sends, return_exceptions=True)
    assert [place for place, each in enumerate(answers) if each is not None] == [0, 5]
    assert await ready(broker) in (1 + 8, 1 + 9), "the one under way may have been carried out"


async def test_who_sends_many_at_once_holds_nobody_up(broker: PostgresBroker, commands: list[Command]) -> None:
    many: Sequence[Job] = [job() for _ in range(COROUTINES)]
    await asyncio.gather(broker.asend(many), broker.asend([job()]))
    statements = sorted(len(each) for each in commands if each[0].statement != RING)
    assert statements == [1, 2], "one for the one, and two for the many, who are not joined"
    assert await ready(broker) == 2 + COROUTINES
