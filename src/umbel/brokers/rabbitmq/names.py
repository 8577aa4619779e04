"""Names and routes at RabbitMQ: the queues of a queue, and the ladder on which delayed messages wait.

A delay in whole seconds is written in bits. Rung k holds a message for 2^k seconds and then passes it down; a message
waits on the rungs whose bits are 1. The routing key is the bits from the highest rung down, then queue and class.
"""

from __future__ import annotations

from typing import Final

READY: Final = "umbel.ready"
"""The exchange at the foot of the ladder."""
RUNGS: Final = 28
MAX_DELAY_SECONDS: Final = 2**RUNGS - 1
"""Eight and a half years."""
CLASSES: Final = 4
_LEVELS_A_CLASS: Final = 3


def class_of(level: int) -> int:
    """The class of *level*: priorities 7-9, 4-6, 1-3 and 0 share a class each."""
    return min(level // _LEVELS_A_CLASS, CLASSES - 1)


def ready(queue: str, rank: int) -> str:
    """The queue of the class *rank*."""
    return f"umbel.{queue}.c{rank}"


def parked(queue: str) -> str:
    """The queue of jobs whose task no worker knows."""
    return f"umbel.{queue}.parked"


def dead(queue: str) -> str:
    """The queue of dead letters."""
    return f"umbel.{queue}.dead"


def waiting(rung: int) -> str:
    """The queue of *rung*."""
    return f"umbel.wait.{rung}"


def delay(rung: int) -> str:
    """The exchange above *rung*; below the last one is `READY`."""
    return f"umbel.delay.{rung}" if rung >= 0 else READY


def route(queue: str, rank: int, seconds: int) -> tuple[str, str]:
    """Exchange and routing key for a message that is to be ready in *seconds*."""
    name = ready(queue, rank)
    if seconds <= 0:
        return "", name
    bits = f"{seconds:0{RUNGS}b}"
    return delay(seconds.bit_length() - 1), f"{'.'.join(bits)}.{queue}.c{rank}"


def rungs(seconds: int) -> list[int]:
    """The rungs on which a message waits."""
    return [rung for rung in range(RUNGS) if seconds >> rung & 1]


def links() -> list[tuple[str, str, str]]:
    """What leads past each rung: exchange, next exchange, pattern."""
    return [(delay(rung), delay(rung - 1), f"{_above(rung)}0.#") for rung in range(RUNGS)]


def onto(rung: int) -> str:
    """The pattern of what waits on *rung*."""
    return f"{_above(rung)}1.#"


def down(queue: str, rank: int) -> str:
    """The pattern of what leaves the ladder for a class; exact, so that no queue's name is taken for another's end."""
    return f"{'*.' * RUNGS}{queue}.c{rank}"


def _above(rung: int) -> str:
    return "*." * (RUNGS - 1 - rung)
