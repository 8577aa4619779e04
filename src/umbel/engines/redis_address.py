"""A redis:// URL as values: where the servers are, who asks, how the line is secured. Options have redis-py's names."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from umbel.engines.address import masked
from umbel.engines.redis_hosts import DEFAULT_PORT, SENTINEL_PORT, Host, hosts_in, joined
from umbel.exceptions import ImproperlyConfigured

CLIENT_NAME: Final = "umbel"
_VERIFY: Final = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})
_OPTIONS: Final = (
    "db",
    "virtual_host",
    "username",
    "password",
    "client_name",
    "socket_timeout",
    "socket_connect_timeout",
    "socket_keepalive",
    "ssl_cert_reqs",
    "ssl_ca_certs",
    "ssl_ca_path",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_password",
    "ssl_check_hostname",
    "master_name",
    "sentinel_username",
    "sentinel_password",
)


class Security(msgspec.Struct, frozen=True):
    """What `rediss://` asks for: whom to trust, and the certificate to show. Paths of PEM files."""

    verify: ssl.VerifyMode = ssl.CERT_REQUIRED
    check_hostname: bool = True
    ca_certs: str | None = None
    ca_path: str | None = None
    certfile: str | None = None
    keyfile: str | None = None
    password: str | None = None

    def context(self) -> ssl.SSLContext:
        """A context for connections. Raises `ImproperlyConfigured` if a file cannot be used."""
        try:
            context = ssl.create_default_context(cafile=self.ca_certs, capath=self.ca_path)
        except OSError as error:
            raise ImproperlyConfigured(f"ssl_ca_certs={self.ca_certs} cannot be used: {error}") from error
        context.check_hostname = self.check_hostname and self.verify != ssl.CERT_NONE
        context.verify_mode = self.verify
        if self.certfile is not None:
            self._show(context, self.certfile)
        return context

    def _show(self, context: ssl.SSLContext, certfile: str) -> None:
        try:
            # Without a password given, OpenSSL would ask for one at the terminal.
            context.load_cert_chain(certfile, self.keyfile, self.password or "")
        except OSError as error:
            key = f" with ssl_keyfile={self.keyfile}" if self.keyfile else ""
            raise ImproperlyConfigured(f"ssl_certfile={certfile}{key} cannot be used: {error}") from error


class Watch(msgspec.Struct, frozen=True):
    """The Sentinels that know which server is the primary of *service*, and how to log in to them."""

    hosts: tuple[Host, ...]
    service: str
    username: str | None = None
    password: str | None = None


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """One database of one server. Seconds; *path* is a Unix socket, used instead of *host* and *port* if not empty.

    With a *watch*, the server has to be asked for first; with *nodes*, these are some of a Cluster. With *primary*, a
    replica is no server for us.
    """

    url: str
    watch: Watch | None = None
    nodes: tuple[Host, ...] = ()
    primary: bool = False
    host: str = "localhost"
    port: int = DEFAULT_PORT
    path: str = ""
    db: int = 0
    username: str | None = None
    password: str | None = None
    client_name: str = CLIENT_NAME
    timeout: float
    connect_timeout: float
    keepalive: bool = True
    security: Security | None = None

    def __str__(self) -> str:
        return masked(self.url)

    def at(self, host: Host) -> Address:
        """The same at a server that is known, and should be a primary."""
        return msgspec.structs.replace(self, host=host[0], port=host[1], primary=True)

    def node(self, host: Host) -> Address:
        """The same at a server of any role, for a question that each can answer."""
        return msgspec.structs.replace(self, host=host[0], port=host[1])

    def sentinel(self, host: Host, username: str | None, password: str | None) -> Address:
        """One Sentinel, which has users and passwords of its own."""
        return msgspec.structs.replace(self, host=host[0], port=host[1], db=0, username=username, password=password)


def parse(url: str, *, timeout: float, connect_timeout: float) -> Address:
    """The address in *url*; the two times, in seconds, hold where the URL has no `socket_timeout` of its own.

    Forms: ``redis://[user:password@]host:port/db``, ``rediss://…`` with TLS, ``redis+socket:///path?db=0``,
    ``redis+sentinel://host:port,host:port/service/db``, ``redis+cluster://host:port,host:port``.
    Raises `ImproperlyConfigured`, naming the option that is unknown or has a wrong value.
    """
    try:
        parts = urlsplit(joined(url))
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        _refuse_unknown(options)
        family, _, kind = parts.scheme.partition("+")
        hosts = hosts_in(parts.netloc, SENTINEL_PORT if kind == "sentinel" else DEFAULT_PORT)
        host, port = _first(hosts, kind)
        watch, path = _watch(hosts, parts.path, options) if kind == "sentinel" else (None, parts.path)
        return Address(
            url=url,
            watch=watch,
            nodes=hosts if kind == "cluster" else (),
            host=host,
            port=port,
            path=unquote(path) if kind == "socket" else "",
            db=_database("" if kind == "socket" else path, options, kind),
            username=options.get("username") or _unquoted(parts.username),
            password=options.get("password") or _unquoted(parts.password),
            client_name=options.get("client_name", CLIENT_NAME),
            timeout=_seconds(options, "socket_timeout", timeout),
            connect_timeout=_seconds(options, "socket_connect_timeout", connect_timeout),
            keepalive=_flag(options, "socket_keepalive", default=True),
            security=_security(options) if family == "rediss" else None,
        )
    except ValueError as error:
        raise ImproperlyConfigured(f"{masked(url)} is not an address of a Redis server: {error}") from error


def _first(hosts: tuple[Host, ...], kind: str) -> Host:
    first, *others = hosts
    if others and kind not in ("sentinel", "cluster"):
        raise ValueError("several hosts need redis+sentinel:// or redis+cluster://")
    return first


def _watch(hosts: tuple[Host, ...], path: str, options: Mapping[str, str]) -> tuple[Watch, str]:
    """The Sentinels, and what is left of *path*: ``/service/db``, or ``/db`` if an option names the service."""
    service, left = options.get("master_name", ""), path
    if not service:
        service, _, left = path.strip("/").partition("/")
        service = unquote(service)
    if not service:
        raise ValueError("which service? Write redis+sentinel://host:port,host:port/<service>/<db> or ?master_name=")
    return Watch(hosts, service, options.get("sentinel_username"), options.get("sentinel_password")), left


def _refuse_unknown(options: Mapping[str, str]) -> None:
    for name in options:
        if name not in _OPTIONS:
            raise ValueError(f"unknown option {name!r}; known are {', '.join(_OPTIONS)}")


def _database(path: str, options: Mapping[str, str], kind: str) -> int:
    text = options.get("db") or options.get("virtual_host") or path.strip("/") or "0"
    if not text.isdecimal():
        raise ValueError(f"the database must be a number, not {text!r}")
    if kind == "cluster" and int(text):
        raise ValueError("a Cluster has database 0 only")
    return int(text)


def _unquoted(text: str | None) -> str | None:
    return unquote(text) if text else None


def _seconds(options: Mapping[str, str], name: str, default: float) -> float:
    value = float(options.get(name, default))
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} must be a number of seconds above 0")
    return value


def _flag(options: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = options.get(name, "").lower()
    if text and text not in _TRUE | _FALSE:
        raise ValueError(f"{name} must be true or false")
    return text in _TRUE if text else default


def _security(options: Mapping[str, str]) -> Security:
    word = options.get("ssl_cert_reqs", "required").lower().removeprefix("cert_")
    if word not in _VERIFY:
        raise ValueError(f"ssl_cert_reqs must be one of {', '.join(_VERIFY)}")
    return Security(
        verify=_VERIFY[word],
        check_hostname=_flag(options, "ssl_check_hostname", default=True),
        ca_certs=options.get("ssl_ca_certs"),
        ca_path=options.get("ssl_ca_path"),
        certfile=options.get("ssl_certfile"),
        keyfile=options.get("ssl_keyfile"),
        password=options.get("ssl_password"),
    )
