"""The limit: Umbel's protocol without a worker. Receives a batch, settles it with results, and runs nothing.

Run twice beside each other in place of a worker's two children. ``python -m benchmarks.protocol_loop <broker url>``
"""

import asyncio
import sys
import time
from uuid import uuid4

import msgspec

from benchmarks.probe import hit
from umbel.brokers import connect
from umbel.contracts.broker import Beat, Broker, Settlement
from umbel.model.job import DEFAULT_QUEUE, Delivery
from umbel.model.outcome import Result
from umbel.settings import Settings
from umbel.wire import record

BATCH = 128
LEASE = 60.0  # seconds
WAIT = 0.5  # seconds
KEEP = 86400.0  # seconds, Umbel's default
VALUE = msgspec.Raw(b"\x01")


async def loop(broker: Broker) -> None:
    """Receive and settle until the lease ends; each settled job counts."""
    session = uuid4().hex
    ends = time.monotonic() + LEASE
    await broker.heartbeat([Beat(session)], [DEFAULT_QUEUE], LEASE, opening=True)
    while time.monotonic() < ends:
        deliveries = await broker.receive(session, [DEFAULT_QUEUE], BATCH, wait=WAIT)
        if deliveries:
            await broker.settle(session, [_ended(delivery) for delivery in deliveries])
            for _ in deliveries:
                hit()


def _ended(delivery: Delivery) -> Settlement:
    """The verdict that the job succeeded, with a record as a worker would write it."""
    result = Result("SUCCESS", VALUE, task="noop", queue=delivery.queue, worker="loop", done=time.time())
    return Settlement(delivery, "end", record=record.encode(result), ttl=KEEP)


def main(url: str) -> None:
    """Run the loop on uvloop if the environment has it, as a worker's child does."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(loop(connect(url, Settings())))
        return
    uvloop.run(loop(connect(url, Settings())))


if __name__ == "__main__":
    main(sys.argv[1])
