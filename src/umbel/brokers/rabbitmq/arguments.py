"""With which arguments queues are declared, by the version of the server. Pure; `topology` asks.

====== ===============================================================================================================
3.10   quorum queues, dead-lettered at least once
3.12   a queue has its own time for acknowledgements: a day, not the 30 minutes of the node
4.0    a quorum queue drops what came back 20 times, unless it is told not to count; earlier ones know no -1
====== ===============================================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from umbel.brokers.rabbitmq import names
from umbel.engines.amqp_channel import Arguments

DELIVERY_LIMIT: Final = "x-delivery-limit"
CONSUMER_TIMEOUT: Final = "x-consumer-timeout"

_FIRST_WITH_TIMEOUT: Final = (3, 12)
_FIRST_WITH_LIMIT: Final = (4,)
_DAY_MILLISECONDS: Final = 86_400_000
_QUORUM: Final[Arguments] = {"x-queue-type": "quorum"}
_DIFFERING: Final = re.compile(r"inequivalent arg '([^']+)'")


def keeping(version: Sequence[int]) -> Arguments:
    """Those of a queue that keeps messages until they are acknowledged."""
    arguments: dict[str, str | int] = dict(_QUORUM)
    if tuple(version) >= _FIRST_WITH_TIMEOUT:
        arguments[CONSUMER_TIMEOUT] = _DAY_MILLISECONDS
    if tuple(version) >= _FIRST_WITH_LIMIT:
        arguments[DELIVERY_LIMIT] = -1
    return arguments


def waiting(rung: int) -> Arguments:
    """Those of a rung of the ladder of delays; without consumers, so no version makes a difference.

    With at-least-once a message leaves its rung only when the next one has it; that needs reject-publish.
    """
    return {
        **_QUORUM,
        "x-message-ttl": 2**rung * 1000,
        "x-dead-letter-exchange": names.delay(rung - 1),
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def as_before(arguments: Arguments, refusal: str) -> Arguments | None:
    """What is left of *arguments* for a queue that an older server declared, whose *refusal* names what differs.

    None if it differs in anything else: then it is not ours.
    """
    found = _DIFFERING.search(refusal)
    name = found.group(1) if found else ""
    if name not in (DELIVERY_LIMIT, CONSUMER_TIMEOUT) or name not in arguments:
        return None
    return {each: value for each, value in arguments.items() if each != name}
