"""Which jobs have not ended, by the broker that holds them."""

from __future__ import annotations

from typing import Final

from umbel.contracts.powers import Inspector
from umbel.contracts.schedules import TickWatcher
from umbel.scheduler.scheduler import Living

_OVER: Final = frozenset({"ended", "dead", "unknown"})


def living_at(broker: object) -> Living:
    """Looks jobs up at *broker*; one that cannot tell has none."""

    async def living(job_id: str, queue: str) -> bool:
        if isinstance(broker, TickWatcher):
            return await broker.watched(job_id, queue)
        if not isinstance(broker, Inspector):
            return False
        return (await broker.alocate(job_id, queue)).place not in _OVER

    return living
