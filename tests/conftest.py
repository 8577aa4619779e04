"""Fixtures for all tests: private servers."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import mkdtemp
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, settings

from tests.order import dealt
from tests.servers import (
    Disk,
    MariaDB,
    Objects,
    PgBouncer,
    Postgres,
    RabbitMQ,
    Redis,
    Server,
    Service,
    mariadb,
    objects,
    postgres,
    rabbitmq,
)
from tests.servers.redis import flush
from umbel.testing.conformance.stage import OTHER, QUEUE

# Tests run beside each other on few cores: how long one example takes says nothing.
settings.register_profile("umbel", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("umbel")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Have long tests run first when several processes share them."""
    processes = int(getattr(config, "workerinput", {}).get("workercount", 1))
    if processes > 1:
        items[:] = dealt(items, lambda item: item.nodeid.partition("::")[0], processes)


@pytest.fixture(autouse=True)
def _own_environment() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]
    """A command that is run in this process tells its children by the environment: not the next test."""
    before = _settings()
    yield
    for name in _settings():
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(scope="session", autouse=True)
def _patient_history() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]
    """A read that a busy machine holds up is not given up, and no count broken off: who asks for that says so."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("umbel.history.history.READ_SECONDS", 60.0)
        patch.setattr("umbel.history.search.COUNTING_SECONDS", 60.0)
        yield


def _settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("UMBEL_")}


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One Redis for the whole run, without persistence; a test that kills or pauses it need not repair it."""
    server = Server(Redis(), tmp_path_factory.mktemp("redis")).start()
    yield server
    server.close()


@pytest.fixture
def redis_url(redis_server: Server) -> str:
    """The address of `redis_server`, empty."""
    redis_server.ensure_running()
    flush(redis_server.port)
    return redis_server.url


@pytest.fixture
def postgres_results_url(postgres_server: Server, postgres_admin: postgres.Admin) -> str:
    """The address of `postgres_server` as a result store for SQL databases, without its tables."""
    postgres_server.ensure_running()
    postgres_admin.drop_results()
    return f"db+{postgres_server.url}"


@pytest.fixture(scope="session")
def mariadb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One MariaDB for the whole run; a test that kills or pauses it need not repair it."""
    server = Server(MariaDB(), tmp_path_factory.mktemp("mariadb")).start()
    yield server
    server.close()


@pytest.fixture
def mariadb_url(mariadb_server: Server) -> str:
    """The address of `mariadb_server` as a result store, its database empty."""
    mariadb_server.ensure_running()
    mariadb.empty(mariadb_server.url)
    return mariadb_server.url


@pytest.fixture(scope="session")
def objects_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One object store for the whole run; a test that kills or pauses it need not repair it."""
    server = Server(Objects(), tmp_path_factory.mktemp("objects")).start()
    yield server
    server.close()


@pytest.fixture
def objects_url(objects_server: Server) -> str:
    """The address of a bucket of `objects_server` as a result store, empty."""
    objects_server.ensure_running()
    objects.empty(objects_server.port)
    return objects_server.url


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One PostgreSQL for the whole run; a test that kills it need not repair it."""
    server = Server(Postgres(("fsync = off",)), tmp_path_factory.mktemp("postgres")).start()
    yield server
    server.close()


@pytest.fixture(scope="session")
def postgres_admin(postgres_server: Server) -> Iterator[postgres.Admin]:
    """Who empties `postgres_server`."""
    admin = postgres.Admin(postgres_server.url)
    yield admin
    admin.close()


@pytest.fixture
def postgres_url(postgres_server: Server, postgres_admin: postgres.Admin) -> str:
    """The address of `postgres_server`, empty."""
    postgres_server.ensure_running()
    postgres_admin.empty()
    return postgres_server.url


@pytest.fixture(scope="session")
def pgbouncer_server(postgres_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A pgbouncer in transaction mode in front of `postgres_server`."""
    server = Server(PgBouncer(postgres_server.port), tmp_path_factory.mktemp("pgbouncer")).start()
    yield server
    server.close()


@pytest.fixture
def pgbouncer_url(pgbouncer_server: Server, postgres_url: str) -> str:
    """The address of the empty `postgres_server` through `pgbouncer_server`, and without it for those who listen."""
    pgbouncer_server.ensure_running()
    return f"{pgbouncer_server.url}?{urlencode({'listen': postgres_url})}"


@pytest.fixture(scope="session")
def rabbitmq_tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[rabbitmq.Tls]:
    """The way into `rabbitmq_server` over TLS."""
    tls = rabbitmq.Tls(tmp_path_factory.mktemp("certificates"))
    yield tls
    tls.close()


@pytest.fixture(scope="session")
def rabbitmq_server(tmp_path_factory: pytest.TempPathFactory, rabbitmq_tls: rabbitmq.Tls) -> Iterator[Server]:
    """One RabbitMQ for the whole run; a test that kills or pauses it need not repair it."""
    server = Server(RabbitMQ(rabbitmq_tls.config), tmp_path_factory.mktemp("rabbitmq")).start()
    yield server
    server.close()


@pytest.fixture
def rabbitmq_url(rabbitmq_server: Server) -> str:
    """The address of `rabbitmq_server`, empty."""
    rabbitmq_server.ensure_running()
    rabbitmq.empty(rabbitmq_server.port, ("default", QUEUE, OTHER))
    return rabbitmq_server.url


@pytest.fixture
def launch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Service], Server]]:
    """Start servers for one test alone: `launch(Redis(appendonly="always"))`; they end with the test."""
    with ExitStack() as stack:

        def start(service: Service) -> Server:
            server = Server(service, tmp_path_factory.mktemp(service.name))
            stack.callback(server.close)
            return server.start()

        yield start


@pytest.fixture
def mount() -> Iterator[Callable[[int], Disk]]:
    """Mount small disks for one test alone: `mount(16)` has 16 megabytes. Ask for it before `launch`."""
    with ExitStack() as stack:

        def make(megabytes: int) -> Disk:
            # Not in a folder of the tests: a server that is not root cannot enter those.
            return stack.enter_context(Disk(Path(mkdtemp(prefix="umbel-disk-")), megabytes))

        yield make
