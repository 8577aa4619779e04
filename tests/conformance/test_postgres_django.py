"""Django's own connection as ``connection=``: jobs come with the commit of ``atomic()``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

import django  # type: ignore[import-untyped]
import psycopg
import pytest
from django.conf import settings  # type: ignore[import-untyped]
from django.db import connection as django_connection  # type: ignore[import-untyped]
from django.db import connections, transaction
from django.db.backends.postgresql.base import DatabaseWrapper  # type: ignore[import-untyped]
from django.db.utils import ConnectionHandler  # type: ignore[import-untyped]

from tests.patient import UNHURRIED
from umbel import Umbel
from umbel.exceptions import ImproperlyConfigured

ALIAS = "default"
atomic: Any = transaction.atomic
READY = "select count(*) from umbel.job"


@pytest.fixture
def app(postgres_url: str) -> Iterator[Umbel]:
    with Umbel("django", broker=postgres_url, changes=UNHURRIED, set_as_current=False) as made:
        yield made


@pytest.fixture
def add(app: Umbel) -> Any:
    @app.task(name="add")
    def add(x: int, y: int = 0) -> int:
        return x + y

    return add


@pytest.fixture
def connection(postgres_url: str) -> Iterator[Any]:
    """What ``from django.db import connection`` gives, on the database of the jobs."""
    if not settings.configured:
        settings.configure(USE_TZ=True, TIME_ZONE="UTC", LOGGING_CONFIG=None)
        django.setup()
    url = urlsplit(postgres_url)
    place = {"HOST": url.hostname, "PORT": url.port, "NAME": url.path[1:]}
    who = {"USER": unquote(url.username or ""), "PASSWORD": unquote(url.password or "")}
    handler: Any = ConnectionHandler({ALIAS: {"ENGINE": "django.db.backends.postgresql", **place, **who}})
    connections[ALIAS] = DatabaseWrapper(handler.settings[ALIAS], ALIAS)
    yield django_connection
    connections[ALIAS].close()
    del connections[ALIAS]


def ready(postgres_url: str) -> int:
    """How many jobs others see."""
    with psycopg.connect(postgres_url) as other:
        (found,) = other.execute(READY).fetchone() or (0,)
        return int(found)


def test_jobs_come_with_the_commit_of_an_atomic_block(app: Umbel, add: Any, connection: Any, postgres_url: str) -> None:
    with atomic():
        handle = add.apply_async((1, 2), connection=connection)
        app.send_many([add.call(1), add.call(2, 3)], connection=connection)
        assert ready(postgres_url) == 0
        assert handle.state == "PENDING"
    assert ready(postgres_url) == 3


def test_jobs_of_a_block_that_is_undone_never_come(app: Umbel, add: Any, connection: Any, postgres_url: str) -> None:
    def undone() -> None:
        with atomic():
            add.apply_async((1, 2), connection=connection)
            raise ZeroDivisionError

    add.delay(0)
    with pytest.raises(ZeroDivisionError):
        undone()
    with atomic():
        with pytest.raises(ZeroDivisionError):
            undone()  # a block within a block is a savepoint
        add.apply_async((5, 6), connection=connection)
    assert ready(postgres_url) == 2


def test_outside_of_a_block_it_is_refused(app: Umbel, add: Any, connection: Any, postgres_url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="no open transaction"):
        add.apply_async((1, 2), connection=connection)
    assert ready(postgres_url) == 0
