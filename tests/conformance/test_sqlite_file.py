"""What is said when the file cannot be used: which file, which setting, what to do."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Protocol

import apsw
import pytest

from tests.patient import PATIENT
from tests.servers import Disk
from umbel import brokers, stores
from umbel.brokers.sqlite import SqliteBroker
from umbel.engines import sqlite_file
from umbel.engines.sqlite_file import APPLICATION_ID, SCHEMA_VERSION, File
from umbel.exceptions import BackendError, BrokerError, BrokerFull, BrokerUnavailable, ImproperlyConfigured
from umbel.model.job import Job
from umbel.settings import Settings


class Connect(Protocol):
    def __call__(self, path: str | Path, deadline: float = 30.0) -> SqliteBroker: ...


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "umbel.db"


@pytest.fixture
def connect() -> Iterator[Connect]:
    made: list[SqliteBroker] = []

    def make(path: str | Path, deadline: float = 30.0) -> SqliteBroker:
        made.append(SqliteBroker(File(f"sqlite:///{path}", "broker_url", deadline)))
        return made[-1]

    yield make
    for broker in made:
        broker.close()


def job(job_id: str = "job", size: int = 10) -> Job:
    return Job(job_id, "q", b"x" * size)


def test_nothing_is_opened_before_the_first_use(tmp_path: Path) -> None:
    brokers.connect(f"sqlite:///{tmp_path}/a.db", Settings())
    stores.connect(f"sqlite:///{tmp_path}/b.db", Settings())
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named_with_the_setting(connect: Connect, tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match=rf"broker_url: there is no folder {tmp_path}/missing "):
        connect(tmp_path / "missing" / "umbel.db").send([job()])


def test_a_folder_that_cannot_be_written_is_named_with_the_setting(connect: Connect) -> None:
    # Nobody may make files there, root included.
    with pytest.raises(ImproperlyConfigured, match=r"broker_url: cannot write .* in the folder /proc/self/task "):
        connect("/proc/self/task/umbel.db").send([job()])


def test_a_network_file_system_is_refused_before_anything_is_made(
    connect: Connect, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nfs = 0x6969
    monkeypatch.setattr(sqlite_file, "file_system", lambda _: nfs)
    with pytest.raises(ImproperlyConfigured, match=rf"broker_url: the folder {path.parent} is on NFS"):
        connect(path).send([job()])
    assert list(path.parent.iterdir()) == []


def test_file_systems_are_told_apart(mount: Callable[[int], Disk]) -> None:
    proc, tmpfs = 0x9FA0, 0x01021994
    assert sqlite_file.file_system(Path("/proc")) == proc
    assert sqlite_file.file_system(mount(1).path) == tmpfs


def test_the_store_names_its_own_setting() -> None:
    store = stores.connect("sqlite:////proc/self/task/umbel.db", Settings())
    with pytest.raises(ImproperlyConfigured, match="result_backend: cannot write"):
        store.fetch("job", None)


def test_a_file_that_is_no_database_is_left_alone(connect: Connect, path: Path) -> None:
    path.write_bytes(b"a diary, not a database\n" * 100)
    with pytest.raises(BrokerError, match=rf"{path} is damaged or no SQLite file"):
        connect(path).send([job()])
    assert path.read_bytes().startswith(b"a diary")


def test_a_damaged_file_is_an_error_that_says_what_to_do(connect: Connect, path: Path) -> None:
    broker = connect(path)
    broker.send([job(str(number), 1000) for number in range(200)])
    broker.close()
    with path.open("r+b") as file:
        for page in range(1, path.stat().st_size // 4096):
            file.seek(page * 4096)
            file.write(os.urandom(64))
    with pytest.raises(BrokerError, match=r"stop all workers, keep a copy .* \.recover"):
        connect(path).send([job("another")])
    with pytest.raises(BackendError, match="restore a backup"):
        stores.connect(f"sqlite:///{path}", PATIENT).fetch("1", None)


def test_the_database_of_another_program_is_refused(connect: Connect, path: Path) -> None:
    foreign = apsw.Connection(str(path))
    foreign.execute("create table thing(name)")
    foreign.close()
    with pytest.raises(ImproperlyConfigured, match="is the database of another program"):
        connect(path).send([job()])


def test_a_file_of_a_newer_version_is_refused(connect: Connect, path: Path) -> None:
    newer = apsw.Connection(str(path))
    newer.pragma("application_id", APPLICATION_ID)
    newer.pragma("user_version", SCHEMA_VERSION + 1)
    newer.close()
    with pytest.raises(ImproperlyConfigured, match="made by a newer Umbel"):
        connect(path).send([job()])


def test_a_file_of_the_first_version_is_brought_up_to_date(connect: Connect, path: Path) -> None:
    schema = files("umbel.engines").joinpath("sqlite_schema")
    older = apsw.Connection(str(path))
    older.execute(schema.joinpath("0001_first.sql").read_text())
    older.pragma("application_id", APPLICATION_ID)
    older.pragma("user_version", 1)
    older.close()
    connect(path).send([job()])
    assert apsw.Connection(str(path)).pragma("user_version") == SCHEMA_VERSION == len(list(schema.iterdir()))


def test_a_full_disk_refuses_jobs_and_loses_none(connect: Connect, path: Path) -> None:
    broker = connect(path)
    broker.send([job("before")])
    limit = "pragma max_page_count = "
    broker._engine.call(lambda connection: connection.execute(limit + "40"))
    with pytest.raises(BrokerFull, match=rf"no space is left for {path}"):
        broker.send([job("big", 500_000)])
    assert (broker.locate("before", None).place, broker.locate("big", None).place) == ("ready", "unknown")
    broker._engine.call(lambda connection: connection.execute(limit + "1000000"))
    broker.send([job("big", 500_000)])
    assert broker.locate("big", None).place == "ready"


def test_a_send_waits_for_another_writer_no_longer_than_its_deadline(connect: Connect, path: Path) -> None:
    slow, patient, hasty = connect(path), connect(path), connect(path, deadline=0.2)
    inside, leave = threading.Event(), threading.Event()

    def dawdle(_: object) -> None:
        inside.set()
        assert leave.wait(60)

    slow.send([job("first")])
    blocking = threading.Thread(target=lambda: slow._engine.call(dawdle))
    blocking.start()
    assert inside.wait(60)
    with pytest.raises(BrokerUnavailable, match=r"was locked by another process for 0\.2 s"):
        hasty.send([job("hasty")])
    waiting = threading.Thread(target=lambda: patient.send([job("patient")]))
    waiting.start()
    leave.set()
    waiting.join(60)
    blocking.join(60)
    assert (hasty.locate("patient", None).place, hasty.locate("hasty", None).place) == ("ready", "unknown")


def test_a_file_that_was_moved_away_is_written_no_more(connect: Connect, path: Path) -> None:
    broker = connect(path)
    broker.send([job("old")])
    for each in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        each.rename(f"{each}.old")
    broker.send([job("new")])
    assert connect(path).locate("new", None).place == "ready"


async def test_one_bad_step_fails_alone(connect: Connect, path: Path) -> None:
    broker = connect(path)
    broker.send([job("first")])
    inside, leave = threading.Event(), threading.Event()

    def dawdle(_: object) -> None:
        inside.set()
        assert leave.wait(60)

    def fail(_: object) -> None:
        raise RuntimeError("a bad step")

    slow = broker._engine.submit(dawdle)
    assert inside.wait(60)
    bad = broker._engine.submit(fail)  # these wait for the slow one, so they share a transaction
    good = broker._engine.submit(lambda connection: connection.execute("pragma user_version").fetchall())
    leave.set()
    await slow
    with pytest.raises(RuntimeError, match="a bad step"):
        await bad
    assert await good == [(SCHEMA_VERSION,)]
