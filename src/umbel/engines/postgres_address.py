"""A postgresql:// URL as values. Options are libpq's, and one of ours: ``listen``."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from umbel.engines.address import masked
from umbel.exceptions import ImproperlyConfigured

_LISTEN: Final = "listen"
_DEFAULTS: Final = {"application_name": "umbel", "client_encoding": "utf8"}


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """One database. *listen* is the way to it without a pooler, for the connection that waits; seconds."""

    url: str
    conninfo: str
    listen: str
    connect_timeout: float

    def __str__(self) -> str:
        return masked(self.url)


def parse(url: str, connect_timeout: float) -> Address:
    """The address in *url*: ``postgresql://user:password@host:port/database?sslmode=…&listen=postgresql://…``.

    Give *listen* when the URL leads to pgbouncer in transaction mode; without it, waiting there means looking once a
    second. Raises `ImproperlyConfigured`, naming the option that is unknown.
    """
    try:
        parts = urlsplit(url)
        if "," not in parts.netloc:  # several hosts are libpq's affair
            _ = parts.port
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        listen = options.pop(_LISTEN, "")
        plain = urlunsplit(parts._replace(query=urlencode(options)))
        conninfo = _conninfo(plain)
        return Address(
            url=url,
            conninfo=conninfo,
            listen=_conninfo(listen) if listen else conninfo,
            connect_timeout=connect_timeout,
        )
    except (ValueError, psycopg.ProgrammingError) as error:
        reason = masked(str(error).strip())
        raise ImproperlyConfigured(f"{masked(url)} is not an address of a PostgreSQL database: {reason}") from None


def for_toolkit(url: str) -> str:
    """*url* as SQLAlchemy takes it: without what is ours alone."""
    parts = urlsplit(url)
    options = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != _LISTEN]
    return urlunsplit(parts._replace(scheme="postgresql", query=urlencode(options)))


def _conninfo(url: str) -> str:
    given = conninfo_to_dict(url)
    return make_conninfo("", **{**_DEFAULTS, **given})
