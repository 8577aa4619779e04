"""What the version and the state of a RabbitMQ server mean for jobs. The judging is pure; `examine` asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from umbel.engines.amqp import Engine, Unroutable
from umbel.engines.amqp_connection import OLDEST
from umbel.engines.amqp_frames import Properties
from umbel.engines.amqp_letter import Letter
from umbel.exceptions import BrokerFull
from umbel.model.finding import Finding

_WITH_LIMIT: Final = (4,)
_NOWHERE: Final = ("", "umbel.nowhere")
"""Exchange and key that lead to no queue: only a server that takes messages answers that there is none."""
POLICY: Final = """rabbitmqctl set_policy umbel '^umbel\\.' '{"delivery-limit": -1}' --apply-to quorum_queues"""


async def examine(engine: Engine) -> list[Finding]:
    """What there is to say about the server; publishes to nowhere. Raises `BrokerUnavailable` or `BrokerError`."""
    async with engine.channel() as channel:
        version = channel.version
    return [*of_version(version), Finding("durability", "disk, quorum queues"), *await _publishing(engine)]


def of_version(version: Sequence[int]) -> list[Finding]:
    """What the server's *version* means."""
    text = ".".join(map(str, version))
    if not version or tuple(version) < OLDEST:
        advice = f"RabbitMQ {text} is too old: use 3.10 or later"
        return [Finding("version", text, advice if version else "", broken=bool(version))]
    if tuple(version) < _WITH_LIMIT:
        return [Finding("version", text)]
    return [Finding("version", text), Finding("delivery limit", f"20 on queues made before 4.0, unless: {POLICY}")]


async def _publishing(engine: Engine) -> list[Finding]:
    try:
        await engine.publish([Letter(_NOWHERE, Properties(), b"")])
    except Unroutable:
        return [Finding("publishing", "confirmed")]
    except BrokerFull as error:
        advice = f"{error}: jobs are refused; make room on the server"
        return [Finding("publishing", "blocked", advice, broken=True)]
    return [Finding("publishing", "confirmed")]
