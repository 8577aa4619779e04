"""Taskiq on the Redis stream broker, the one with acknowledgements.

Settings: uvloop and orjson extras, ``--no-parse``, ack type ``when_saved`` (late, the default), log level WARNING; read
batch and concurrency as they come (100), larger ones were no faster; ``def`` tasks run in its thread pool.
``wait_result`` polls; its interval is set to a millisecond. The client is ``async`` only: calls are awaited one by one.
No bulk call; `fill` sends concurrently. Acknowledged jobs stay in the stream, as no ``maxlen`` is set: a limit would
drop unfinished jobs.
"""

import asyncio

from taskiq.serializers import ORJSONSerializer
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from benchmarks.peers.terms import ASYNC, BROKER, PROCESSES, RESULTS, VALUE
from benchmarks.probe import hit
from benchmarks.timing import timed_async

FILLING = 100  # sends in flight
POLL = 0.001  # seconds

broker = RedisStreamBroker(BROKER, consumer_id="0").with_serializer(ORJSONSerializer())
if RESULTS:
    broker = broker.with_result_backend(
        RedisAsyncResultBackend(BROKER, result_ex_time=3600, serializer=ORJSONSerializer())
    )


def _count() -> int:
    hit()
    return VALUE


async def _count_async() -> int:
    hit()
    return VALUE


noop = broker.register_task(_count_async if ASYNC else _count, task_name="noop")
_loop = asyncio.new_event_loop()


def open() -> None:
    """Connect and declare the consumer group."""
    _loop.run_until_complete(broker.startup())


def enqueue(count: int) -> None:
    """One awaited ``kiq()`` a job."""
    _loop.run_until_complete(_send(count))


def fill(count: int) -> None:
    """The same from several coroutines at once; not a bulk call, only to fill the queue sooner."""

    async def all_of_them() -> None:
        await asyncio.gather(*(_send(count // FILLING + (lane < count % FILLING)) for lane in range(FILLING)))

    _loop.run_until_complete(all_of_them())


async def _send(count: int) -> None:
    for _ in range(count):
        await noop.kiq()


def latency(count: int) -> list[float]:
    """``kiq()``, then ``wait_result()``."""

    async def call() -> object:
        return await (await noop.kiq()).wait_result(check_interval=POLL, timeout=30)

    return _loop.run_until_complete(timed_async(count, call))


def worker_command() -> list[str]:
    """Two worker processes under Taskiq's manager."""
    options = ["--workers", str(PROCESSES), "--no-parse", "--log-level", "WARNING"]
    return ["-m", "taskiq", "worker", f"{__name__}:broker", *options]
