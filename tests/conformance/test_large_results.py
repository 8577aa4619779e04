"""Large results by reference: the specification of a store, and real workers with and without a store of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.patient import UNHURRIED
from umbel import Umbel
from umbel.contracts.powers import Record
from umbel.engines.memory import Space
from umbel.exceptions import BackendError, ImproperlyConfigured
from umbel.model.ids import new_session
from umbel.settings import Settings
from umbel.stores import connect
from umbel.stores.large import LargeRecords, is_reference
from umbel.stores.memory import MemoryStore
from umbel.stores.referring import ReferringStore
from umbel.testing import ResultStoreConformance, worker
from umbel.testing.conformance.eventually import eventually

QUEUE = "default"
SECONDS = 60.0
LIMIT = 1000


class TestStore(ResultStoreConformance):
    """Every record of more than two bytes is large here."""

    settings: Settings
    space: Space

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.space = Space()
        self.settings = Settings()
        self.settings.result_object_store = f"file://{tmp_path}/large"
        self.settings.result_inline_max_bytes = 2

    def make(self, clock: Callable[[], float]) -> ReferringStore:
        return ReferringStore(MemoryStore(self.space, clock), LargeRecords(self.settings, clock))

    async def test_the_store_itself_holds_a_reference(self) -> None:
        inner = MemoryStore(self.space, self.clock)
        await self.put("large", b"value")
        await self.put("small", b"v")
        assert is_reference(inner.fetch("large", None))
        assert inner.fetch("small", None) == b"v"

    async def test_the_object_is_forgotten_with_the_record(self, tmp_path: Path) -> None:
        await self.put("1", b"value")
        await self.put("2", b"value")
        assert len(names_in(tmp_path / "large")) == 2
        self.store.forget("1", None)
        await self.store.aforget("2", None)
        assert names_in(tmp_path / "large") == []

    async def test_an_object_that_is_gone_is_told(self, tmp_path: Path) -> None:
        await self.put("job", b"value")
        for name in names_in(tmp_path / "large"):
            (tmp_path / "large" / name).unlink()
        with pytest.raises(BackendError, match="the object of a large result is gone"):
            self.store.fetch("job", None)
        with pytest.raises(BackendError, match="the object of a large result is gone"):
            await self.store.awatch("job", None, 1.0)

    async def test_a_record_that_was_refused_changes_no_object(self) -> None:
        await self.put("job", b"first")
        await self.put("job", b"second")
        assert await self.store.afetch("job", None) == b"first"


def names_in(folder: Path) -> list[str]:
    """The names of what is in *folder*, hidden ones excepted."""
    return sorted(each.name for each in folder.glob("[!.]*"))


@pytest.fixture(params=["sqlite", "redis", "memory", "sqlite and files", "redis and sqlite"])
async def app(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Umbel]:
    """An app with an object store for large results; broker and results are in one engine, or in two."""
    urls = {
        "sqlite": f"sqlite:///{tmp_path}/jobs.db",
        "files": f"file://{tmp_path}/results",
        "memory": f"memory://{new_session()}",
    }
    jobs, _, results = request.param.partition(" and ")
    broker = str(request.getfixturevalue("redis_url")) if jobs == "redis" else urls[jobs]
    app = Umbel(
        "large", broker=broker, backend=urls[results] if results else None, changes=UNHURRIED, set_as_current=False
    )
    app.conf.result_object_store = f"file://{tmp_path}/large"
    app.conf.result_inline_max_bytes = LIMIT
    yield app
    await app.aclose()
    app.close()


async def test_large_and_small_results_arrive(app: Umbel, tmp_path: Path) -> None:
    @app.task
    def repeat(number: int) -> str:
        return "x" * number

    with worker(app):
        small, large, larger = [await repeat.adelay(number) for number in (10, 2000, 500_000)]
        assert (await small, await large, await larger) == ("x" * 10, "x" * 2000, "x" * 500_000)
        assert repeat.delay(3000).get(SECONDS) == "x" * 3000
    assert len(names_in(tmp_path / "large")) == 3
    assert app.AsyncResult(large.id).state == "SUCCESS"
    assert await app.AsyncResult(larger.id).aget(SECONDS) == "x" * 500_000


def test_an_object_store_of_another_kind_is_refused() -> None:
    settings = Settings()
    settings.result_object_store = "redis://localhost"
    with pytest.raises(ImproperlyConfigured, match="no object store knows the URL scheme 'redis'"):
        connect("memory://", settings)


async def test_objects_that_have_expired_are_deleted_from_a_folder(tmp_path: Path) -> None:
    now = 1000.0
    settings = Settings()
    settings.result_object_store = f"file://{tmp_path}"
    settings.result_inline_max_bytes = 1
    await LargeRecords(settings, lambda: now).stow([Record("old", QUEUE, b"value", 1.0)])
    later = LargeRecords(settings, lambda: now + 1.0)
    (record,) = await later.stow([Record("new", QUEUE, b"value", 1.0)])
    await eventually(lambda: [name.partition("=")[0] for name in names_in(tmp_path)] == ["new"])
    assert later.read(record.value) == b"value"
