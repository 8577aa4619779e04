"""Tasks that do not end by themselves, each in its own way; the app of the tests of limits."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
import sys
import time

from umbel import Context, Umbel
from umbel.exceptions import LeaseLost, SoftTimeLimitExceeded

BROKER = os.environ["UMBEL_TEST_BROKER"]
FOREVER = 300.0

app = Umbel("limit_tasks", broker=BROKER, backend=os.environ.get("UMBEL_TEST_BACKEND", BROKER))


@app.task
def loop() -> None:
    """Compute for ever."""
    while True:
        pass


@app.task
def sleep(seconds: float = FOREVER) -> int:
    """Wait in C."""
    time.sleep(seconds)
    return os.getpid()


@app.task
def backtrack() -> bool:
    """Hold the GIL in C for ages."""
    return bool(re.match(r"(a+)+$", "a" * 60 + "b"))


@app.task
def deny() -> None:
    """Take no exception for an answer."""
    while True:
        try:
            time.sleep(0.001)
        except BaseException:  # noqa: BLE001, S112 - as careless code does
            continue


@app.task
async def block() -> None:
    """Block the event loop."""
    time.sleep(FOREVER)  # noqa: ASYNC251 - as careless code does


@app.task
async def cling() -> None:
    """Swallow each cancellation."""
    while True:
        try:
            await asyncio.sleep(FOREVER)
        except asyncio.CancelledError:
            continue


@app.task
def run(path: str) -> None:
    """Wait for a process of its own, whose id it writes down."""
    program = f"import os, time; open({path!r}, 'w').write(str(os.getpid())); time.sleep({FOREVER})"
    subprocess.run([sys.executable, "-c", program], check=False)


@app.task
def fork(path: str) -> None:
    """Fork, and let both go on for ever."""
    if os.fork() == 0:
        with open(path, "w") as file:  # noqa: PTH123
            file.write(str(os.getpid()))
    time.sleep(FOREVER)


@app.task
def fork_and_return() -> int:
    """Fork, and return in both."""
    os.fork()
    return os.getpid()


@app.task
async def wait(seconds: float = FOREVER) -> int:
    """Wait as a coroutine does."""
    await asyncio.sleep(seconds)
    return os.getpid()


@app.task(bind=True)
def counts(self: Context, seconds: float) -> list[int]:
    """Take *seconds*, then answer how often the job was retried and charged a crash."""
    time.sleep(seconds)
    return [self.request.retries, self.request.crashes]


@app.task
def clean_up() -> str:
    """Return something at the soft limit."""
    try:
        while True:
            time.sleep(0.005)
    except SoftTimeLimitExceeded:
        return "cleaned up"


@app.task
async def aclean_up() -> str:
    """Return something at the soft limit."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(FOREVER))
    except SoftTimeLimitExceeded:
        return "cleaned up"
    return "not reached"


@app.task(runner="process")
def isolated(what: str = "", path: str = "") -> int:
    """Do *what* in a process of its own, for ever."""
    if what == "deny":
        deny.run()
    elif what == "run":
        run.run(path)
    elif what == "fork":
        fork.run(path)
    elif what == "backtrack":
        backtrack.run()
    elif what == "die":
        os.kill(os.getpid(), 11)
    return os.getpid()


def failed(_: object, error: Exception, task_id: str, args: list[str], *rest: object) -> None:
    """Write down, in the file that the job was given, what it has failed with."""
    del task_id, rest
    with open(args[0], "w") as file:  # noqa: PTH123
        file.write(type(error).__name__)


@app.task(on_failure=failed)
def told(path: str) -> None:
    """Go on for ever, and have it written down when that was the end."""
    deny.run()
    del path


@app.task(runner="process", on_failure=failed)
def isolated_told(path: str) -> None:
    """The same in a process of its own."""
    deny.run()
    del path


@app.task(bind=True, runner="process")
def heed(self: Context, path: str, temper: str) -> str:
    """Write down that it has begun, and go on until it is revoked; if its *temper* is "deaf", then, too."""
    with open(path, "w") as file:  # noqa: PTH123
        file.write("begun")
    if temper == "deaf":
        deny.run()
    while not self.request.revoked:
        time.sleep(0.01)
    return "left"


@app.task(bind=True, runner="process", memory_limit=2**40)
def leave_a_copy(self: Context, path: str) -> None:
    """Fork and return. The copy writes down its id, and what it hears when it speaks of the job, and goes on."""
    if os.fork() == 0:
        with contextlib.suppress(LeaseLost):
            self.update_state(state="COPIED")
            path += " was heard"
        with open(f"{path}.part", "w") as file:  # noqa: PTH123
            file.write(str(os.getpid()))
        os.rename(f"{path}.part", path)  # noqa: PTH104
        time.sleep(FOREVER)
    while not os.path.exists(path):  # noqa: PTH110
        time.sleep(0.01)


@app.task(runner="process")
async def aisolated(seconds: float) -> int:
    """Wait in a process of its own."""
    await asyncio.sleep(seconds)
    return os.getpid()


@app.task(runner="process", memory_limit=200 * 1024**2)
def hoard() -> int:
    """Take more and more memory."""
    taken = []
    while True:
        taken.append(bytearray(b"x" * 1024**2))
        time.sleep(0.002)
