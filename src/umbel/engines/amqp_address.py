"""An amqp:// URL as values: the nodes to try, who asks, how the line is secured. Options have RabbitMQ's names."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from umbel.engines.address import masked
from umbel.exceptions import ImproperlyConfigured

_PORTS: Final = {"amqp": 5672, "amqps": 5671}
_OPTIONS: Final = ("connection_timeout", "cacertfile", "certfile", "keyfile", "verify")
_VERIFY: Final = {"verify_peer": ssl.CERT_REQUIRED, "verify_none": ssl.CERT_NONE}
_GUEST: Final = "guest"
_LOCAL: Final = "localhost"


class Node(msgspec.Struct, frozen=True):
    """One server of a cluster."""

    host: str
    port: int


class Security(msgspec.Struct, frozen=True):
    """What `amqps://` asks for: whom to trust, and the certificate to show. Paths of PEM files."""

    verify: ssl.VerifyMode = ssl.CERT_REQUIRED
    cacertfile: str | None = None
    certfile: str | None = None
    keyfile: str | None = None

    def context(self) -> ssl.SSLContext:
        """A context for connections. Raises `ImproperlyConfigured` if a file cannot be used."""
        try:
            context = ssl.create_default_context(cafile=self.cacertfile)
        except OSError as error:
            raise ImproperlyConfigured(f"cacertfile={self.cacertfile} cannot be used: {error}") from error
        context.check_hostname = self.verify != ssl.CERT_NONE
        context.verify_mode = self.verify
        if self.certfile is not None:
            self._show(context, self.certfile)
        return context

    def _show(self, context: ssl.SSLContext, certfile: str) -> None:
        try:
            # Without a password given, OpenSSL would ask for one at the terminal.
            context.load_cert_chain(certfile, self.keyfile, "")
        except OSError as error:
            key = f" with keyfile={self.keyfile}" if self.keyfile else ""
            raise ImproperlyConfigured(f"certfile={certfile}{key} cannot be used: {error}") from error


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """One virtual host of a RabbitMQ cluster. *timeout* is how many seconds connecting may take."""

    url: str
    nodes: tuple[Node, ...]
    virtual_host: str = "/"
    username: str = _GUEST
    password: str = _GUEST
    timeout: float
    security: Security | None = None

    def __str__(self) -> str:
        return ";".join(masked(part) for part in self.url.split(";"))


def parse(url: str, *, timeout: float) -> Address:
    """The address in *url*; *timeout*, in seconds, holds where the URL has no `connection_timeout` of its own.

    Forms: ``amqp://user:password@host:port/vhost``, ``amqps://…`` with TLS. Further nodes follow after commas, as
    ``amqp://…@one,two:5672/vhost``, or after semicolons, as ``amqp://…@one/vhost;amqp://…@two`` or ``…/vhost;two``;
    they share the first one's user and virtual host.
    Raises `ImproperlyConfigured`, naming the option that is unknown or has a wrong value.
    """
    first, *others = [part.strip() for part in url.split(";")]
    try:
        parts = urlsplit(first)
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        _refuse_unknown(options)
        port = _PORTS[parts.scheme]
        return Address(
            url=url,
            nodes=tuple(_node(text, port) for text in (*_hosts(parts.netloc), *others)),
            virtual_host=unquote(parts.path[1:]) or "/",
            username=unquote(parts.username) if parts.username else _GUEST,
            password=unquote(parts.password) if parts.password is not None else _GUEST,
            timeout=_seconds(options, timeout),
            security=_security(options) if parts.scheme == "amqps" else None,
        )
    except ValueError as error:
        shown = ";".join(masked(part) for part in url.split(";"))
        raise ImproperlyConfigured(f"{shown} is not an address of RabbitMQ: {error}") from error


def _hosts(netloc: str) -> list[str]:
    hosts = netloc.rpartition("@")[2]
    if hosts.startswith(":"):
        hosts = _LOCAL + hosts
    return hosts.split(",") if hosts else [_LOCAL]


def _node(text: str, port: int) -> Node:
    parts = urlsplit(text if "://" in text else f"//{text}")
    if not parts.hostname:
        raise ValueError("a comma or a semicolon is followed by no further node")
    return Node(parts.hostname, parts.port or port)


def _refuse_unknown(options: Mapping[str, str]) -> None:
    for name in options:
        if name not in _OPTIONS:
            raise ValueError(f"unknown option {name!r}; known are {', '.join(_OPTIONS)}")


def _seconds(options: Mapping[str, str], default: float) -> float:
    """The time for connecting; in a URL it is in milliseconds, as RabbitMQ's specification of URLs has it."""
    if "connection_timeout" not in options:
        return default
    value = float(options["connection_timeout"]) / 1000
    if not 0 < value < float("inf"):
        raise ValueError("connection_timeout must be a number of milliseconds above 0")
    return value


def _security(options: Mapping[str, str]) -> Security:
    word = options.get("verify", "verify_peer")
    if word not in _VERIFY:
        raise ValueError(f"verify must be one of {', '.join(_VERIFY)}")
    return Security(_VERIFY[word], options.get("cacertfile"), options.get("certfile"), options.get("keyfile"))
