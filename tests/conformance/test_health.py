"""Each engine tells how it stands with its server, and the worst of it with a cure."""

from __future__ import annotations

from pathlib import Path

import apsw

from tests.patient import PATIENT
from umbel import brokers, stores
from umbel.contracts.examiner import Examiner
from umbel.model.finding import Finding
from umbel.model.job import Job
from umbel.settings import Settings

QUEUE = "q"


async def examined(url: str, backend: str = "", *, thorough: bool = False) -> dict[str, Finding]:
    settings = Settings(broker_url=url, result_backend=backend)
    broker = brokers.connect(url, settings)
    assert isinstance(broker, Examiner)
    try:
        return {each.name: each for each in await broker.examine(thorough=thorough)}
    finally:
        await broker.aclose()
        broker.close()


async def test_postgresql_tells_what_a_power_failure_costs(postgres_url: str) -> None:
    found = await examined(postgres_url)
    assert {"version", "durability", "tables", "rows", "connections", "clock"} <= set(found)
    assert found["durability"].advice.endswith("set fsync to on")  # that is how the servers of tests are quick
    assert [each.name for each in found.values() if each.advice] == ["durability"]


async def test_a_pooler_is_noticed(pgbouncer_url: str) -> None:
    around = (await examined(pgbouncer_url))["pooler"]
    through = (await examined(pgbouncer_url.partition("?")[0]))["pooler"]
    assert (around.advice, "add ?listen=" in through.advice) == ("", True)


async def test_rabbitmq_tells_of_itself_and_of_its_claims(rabbitmq_url: str, redis_url: str) -> None:
    found = await examined(rabbitmq_url, redis_url)
    assert found["version"].value.startswith("3.")
    assert found["publishing"].value == "confirmed"
    assert found["claims: version"].value


async def test_sqlite_checks_every_page_only_when_it_is_asked_to(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/umbel.db"
    assert "integrity" not in await examined(url)
    found = await examined(url, thorough=True)
    assert found["integrity"].value == "checked, sound"
    assert found["durability"].value == "disk, write-ahead log"


async def test_a_damaged_sqlite_file_is_called_broken(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/umbel.db"
    broker = brokers.connect(url, PATIENT)
    broker.send([Job("1", QUEUE, b"")])
    broker.close()
    with_wrong_index(tmp_path / "umbel.db")
    found = (await examined(url, thorough=True))["integrity"]
    assert "missing from index job_dead" in found.value
    assert found.broken
    assert "restore a backup" in found.advice


def with_wrong_index(path: Path) -> None:
    """Have the index of dead letters say that it holds ready jobs."""
    file = apsw.Connection(str(path))
    file.execute("pragma writable_schema = on")
    file.execute("update sqlite_schema set sql = replace(sql, 'state = 2', 'state = 0') where name = 'job_dead'")
    file.close()


async def stored(url: str) -> dict[str, Finding]:
    store = stores.connect(url, PATIENT)
    assert isinstance(store, Examiner)
    try:
        return {each.name: each for each in await store.examine(thorough=True)}
    finally:
        await store.aclose()
        store.close()


async def test_mariadb_tells_of_itself(mariadb_url: str) -> None:
    found = await stored(mariadb_url)
    assert found["version"].value.startswith("mariadb 1")
    assert {"durability", "clock"} <= set(found)
    assert not [each for each in found.values() if each.broken]


async def test_postgresql_as_a_sql_database_tells_of_itself(postgres_results_url: str) -> None:
    found = await stored(postgres_results_url)
    assert found["version"].value.startswith("postgresql 1")
    assert found["durability"].advice.startswith("fsync is off")


async def test_an_object_store_tells_of_its_clock_and_keeps_nothing(objects_url: str, tmp_path: Path) -> None:
    assert (await stored(objects_url))["clock"].advice == ""
    found = await stored(f"file://{tmp_path}/results")
    assert {"kind", "free space", "clock"} == set(found)
    assert [path.name for path in (tmp_path / "results").iterdir() if not path.name.startswith(".")] == []
