"""A channel of AMQP, without a server."""

from __future__ import annotations

import pytest

from umbel.engines.amqp_channel import Channel


class Wire:
    frame_max = 131_072
    version: tuple[int, ...] = (3, 10)
    lost: OSError | None = None

    def write(self, data: bytes) -> None:
        """Nobody reads it."""

    def forget(self, channel: Channel) -> None:
        """It is known to the channel alone."""


async def test_whoever_waits_on_a_channel_that_is_lost_already_is_told_at_once() -> None:
    channel = Channel(Wire(), 1)
    channel.fail(ConnectionResetError("cut"))
    with pytest.raises(ConnectionResetError, match="cut"):
        await channel.wait()


async def test_whoever_waits_when_it_is_lost_is_told() -> None:
    channel = Channel(Wire(), 1)
    waiting = channel.wait()
    channel.fail(ConnectionResetError("cut"))
    with pytest.raises(ConnectionResetError, match="cut"):
        await waiting
