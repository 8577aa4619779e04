"""Celery's transport options: which are options of the URL here, which tune nothing, which are refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from umbel.exceptions import ImproperlyConfigured

TRANSPORT: Final = frozenset({"broker_transport_options", "result_backend_transport_options"})
"""The settings that hold such options."""
_OF_THE_URL: Final = frozenset(
    {"master_name", "client_name", "socket_timeout", "socket_connect_timeout", "socket_keepalive"}
)
_SENTINEL: Final = "sentinel_kwargs"
_OF_SENTINEL: Final = {"username": "sentinel_username", "password": "sentinel_password"}
_MOOT: Final = frozenset(
    [
        "visibility_timeout",
        "ack_emulation",
        "unacked_key",
        "unacked_index_key",
        "unacked_mutex_key",
        "unacked_mutex_expire",
        "unacked_restore_limit",
        "fanout_prefix",
        "fanout_patterns",
        "queue_order_strategy",
        "polling_interval",
        "max_retries",
        "interval_start",
        "interval_step",
        "interval_max",
        "confirm_publish",
        "retry_policy",
    ]
)
_REFUSED: Final = {
    "priority_steps": "a priority is 0-9 on every broker, and 9 is the most urgent one (9 - p of what Redis had)",
    "sep": "queues have no separate keys for priorities",
    "global_keyprefix": "give each project a database, or queues with names of their own",
    "min_priority": "a priority is 0-9",
    "max_priority": "a priority is 0-9",
}


def check_options(options: Mapping[str, Any], setting: str) -> None:
    """Raise `ImproperlyConfigured` for an option that is not known; *setting* names where it comes from."""
    for name in options:
        if name in _REFUSED:
            raise ImproperlyConfigured(f"{setting}: {name} is not supported: {_REFUSED[name]}")
        if name not in (_SENTINEL, *_OF_THE_URL, *_MOOT):
            known = ", ".join(sorted((_SENTINEL, *_OF_THE_URL)))
            raise ImproperlyConfigured(f"{setting}: {name} is not an option: known are {known}")
    if not _login(options).keys() <= _OF_SENTINEL.keys():
        raise ImproperlyConfigured(f"{setting}: {_SENTINEL} takes {' and '.join(_OF_SENTINEL)} only")


def moot_options(options: Mapping[str, Any]) -> list[str]:
    """Which of *options* tune what Umbel does not have."""
    return [name for name in options if name in _MOOT]


def with_options(url: str, options: Mapping[str, Any], setting: str) -> str:
    """*url* with those of *options* that are its own; what the URL says itself wins.

    Raises `ImproperlyConfigured` if they are options of Redis and the URL is of something else.
    """
    wanted = dict(_wanted(options))
    if not wanted:
        return url
    from urllib.parse import parse_qsl, urlencode  # 5 ms that a program without options need not pay

    if "redis" not in (scheme := url.partition(":")[0]) and scheme != "sentinel":
        raise ImproperlyConfigured(
            f"{setting}: {', '.join(wanted)} is for Redis: write options of {scheme}:// into the URL"
        )
    said = dict(parse_qsl(url.partition("?")[2]))
    more = urlencode({name: value for name, value in wanted.items() if name not in said})
    return f"{url}{'&' if '?' in url else '?'}{more}" if more else url


def _wanted(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in options.items():
        if name in _OF_THE_URL:
            yield name, str(value).lower() if isinstance(value, bool) else str(value)
    for name, value in _login(options).items():
        yield _OF_SENTINEL[name], str(value)


def _login(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """How to log in to the Sentinels; what is no mapping counts as one of an unknown name."""
    given = options.get(_SENTINEL, {})
    return cast("Mapping[str, Any]", given) if isinstance(given, Mapping) else {"": given}
