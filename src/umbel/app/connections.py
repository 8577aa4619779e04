"""Which broker and which result store an app has, by URL; and whether both are one engine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from umbel import claims
from umbel.brokers import connect as broker_at
from umbel.contracts.broker import Broker
from umbel.contracts.powers import ResultStore
from umbel.engines.address import broker_address, results_address
from umbel.settings import Settings
from umbel.stores import connect as store_at

DISABLED: Final = "disabled"
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1", ""})
_CARRIERS: Final = frozenset({"amqp", "amqps"})
"""Brokers that keep no results: what they settle is written where their claims are."""
_BY_NAME: Final = "the name of the app"
_BY_BROKER: Final = "broker_url"
_BY_BACKEND: Final = "result_backend"
_PORTS: Final = {"redis": 6379, "rediss": 6379}

__all__ = [
    "DISABLED",
    "Broker",
    "ResultStore",
    "broker_at",
    "default_backend",
    "default_url",
    "fill_in",
    "is_disabled",
    "results_elsewhere",
    "same_engine",
    "store_at",
    "store_url",
]


def default_url(main: str | None) -> str:
    """The embedded file of the app *main*, in the current folder."""
    safe = _UNSAFE.sub("_", main or "").strip(".")
    return f"sqlite:///{safe}.umbel.db" if safe else "sqlite:///umbel.db"


def is_disabled(url: str) -> bool:
    """Tell whether *url* turns results off."""
    return url.partition(":")[0] == DISABLED


def default_backend(broker_url: str) -> str:
    """Where results are kept if nobody says so: where the jobs are, or nowhere if that cannot be."""
    return f"{DISABLED}://" if _only_carries(broker_url) else broker_url


def fill_in(settings: Settings, main: str | None, *, own_broker: bool, own_store: bool) -> None:
    """Assign the URLs that nobody has given, for the app *main*, and what follows from them.

    To be called again when a setting has changed: results follow the jobs to another broker. *own_broker*,
    *own_store*: the app was given an instance.
    """
    if not own_broker and (not settings.broker_url or settings.origin("broker_url") == _BY_NAME):
        settings.assign({"broker_url": default_url(main)}, _BY_NAME)
    if not own_store and (not settings.result_backend or settings.origin("result_backend") == _BY_BROKER):
        settings.assign({"result_backend": default_backend(settings.broker_url)}, _BY_BROKER)
    if is_disabled(settings.result_backend):
        settings.assign({"task_ignore_result": True}, _BY_BACKEND)
    elif settings.origin("task_ignore_result") == _BY_BACKEND:
        settings.assign({"task_ignore_result": False}, _BY_BACKEND)


def store_url(settings: Settings) -> str:
    """The URL of the result store; with results turned off, of the broker's own, which still marks what has ended."""
    backend = settings.result_backend
    return settings.broker_url if is_disabled(backend) and not _only_carries(settings.broker_url) else backend


def same_engine(settings: Settings) -> bool:
    """Tell whether jobs and results of *settings* are in one place, so that one step can write both."""
    backend = settings.result_backend
    if _only_carries(settings.broker_url):
        return is_disabled(backend) or claims.records(backend)
    if is_disabled(backend):
        return True
    return _place(broker_address(settings.broker_url, settings)) == _place(results_address(backend, settings))


def results_elsewhere(settings: Settings, *, same: bool) -> str:
    """The URL of the store for results that the broker does not keep itself; empty if there is none.

    *same*: broker and result store are one engine, see `same_engine`; large results may still go elsewhere.
    """
    if is_disabled(settings.result_backend) or (same and not settings.result_object_store):
        return ""
    return settings.result_backend


def _only_carries(url: str) -> bool:
    return url.partition(":")[0] in _CARRIERS


def _place(url: str) -> tuple[str, ...]:
    from urllib.parse import parse_qsl, urlsplit  # 5 ms that a program with one URL need not pay

    parts = urlsplit(url)
    scheme = parts.scheme.removesuffix("s") if parts.scheme == "rediss" else parts.scheme
    if scheme in ("sqlite", "memory"):
        # Three slashes begin a path in the current folder, four an absolute one.
        path = parts.netloc + parts.path
        return (scheme, str(Path(path.removeprefix("/") or path).absolute()) if scheme == "sqlite" else path.strip("/"))
    if "," in parts.netloc or ";" in parts.netloc:
        return (url,)  # several hosts: the same place if they are written alike
    host = parts.hostname or ""
    port = str(parts.port or _PORTS.get(str(parts.scheme)))
    options = dict(parse_qsl(parts.query))
    database = options.get("db") or options.get("virtual_host") or parts.path.strip("/") or "0"
    return (scheme, "localhost" if host in _LOCAL else host.lower(), port, database)
