"""A blocking connection to Redis: a socket and hiredis. Speaks RESP3, so that messages and replies share one line."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, cast

from hiredis import ProtocolError, PushNotification, Reader, ReplyError
from hiredis import pack_command as _pack_command  # pyright: ignore[reportUnknownVariableType] - its stub is unfinished

from umbel.engines.redis_address import Address
from umbel.engines.redis_command import Word
from umbel.engines.redis_reply import UNREADY, code, refusal
from umbel.engines.tls import trusting
from umbel.engines.unfit import Denied

pack: Final = cast("Callable[[tuple[Word, ...]], bytes]", _pack_command)
"""The bytes of one command."""

NO_REPLY: Final = object()
_IDENTITY: Final = re.compile(rb"^master_replid:(\w+)", re.MULTILINE)
OLDEST: Final = (6, 2)
_READ_BYTES: Final = 64 * 1024
_KEEPALIVE: Final = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))


def reader() -> Reader:
    """A parser whose `gets` answers `NO_REPLY` until a reply is complete."""
    return Reader(notEnoughData=NO_REPLY)


def greeting(address: Address) -> list[tuple[Word, ...]]:
    """The commands that open a connection: who we are, who the server is, and which database."""
    known = address.username is not None or address.password is not None
    login: tuple[Word, ...] = ("AUTH", address.username or "default", address.password or "") if known else ()
    hello: tuple[Word, ...] = ("HELLO", 3, *login, "SETNAME", address.client_name)
    words: list[tuple[Word, ...]] = [hello, ("INFO", "replication")]
    return [*words, ("SELECT", address.db)] if address.db else words


class Welcome(NamedTuple):
    """What a server told of itself. *identity* is another one after each restart and each promotion, or unknown."""

    version: int = 0
    identity: bytes = b""


def welcome(replies: Sequence[Any], address: Address) -> Welcome:
    """The server that answered a greeting. Raises `BrokerError`, or `OSError` if it may recover."""
    hello, info, *others = replies
    for reply in (hello, *others):
        if isinstance(reply, ReplyError):
            raise unready(reply) or refusal(str(reply), str(address)) from reply
    if address.primary and hello[b"role"] != b"master":
        raise ConnectionError("this server is a replica")
    version = tuple(int(part) for part in hello[b"version"].split(b".")[:2] if part.isdigit())
    if version < OLDEST:
        told = hello[b"version"].decode()
        raise Denied(f"{address} is Redis {told}, which is too old: use {'.'.join(map(str, OLDEST))} or later")
    # A user without the right to ask learns no identity, and is served all the same.
    found = None if isinstance(info, ReplyError) else _IDENTITY.search(info)
    return Welcome(version[0], found.group(1) if found else b"")


def unready(reply: ReplyError) -> OSError | None:
    """The lost connection that *reply* amounts to, if the server may soon do what it refuses now."""
    return ConnectionError(str(reply)) if code(str(reply)) in UNREADY else None


def tune(connected: socket.socket, address: Address) -> None:
    """Send small packets at once, and notice a dead peer."""
    if connected.family == socket.AF_UNIX:
        return
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if address.keepalive:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE:
            if hasattr(socket, name):
                connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class Connection:
    """One line to the server, for one thread at a time. After any error it is of no use: close it.

    Raises `OSError` for a line that failed, `TimeoutError` among them.
    """

    def __init__(self, address: Address, timeout: float) -> None:
        """Connect and log in within about *timeout* seconds. Raises `BrokerError` if the server refuses us."""
        self._socket = _connect(address, timeout)
        self._reader = reader()
        self._buffer = bytearray(_READ_BYTES)
        self._timeout = timeout
        self._unsent = b""
        self._channel = b""
        self._message: bytes | None = None
        try:
            words = greeting(address)
            with trusting(address):
                replies = self.exchange([pack(line) for line in words], len(words))
            self.server = welcome(replies, address)
            self.patience(address.timeout)
        except BaseException:
            self.close()
            raise

    def patience(self, seconds: float) -> None:
        """Wait at most *seconds* for a reply from now on."""
        self._timeout = seconds
        self._socket.settimeout(seconds)

    def exchange(self, packed: Sequence[bytes], count: int) -> list[Any]:
        """Send commands and wait for *count* replies; what the server refused is answered as a `ReplyError`."""
        if self._unsent:
            self._socket.sendall(self._unsent + b"".join(packed))
            self._unsent = b""
        else:
            for chunk in packed:
                self._socket.sendall(chunk)
        replies: list[Any] = []
        while len(replies) < count:
            reply = self._next()
            if type(reply) is PushNotification:
                self._pushed(reply)
            else:
                replies.append(reply)
        return replies

    def subscribe(self, channel: bytes) -> None:
        """Listen to *channel* from the next `exchange` on, with which this travels."""
        self._channel = channel
        self._message = None
        self._unsent += pack(("SUBSCRIBE", channel))

    def message(self, seconds: float) -> bytes | None:
        """The first message on the channel subscribed to, or None if there is none within *seconds*."""
        self._socket.settimeout(seconds)
        try:
            while self._message is None:
                self._pushed(self._next())
        except TimeoutError:
            return None
        finally:
            self._socket.settimeout(self._timeout)
        return self._message

    def unsubscribe(self) -> None:
        """Listen no more; the server hears of it with the next `exchange`, which skips what came until then."""
        self._channel = b""
        self._unsent += pack(("UNSUBSCRIBE",))

    def close(self) -> None:
        """Let go of the line, in this process only."""
        with contextlib.suppress(OSError):
            self._socket.close()

    def _next(self) -> Any:
        while (reply := self._gets()) is NO_REPLY:
            size = self._socket.recv_into(self._buffer)
            if size == 0:
                raise ConnectionResetError("the server closed the connection")
            self._reader.feed(cast("bytes", self._buffer), 0, size)
        return reply

    def _gets(self) -> Any:
        try:
            return self._reader.gets()
        except ProtocolError as error:
            raise ConnectionError(f"not the protocol of Redis: {error}") from error

    def _pushed(self, push: Any) -> None:
        if len(push) == 3 and push[0] == b"message" and push[1] == self._channel:  # noqa: PLR2004 - kind, channel, text
            self._message = push[2]


def _connect(address: Address, timeout: float) -> socket.socket:
    if address.path:
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connected.settimeout(timeout)
        try:
            connected.connect(address.path)
        except OSError:
            connected.close()
            raise
        return connected
    connected = socket.create_connection((address.host, address.port), timeout)
    try:
        tune(connected, address)
        if address.security is not None:
            context = address.security.context()
            with trusting(address):
                return context.wrap_socket(connected, server_hostname=address.host)
    except BaseException:
        connected.close()
        raise
    return connected
