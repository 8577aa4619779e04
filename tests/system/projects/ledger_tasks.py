"""Tasks that write down when they start and end; the app of the chaos tests.

Each line is one ``O_APPEND`` write: ``S`` or ``E``, the task id, the pid and the unix time. The checker reads the file.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import time

from umbel import Context, Umbel
from umbel.app.commands import State
from umbel.current import current_task
from umbel.exceptions import Reject

BROKER = os.environ["UMBEL_TEST_BROKER"]
LEDGER = os.environ["UMBEL_TEST_LEDGER"]

app = Umbel("ledger_tasks", broker=BROKER, backend=os.environ.get("UMBEL_TEST_BACKEND", BROKER))

_fd = os.open(LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


def write(phase: str) -> None:
    """Add one line for the running job."""
    job = current_task.request.id
    os.write(_fd, f"{phase} {job} {os.getpid()} {time.time():.6f}\n".encode())


@app.inspect_command
def writer(state: State) -> list[str]:
    """Tell where this child writes."""
    return [state.hostname, LEDGER]


@app.control_command(args=[("n", int)])
def add(state: State, n: int) -> int:
    """Add one, or fail."""
    if n < 0:
        raise ValueError(n, state.hostname)
    return n + 1


@app.task
def work(seconds: float) -> int:
    """Take *seconds*."""
    write("S")
    if seconds:
        time.sleep(seconds)
    write("E")
    return os.getpid()


@app.task(bind=True)
def charge(self: Context) -> int:
    """Leave a row in the PostgreSQL database that is the broker, in the transaction that ends the job."""
    import psycopg

    write("S")
    with psycopg.connect(BROKER) as connection:
        connection.execute("insert into effect values (%s)", (self.request.id,))
        self.request.complete_in(connection, 1)
    write("E")
    return 1


@app.task
def hold(release: str) -> int:
    """Go on until the file *release* is there."""
    write("S")
    while not os.path.exists(release):  # noqa: PTH110 - one import less in each child
        time.sleep(0.01)
    write("E")
    return os.getpid()


@app.task
def member(number: int) -> int:
    """Take a moment and answer *number*."""
    write("S")
    time.sleep(0.01)
    write("E")
    return number


@app.task
def total(numbers: list[int]) -> int:
    """Answer the sum of *numbers*."""
    write("S")
    write("E")
    return sum(numbers)


@app.task
async def work_async(seconds: float) -> int:
    """Take *seconds* without a thread."""
    write("S")
    await asyncio.sleep(seconds)
    write("E")
    return os.getpid()


@app.task
def hold_gil(seconds: float) -> None:
    """Hold the GIL inside C for *seconds*: nothing else of this process can run."""
    write("S")
    ctypes.PyDLL(None).usleep(int(seconds * 1_000_000))  # PyDLL keeps the GIL during the call
    write("E")


@app.task
async def block_loop(seconds: float) -> None:
    """Block the event loop for *seconds*."""
    write("S")
    time.sleep(seconds)  # noqa: ASYNC251 - that is the fault under test
    write("E")


@app.task
def poison() -> None:
    """Kill the process."""
    write("S")
    os.abort()


@app.task(bind=True)
def watch(self: Context) -> int:
    """Go on until the job is revoked, which the task sees by itself."""
    write("S")
    while not self.request.revoked:
        time.sleep(0.01)
    write("E")
    return 1


@app.task(bind=True)
def say(self: Context) -> None:
    """Tell how far it is, and come no further."""
    write("S")
    self.progress(1, 2)
    time.sleep(600.0)
    write("E")


@app.task(bind=True)
def later(self: Context) -> None:
    """Come again in an hour."""
    write("S")
    raise self.retry(countdown=3600)


@app.task
def fragile(release: str) -> int:
    """Die unless the file *release* is there."""
    write("S")
    if not os.path.exists(release):  # noqa: PTH110 - as above
        raise Reject("not released")
    write("E")
    return 1
