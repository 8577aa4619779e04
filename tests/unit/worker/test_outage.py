import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from umbel.exceptions import BrokerError, BrokerFull, BrokerUnavailable
from umbel.worker.supervisor import outage
from umbel.worker.supervisor.outage import Outage


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(outage, "MAX_PAUSE_SECONDS", 0.002)


def failing(*errors: Exception) -> Callable[[], Awaitable[str]]:
    """An attempt that raises *errors* one after the other and then succeeds."""
    left = list(errors)

    async def attempt() -> str:
        if left:
            raise left.pop(0)
        return "answer"

    return attempt


@pytest.mark.parametrize("error", [BrokerUnavailable("away"), BrokerFull("full"), OSError("reset"), TimeoutError()])
async def test_what_may_pass_is_tried_until_it_passes(error: Exception) -> None:
    assert await Outage("url").insist(failing(error, error, error), 30.0) == "answer"


async def test_a_refusal_before_the_first_answer_is_final() -> None:
    with pytest.raises(BrokerError, match="wrong password"):
        await Outage("url").insist(failing(BrokerError("wrong password")), 30.0)


async def test_a_refusal_later_on_is_tried_again() -> None:
    patient = Outage("url")
    await patient.insist(failing(), 30.0)
    assert await patient.insist(failing(BrokerError("damaged key")), 30.0) == "answer"


async def test_an_attempt_that_hangs_is_given_up_and_made_again() -> None:
    hanging = [True]

    async def attempt() -> str:
        if hanging.pop() if hanging else False:
            await asyncio.Event().wait()
        return "answer"

    async with asyncio.timeout(30):
        assert await Outage("url").insist(attempt, 0.01) == "answer"


async def test_an_outage_is_told_in_two_lines_however_long_and_to_however_many(
    caplog: pytest.LogCaptureFixture,
) -> None:
    patient = Outage("redis://h")
    away = [BrokerUnavailable("refused")] * 5
    with caplog.at_level(logging.INFO, "umbel.worker"):
        answers = await asyncio.gather(*(patient.insist(failing(*away), 30.0) for _ in range(3)))
    assert answers == ["answer"] * 3
    first, *_, last = [record.getMessage() for record in caplog.records]
    assert "redis://h is away: refused" in first
    assert "redis://h is back after" in last


async def test_those_who_wait_take_turns() -> None:
    patient = Outage("url")
    inside = 0

    async def attempt() -> str:
        nonlocal inside
        inside += 1
        alone = inside == 1
        await asyncio.sleep(0.001)
        inside -= 1
        if len(results) < 10:
            results.append(alone)
            raise BrokerUnavailable("away")
        return "answer"

    results: list[bool] = []
    with pytest.raises(BrokerUnavailable):
        await attempt()
    patient._failed(BrokerUnavailable("away"))
    await asyncio.gather(*(patient.insist(attempt, 30.0) for _ in range(3)))
    assert all(results)


async def test_how_long_it_lasted_is_kept() -> None:
    patient = Outage("url")
    assert patient.last_seconds == 0.0
    await patient.insist(failing(BrokerUnavailable("away")), 30.0)
    assert patient.last_seconds > 0.0
    assert patient.back_at > 0.0
