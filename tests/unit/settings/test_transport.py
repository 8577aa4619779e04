"""Celery's transport options: those of the URL, those that tune nothing, and those that are refused."""

from __future__ import annotations

from typing import Any

import pytest

from umbel import Settings
from umbel.app.connections import same_engine
from umbel.engines.address import broker_address, results_address
from umbel.engines.redis_address import parse
from umbel.exceptions import ImproperlyConfigured

SENTINELS = "sentinel://:pass@one:26379;sentinel://two:26379/3"
WATCHED = {"master_name": "main", "sentinel_kwargs": {"password": "watch"}}


def test_a_configuration_of_celerys_for_sentinel_is_understood() -> None:
    settings = Settings(broker_url=SENTINELS, broker_transport_options=WATCHED)
    address = parse(broker_address(SENTINELS, settings), timeout=1.0, connect_timeout=1.0)
    assert address.watch is not None
    assert (address.watch.service, address.watch.password) == ("main", "watch")
    assert address.watch.hosts == (("one", 26379), ("two", 26379))
    assert (address.password, address.db) == ("pass", 3)


def test_what_the_url_says_itself_wins() -> None:
    settings = Settings(broker_transport_options={"master_name": "main", "socket_keepalive": False})
    url = "redis+sentinel://one:26379?master_name=other"
    assert broker_address(url, settings) == f"{url}&socket_keepalive=false"
    assert broker_address("redis://one", Settings()) == "redis://one"


def test_results_at_the_url_of_the_broker_have_its_options_unless_they_have_others() -> None:
    settings = Settings(broker_url=SENTINELS, result_backend=SENTINELS, broker_transport_options=WATCHED)
    assert results_address(SENTINELS, settings) == broker_address(SENTINELS, settings)
    assert results_address("redis://elsewhere", settings) == "redis://elsewhere"
    assert same_engine(settings)
    settings.result_backend_transport_options = {"master_name": "other"}
    assert results_address(SENTINELS, settings).endswith("?master_name=other")
    assert not same_engine(settings)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"priority_steps": [0, 5]},
            r"broker_transport_options \(app\.conf\): priority_steps is not supported: .* 9 is the",
        ),
        ({"global_keyprefix": "x"}, "give each project a database"),
        ({"master_nam": "x"}, "master_nam is not an option: known are .*master_name"),
        ({"sentinel_kwargs": {"ssl": True}}, "sentinel_kwargs takes username and password only"),
        ({"sentinel_kwargs": "x"}, "sentinel_kwargs takes username and password only"),
        ("x", "expected"),
    ],
)
def test_an_option_that_is_not_understood_is_refused(options: Any, words: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=words):
        Settings().update(broker_transport_options=options)


def test_what_only_tunes_celery_is_accepted_and_listed() -> None:
    settings = Settings()
    settings.update(broker_transport_options={"visibility_timeout": 3600})
    assert settings.moot == ("broker_transport_options.visibility_timeout",)
    assert broker_address("amqp://host", settings) == "amqp://host"


def test_options_of_redis_are_refused_for_anything_else() -> None:
    settings = Settings(broker_transport_options={"master_name": "main"})
    with pytest.raises(ImproperlyConfigured, match=r"broker_transport_options: master_name is for Redis"):
        broker_address("amqp://host", settings)


def test_options_from_the_environment_are_json() -> None:
    settings = Settings()
    settings.assign({"broker_transport_options": '{"master_name": "main"}'}, "UMBEL_X", pinned=True, text=True)
    assert settings.broker_transport_options == {"master_name": "main"}
    with pytest.raises(ImproperlyConfigured, match=r"broker_transport_options \(UMBEL_X\) is no JSON object"):
        settings.assign({"broker_transport_options": "main"}, "UMBEL_X", text=True)


def test_a_password_in_options_is_not_printed() -> None:
    settings = Settings()
    settings.broker_transport_options = WATCHED
    assert "watch" not in repr(settings) + str(settings.table())
    assert "main" in repr(settings)
