from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from umbel import brokers, stores
from umbel.brokers.memory import MemoryBroker
from umbel.engines.address import factory, masked
from umbel.exceptions import ImproperlyConfigured
from umbel.settings import Settings
from umbel.stores.memory import MemoryStore

BUILT_IN = {"known": "umbel.states:PENDING", "needy": "tests.unit.engines.missing_driver:connect"}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://user:secret@host/0", "redis://user:***@host/0"),
        ("redis://:secret@host/0", "redis://:***@host/0"),
        ("redis://user@host/0", "redis://user@host/0"),
        ("redis://host/0?password=secret&x=1", "redis://host/0?password=***&x=1"),
        ("redis://host/0?x=1&ssl_password=secret", "redis://host/0?x=1&ssl_password=***"),
        ("s3://bucket?Secret_Key=abc#part", "s3://bucket?Secret_Key=***#part"),
        (
            "postgresql://u:secret@pool/x?listen=postgresql%3A%2F%2Fu%3Aa%2520secret%2F%40cret%40db%2Fx&sslmode=require",
            "postgresql://u:***@pool/x?listen=postgresql%3A%2F%2Fu%3A***%40db%2Fx&sslmode=require",
        ),
        ("postgresql://u@pool/x?listen=a%3a%2f%2f%3Asecret%40db", "postgresql://u@pool/x?listen=a%3a%2f%2f%3A***%40db"),
        ("postgresql://pool/x?listen=a%3A%2F%2Fdb%3A5432%2Fx", "postgresql://pool/x?listen=a%3A%2F%2Fdb%3A5432%2Fx"),
        ("sqlite:///folder/file.db", "sqlite:///folder/file.db"),
        ("", ""),
    ],
)
def test_passwords_and_secret_options_are_not_shown(url: str, shown: str) -> None:
    assert masked(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:se/cret@host/0",
        "redis://user:se@cret@host/0",
        "redis://user:se?cret@host/0",
        "redis://user:se#cret@host/0",
        "redis://user:se:cret@host/0",
        "rediss://:cret@[::1]:6379/0",
    ],
)
def test_a_password_that_was_not_quoted_is_not_shown_either(url: str) -> None:
    assert "cret" not in masked(url)


def test_a_known_scheme_is_found() -> None:
    assert factory("known://anything", BUILT_IN, "umbel.brokers", "broker") == "PENDING"


@pytest.mark.parametrize("url", ["strange://user:secret@host", "no scheme at all", ""])
def test_an_unknown_scheme_is_refused_with_the_known_ones_and_without_the_password(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="known, needy") as refused:
        factory(url, BUILT_IN, "umbel.brokers", "broker")
    assert "secret" not in str(refused.value)


def test_a_missing_driver_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hiredis", None)
    for module in [name for name in sys.modules if name.startswith(("umbel.brokers.redis", "umbel.engines.redis"))]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(ImproperlyConfigured, match=r"needs the package 'hiredis': pip install 'umbel\[redis\]'"):
        factory("rediss://:secret@host", brokers.BUILT_IN, "umbel.brokers", "broker")


def test_a_module_of_ours_that_is_missing_is_a_bug_and_shown_as_one() -> None:
    with pytest.raises(ModuleNotFoundError):
        factory("own://x", {"own": "umbel.brokers.nothing:connect"}, "umbel.brokers", "broker")


def test_a_plug_in_is_found_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("plugged", "umbel.states:SUCCESS", "umbel.brokers")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **wanted: EntryPoints([entry]).select(**wanted))
    assert factory("plugged://host", BUILT_IN, "umbel.brokers", "broker") == "SUCCESS"
    with pytest.raises(ImproperlyConfigured):
        factory("plugged://host", BUILT_IN, "umbel.stores", "result store")


def test_brokers_and_stores_are_made_by_url() -> None:
    assert isinstance(brokers.connect("memory://", Settings()), MemoryBroker)
    assert isinstance(stores.connect("memory://", Settings()), MemoryStore)
