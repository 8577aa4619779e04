"""A real worker in a thread of this process, for tests: the same consumer, executor and settler, without processes."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence

from umbel.app.app import Umbel
from umbel.contracts.broker import Beat
from umbel.model.ids import new_session
from umbel.worker.child.child import Child
from umbel.worker.options import ChildOptions

STOP_SECONDS = 10.0


class OpenGate:
    """Lets every job start: in one process the lease is as alive as the worker."""

    def trusted(self) -> bool:
        """Always."""
        return True

    def take(self, job_id: str, task: str) -> int:
        """Note nothing: nobody looks after a crash of this process."""
        del job_id, task
        return 0

    def give(self, slot: int) -> None:
        """Note nothing."""


@contextlib.contextmanager
def worker(app: Umbel, *, queues: Sequence[str] = (), threads: int = 1, async_slots: int = 100) -> Iterator[None]:
    """Run the jobs of *app* in the background for the length of a ``with`` block; on leaving, what runs is finished.

    *queues* default to the app's default queue. Works on every broker, ``memory://`` included.
    """
    options = ChildOptions(
        session=new_session(),
        worker="umbel@testing",
        queues=tuple(queues) or (app.conf.task_default_queue,),
        threads=threads,
        async_slots=async_slots,
        max_crashes=app.conf.worker_max_crashes,
    )
    started = threading.Event()
    stop: list[Callable[[], None]] = []
    faults: list[BaseException] = []

    def work() -> None:
        try:
            asyncio.run(_main(app, options, stop, started))
        except BaseException as error:  # noqa: BLE001 - raised again in the test's own thread
            faults.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=work, name="umbel-testing", daemon=True)
    thread.start()
    started.wait()
    try:
        yield
    finally:
        if stop:
            stop[0]()
        thread.join(STOP_SECONDS)
        if faults:
            raise faults[0]


async def _main(app: Umbel, options: ChildOptions, stop: list[Callable[[], None]], started: threading.Event) -> None:
    lease = app.conf.worker_lease
    await app.broker.heartbeat([Beat(options.session)], options.queues, lease, opening=True)
    child = Child(app, options, OpenGate())
    loop = asyncio.get_running_loop()
    stop.append(lambda: loop.call_soon_threadsafe(child.stop))

    async def ready() -> None:
        started.set()

    async def beat() -> None:
        while True:
            await asyncio.sleep(lease / 3)
            await app.broker.heartbeat([Beat(options.session)], options.queues, lease)
            await app.broker.reclaim(options.queues, lease)

    beating = asyncio.ensure_future(beat())
    loop.call_soon(started.set)
    try:
        await child.run(ready)
    finally:
        beating.cancel()
