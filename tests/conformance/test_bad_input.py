"""What a wrong URL, password, database or server comes to at the start: an error with its cure and no password."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers import Server
from umbel import brokers, stores
from umbel.contracts.broker import Beat
from umbel.exceptions import BackendError, BrokerError, BrokerUnavailable, ImproperlyConfigured
from umbel.model.ids import new_session
from umbel.settings import Settings
from umbel.stores.trial import try_out

ROOT = Path(__file__).parents[2]
PASSWORD = "hunter2"
PATIENT, IMPATIENT = 20.0, 2.0
"""Seconds: what is refused is told at once, and so a busy machine may take its time; silence is waited for."""

Address = Callable[[str], str]


async def opened(url: str, backend: str = "", deadline: float = PATIENT) -> None:
    """What a worker does first: open a session."""
    settings = limited(deadline)
    settings.update(broker_url=url, result_backend=backend)
    broker = brokers.connect(url, settings)
    try:
        await broker.heartbeat([Beat(new_session())], ["q"], 10.0, opening=True)
    finally:
        await broker.aclose()
        broker.close()


async def tried(url: str, deadline: float = PATIENT) -> None:
    """What a worker does before: try the result store."""
    settings = limited(deadline)
    store = stores.connect(url, settings)
    try:
        await try_out(store, settings)
    finally:
        await store.aclose()
        store.close()


@pytest.fixture
def address(
    redis_server: Server,
    postgres_server: Server,
    rabbitmq_server: Server,
    mariadb_server: Server,
    objects_server: Server,
) -> Address:
    """Fills the ports of the servers, and the name of the bucket, into a text."""
    servers = {
        "redis": redis_server, "postgres": postgres_server, "rabbitmq": rabbitmq_server, "mariadb": mariadb_server,
        "objects": objects_server,
    }  # fmt: skip
    for server in servers.values():
        server.ensure_running()
    return lambda text: text.format(**{name: f"127.0.0.1:{server.port}" for name, server in servers.items()})


BOTH = [
    ("redis://u:hunter2@{redis}/0", "WRONGPASS.*: correct user and password"),
    ("redis://{redis}/99", "out of range: the server has fewer databases"),
    ("redis+cluster://{redis}/0", "it is no Cluster: write redis://"),
    ("redis+sentinel://{redis}/main/0", "it is no Sentinel: name the Sentinels"),
    ("postgresql://postgres:hunter2@{postgres}/postgres", "password authentication failed.*: correct the URL"),
    ("postgresql://postgres@{postgres}/postgres", "no password supplied: correct the URL"),
    ("postgresql://postgres:a%20secret%20%2F%20of%20tests@{postgres}/none", '"none" does not exist: correct the URL'),
    ("postgresql://postgres:hunter2@{postgres}/postgres?sslmode=require", "does not support SSL.*: correct the URL"),
]
BROKERS = [
    ("amqp://guest:hunter2@{rabbitmq}/", "ACCESS_REFUSED.*: correct user and password"),
    ("amqp://guest:guest@{rabbitmq}/none", "vhost none not found: correct the virtual host"),
]
STORES = [
    ("db+postgresql://postgres:hunter2@{postgres}/postgres", "password authentication failed.*: correct the URL"),
    ("db+postgresql://postgres:hunter2@{postgres}/postgres?sslmode=require", "does not support SSL.*: correct the URL"),
    ("db+mysql://umbel:hunter2@{mariadb}/umbel", "Access denied.*: correct the URL"),
    ("db+mysql://umbel:secret@{mariadb}/none", "none.*: correct the URL"),
    (
        "s3://none/p?endpoint=http://{objects}&region=r&access_key_id=a&secret_access_key=hunter2",
        "there is no such bucket: make it, or correct the URL",
    ),
]


@pytest.mark.parametrize(("url", "said"), [*BOTH, *BROKERS])
async def test_a_wrong_broker_is_told_with_its_cure(address: Address, redis_url: str, url: str, said: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=said) as refused:
        await opened(address(url), redis_url)
    assert isinstance(refused.value, BrokerError)  # a worker that met it earlier goes on when it is cured
    check(refused.value)


@pytest.mark.parametrize(("url", "said"), [*BOTH, *STORES])
async def test_a_wrong_result_store_is_told_with_its_cure(address: Address, url: str, said: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=said) as refused:
        await tried(address(url))
    assert isinstance(refused.value, BackendError)
    check(refused.value)


async def test_wrong_claims_are_told_like_a_wrong_broker(address: Address) -> None:
    with pytest.raises(ImproperlyConfigured, match="correct user and password") as refused:
        await opened(address("amqp://{rabbitmq}/"), address("redis://u:hunter2@{redis}/0"))
    check(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://u:hunter2@{postgres}/0",
        "rediss://u:hunter2@{redis}/0",
        "postgresql://u:hunter2@{redis}/x",
        "amqp://u:hunter2@{redis}/",
    ],
)
async def test_a_server_of_another_kind_is_told_by_its_address(address: Address, redis_url: str, url: str) -> None:
    with pytest.raises(BrokerError, match=re.escape(address(url).replace(PASSWORD, "***"))) as refused:
        await opened(address(url), redis_url, IMPATIENT)
    check(refused.value)


async def test_an_object_store_that_is_not_there_is_told_by_its_address() -> None:
    with pytest.raises(BrokerUnavailable, match=r"^s3://b\?endpoint=http://127.0.0.1:1") as refused:
        await tried("s3://b?endpoint=http://127.0.0.1:1&access_key_id=a&secret_access_key=hunter2", IMPATIENT)
    check(refused.value)


def limited(deadline: float) -> Settings:
    """Settings with which a call ends after *deadline* seconds."""
    return Settings(broker_send_deadline=deadline, broker_connection_timeout=deadline)


def check(error: Exception) -> None:
    """See that *error* is one line without a password."""
    text = str(error)
    assert "\n" not in text
    assert PASSWORD not in text
    assert "secret / of" not in text


WITHOUT_DRIVERS = """
import sys
from umbel import brokers, claims, stores
from umbel.exceptions import ImproperlyConfigured
from umbel.settings import Settings
for driver in ("hiredis", "psycopg", "pamqp", "sqlalchemy", "obstore"):
    sys.modules[driver] = None
for room in (brokers, claims, stores):
    for scheme in room.BUILT_IN:
        if scheme not in ("memory", "sqlite", "disabled"):
            try:
                room.connect(f"{scheme}://user:hunter2@host/x", Settings())
            except ImproperlyConfigured as error:
                print(f"{scheme}\\t{error}")
            else:
                print(f"{scheme}\\tconnects")
"""


def test_a_missing_package_names_the_extra_that_brings_it() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_DRIVERS], check=True, capture_output=True, text=True)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    told = dict(line.split("\t") for line in done.stdout.splitlines())
    assert {"redis", "postgresql", "amqp", "db+mysql", "s3", "file", "redis+cluster"} <= told.keys()
    for scheme, text in told.items():
        found = re.search(r"needs the package '(\w+)': pip install 'umbel\[(\w+)\]'", text)
        assert found is not None, (scheme, text)
        package, extra = found.groups()
        assert any(each.startswith(package) for each in extras[extra]), (scheme, text)
    assert PASSWORD not in done.stdout + done.stderr
