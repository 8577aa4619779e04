"""One question to a server, on a connection of its own: where the others are."""

from __future__ import annotations

from typing import Any

from umbel.engines.redis_address import Address
from umbel.engines.redis_command import Word
from umbel.engines.redis_connection import Connection, pack
from umbel.engines.redis_stream import connect


def ask(address: Address, question: tuple[Word, ...], seconds: float) -> Any:
    """The reply, or its refusal as a `ReplyError`. Raises `OSError`, or `BrokerError` if the server refuses us."""
    connection = Connection(address, seconds)
    try:
        return connection.exchange([pack(question)], 1)[0]
    finally:
        connection.close()


async def aask(address: Address, question: tuple[Word, ...], seconds: float) -> Any:
    """The async twin of `ask`."""
    stream = await connect(address, seconds)
    try:
        return (await stream.exchange([pack(question)], 1, seconds))[0]
    finally:
        stream.close()
