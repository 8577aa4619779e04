"""Where RabbitMQ's claims are, by the URL of the result store; and what an app without one does."""

from __future__ import annotations

from pathlib import Path

import pytest

from umbel import Umbel, claims, stores
from umbel.app.connections import same_engine
from umbel.brokers import connect
from umbel.brokers.rabbitmq import HoldingBroker, PlainBroker, RabbitMQBroker
from umbel.claims.sql import connect_beside
from umbel.exceptions import BackendError, ImproperlyConfigured
from umbel.settings import Settings
from umbel.stores.nowhere import Nowhere


def settings_with(backend: str) -> Settings:
    settings = Settings()
    settings.update(broker_url="amqp://rabbit", result_backend=backend)
    return settings


@pytest.mark.parametrize(
    ("backend", "together"),
    [
        ("redis://host", True),
        ("redis+sentinel://one,two/jobs/0", True),
        ("redis+cluster://one,two", True),
        ("db+postgresql://user:secret@host/db", True),
        ("db+mysql://user:secret@host/db", True),
        ("db+sqlite:///results.db", True),
        ("postgresql://user:secret@host/db?listen=postgresql://other/db", False),
    ],
)
def test_a_store_that_can_hold_claims_holds_them(backend: str, together: bool) -> None:
    settings = settings_with(backend)
    holds_flows = not backend.startswith(("redis+sentinel://", "redis+cluster://"))
    assert type(connect("amqp://rabbit", settings)) is (HoldingBroker if holds_flows else RabbitMQBroker)
    assert same_engine(settings) is together


@pytest.mark.parametrize(
    "backend", ["file:///var/results", "s3://bucket/jobs", "sqlite:///x.db", "memory://", "disabled://"]
)
def test_any_other_store_leaves_rabbitmq_alone(backend: str) -> None:
    settings = settings_with(backend)
    assert isinstance(connect("amqp://rabbit", settings), PlainBroker)
    assert same_engine(settings) is (backend == "disabled://")


def test_every_scheme_of_claims_is_one_of_a_result_store() -> None:
    assert set(claims.BUILT_IN) <= set(stores.BUILT_IN)


def test_an_app_on_rabbitmq_without_a_backend_keeps_no_results() -> None:
    app = Umbel("alone", broker="amqp://rabbit")
    assert app.conf.result_backend == "disabled://"
    assert app.conf.task_ignore_result
    assert isinstance(app.store, Nowhere)


async def test_the_store_that_is_none_says_how_to_get_one() -> None:
    store = stores.connect("disabled://", Settings())
    assert store.fetch("job", None) is None
    assert await store.afetch("job", None) is None
    assert await store.put([]) == []
    assert await store.claim([]) == []
    with pytest.raises(BackendError, match="set result_backend"):
        store.watch("job", None, 1.0)
    with pytest.raises(BackendError, match="set result_backend"):
        await store.awatch("job", None, None)


def test_the_file_of_an_embedded_engine_holds_no_claims(tmp_path: Path) -> None:
    (tmp_path / "other.db.d").mkdir()
    with pytest.raises(ImproperlyConfigured, match="belongs to the embedded engine"):
        claims.connect(f"db+sqlite:///{tmp_path}/other.db", Settings())


def test_claims_beside_results_need_the_name_of_the_database() -> None:
    with pytest.raises(ImproperlyConfigured, match="names no database"):
        connect_beside("postgresql://user:secret@host", Settings())
