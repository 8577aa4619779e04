"""Fixtures for all tests: private servers, and which tests keep out of each other's way."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.servers import Redis, Server, Service
from tests.servers.redis import flush

SYSTEM = Path(__file__).parent / "system"

# Tests run beside each other on few cores: how long one example takes says nothing.
settings.register_profile("umbel", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("umbel")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let system tests and those marked `quiet` run one after the other under `-n 2 --dist loadgroup`."""
    for item in items:
        if item.path.is_relative_to(SYSTEM) or item.get_closest_marker("quiet"):
            item.add_marker(pytest.mark.xdist_group("quiet"))


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
def launch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Service], Server]]:
    """Start servers for one test alone: `launch(Redis(appendonly="always"))`; they end with the test."""
    with ExitStack() as stack:

        def start(service: Service) -> Server:
            server = Server(service, tmp_path_factory.mktemp(service.name))
            stack.callback(server.close)
            return server.start()

        yield start
