"""Children that die within a write: each runs one scenario on a SQLite file of its own and dies in another write.

``python -m tests.conformance.sqlite_nursery FOLDER STRIDE``: every STRIDE-th write has its child. Who dies in the n-th
has the file FOLDER/n/umbel.db; what was acknowledged to it is in FOLDER/n/told. The last child finds no write to die
in, and lives to the end of the scenario. With a third word, ``careless``, the files are without the log that makes a
transaction whole.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import apsw

from umbel.brokers.sqlite import connect  # here, once, and not in each child
from umbel.contracts.broker import Beat, Settlement
from umbel.engines import sqlite, sqlite_file
from umbel.model.ids import new_session
from umbel.model.job import Counts, Job
from umbel.settings import Settings

QUEUE = "q"
LEASE = 60.0
DIED = 9


class Dying(apsw.VFS):
    """The usual files, but *writes* writes from now on the process dies, in the middle of it."""

    def __init__(self, writes: int) -> None:
        self.left = writes
        super().__init__("dying", "unix", makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's
        """Open a file that counts what is written."""
        return Counted(self, name, flags)


class Counted(apsw.VFSFile):
    """A file whose writes are counted."""

    def __init__(self, disk: Dying, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._disk = disk
        super().__init__("unix", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        """Write all of it, or half of it and no more."""
        self._disk.left -= 1
        if self._disk.left > 0:
            super().xWrite(data, offset)
            return
        super().xWrite(data[: len(data) // 2], offset)
        os._exit(DIED)


def run(folder: Path, writes: int) -> int:
    """Be a child that dies in the write number *writes*, if there are so many; answers its exit code."""
    folder.mkdir()
    told = os.open(folder / "told", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    pid = os.fork()
    if pid == 0:
        disk = Dying(writes)
        asyncio.run(scenario(f"sqlite:///{folder}/umbel.db", told))
        assert disk.left > 0
        os._exit(0)
    os.close(told)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


async def scenario(url: str, told: int) -> None:
    """Send, receive, settle in each way, and write down what was acknowledged."""

    def tell(*words: str) -> None:
        os.write(told, (" ".join(words) + "\n").encode())

    broker = connect(url, Settings(broker_url=url, broker_send_deadline=60.0))
    session = new_session()
    for batch in (["a", "b", "c"], ["d", "e"]):
        await broker.asend([Job(each, QUEUE, each.encode() * 100) for each in batch])
        tell("sent", *batch)
        await broker.heartbeat([Beat(session)], [QUEUE], LEASE, opening=batch[0] == "a")
        first, *others = await broker.receive(session, [QUEUE], 3, wait=0)
        await broker.settle(session, [Settlement(first, "end", record=first.id.encode(), ttl=3600.0)])
        tell("ended", first.id)
        retry, *held = others
        follow_up = Job(f"{retry.id}-next", QUEUE, b"")
        await broker.settle(session, [Settlement(retry, "retry", counts=Counts(retries=1), follow_ups=(follow_up,))])
        tell("sent", follow_up.id)
        await broker.settle(session, [Settlement(each, "release") for each in held])
    await broker.aclose()


def be_careless() -> None:
    """Have every file opened from now on without a log."""
    usual = sqlite_file.prepare

    def prepare(connection: apsw.Connection) -> None:
        usual(connection)
        connection.pragma("journal_mode", "delete")
        connection.pragma("journal_mode", "off")

    sqlite_file.prepare = prepare
    setattr(sqlite.Lane, "_sync", lambda _: None)  # noqa: B010 - to type checkers it is a method


def main(folder: Path, stride: int) -> None:
    """Run children until one lives."""
    writes = 1
    while (code := run(folder / str(writes), writes)) == DIED:
        writes += stride
    sys.exit(code)


if __name__ == "__main__":
    if sys.argv[3:] == ["careless"]:
        be_careless()
    main(Path(sys.argv[1]), int(sys.argv[2]))
