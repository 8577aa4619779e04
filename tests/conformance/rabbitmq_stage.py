"""RabbitMQ on a busy machine: what it has sent is here before anybody looks, and nothing goes back meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import pytest
from pamqp import commands

from umbel.brokers.rabbitmq import broker, intake
from umbel.brokers.rabbitmq.intake import Intake
from umbel.engines.amqp_channel import Refused

IDLE_SECONDS = 1.0
AT_ONCE_SECONDS = 0.4


def unhurried(patch: pytest.MonkeyPatch, idle: float = IDLE_SECONDS) -> None:
    """Let no test see how long RabbitMQ takes.

    It pushes: what it has sent may arrive one by one, and a receive that asks at once takes what has arrived. What a
    slow machine gave back in the middle of a test would come again in another order.
    """
    patch.setattr(intake, "IDLE_SECONDS", idle)
    patch.setattr(broker, "AT_ONCE_SECONDS", AT_ONCE_SECONDS)
    consume = Intake.consume

    async def consume_all(found: Intake, queues: Sequence[str], busy: int) -> None:
        await consume(found, queues, busy)
        await _caught_up(found)

    patch.setattr(Intake, "consume", consume_all)


async def _caught_up(found: Intake) -> None:
    """Wait for an answer: what was sent over the same channel before is here then."""
    channel = found._channel
    if channel is not None:
        with suppress(OSError, Refused):  # it is lost: whoever looks again begins anew
            await channel.ask(commands.Channel.Flow(active=True))
