"""One connection to RabbitMQ in one event loop: handshake, heartbeat, channels. Knows no reconnecting.

pamqp spells the rare methods; `amqp_frames` those that come with each message.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import Any, Final, cast

from pamqp import commands, frame
from pamqp.exceptions import PAMQPException

from umbel.engines import amqp_frames as frames
from umbel.engines.amqp_address import Address, Node
from umbel.engines.amqp_channel import Channel, Refused
from umbel.engines.tls import trusting
from umbel.engines.unfit import Denied
from umbel.exceptions import BrokerError
from umbel.model import chance

OLDEST: Final = (3, 10)
_GREETING: Final = b"AMQP\x00\x00\x09\x01"
_CHANNELS: Final = 1024
_MAX_FRAME: Final = 131_072
_LOOK_SECONDS: Final = 1.0
_MISSED_BEATS: Final = 2
_CLOSING_SECONDS: Final = 1.0
_USER_TIMEOUT_MILLISECONDS: Final = 15_000
_ACCESS_REFUSED, _NOT_ALLOWED, _FORCED = 403, 530, 320
_CURES: Final = {
    _ACCESS_REFUSED: "correct user and password in the URL, or the user's rights",
    _NOT_ALLOWED: "correct the virtual host at the end of the URL, or the user's rights in it",
}
_CAPABILITIES: Final = {
    "publisher_confirms": True,
    "basic.nack": True,
    "consumer_cancel_notify": True,
    "connection.blocked": True,
    "authentication_failure_close": True,
}


class Connection(asyncio.Protocol):
    """An open connection; `lost` tells why it is not any more. Its channels fall with it.

    *free* is set unless the server lets nobody publish; *heard* counts how often something came in.
    """

    def __init__(self, address: Address, heartbeat: float) -> None:
        self.lost: OSError | None = None
        self.free = asyncio.Event()
        self.free.set()
        self.heard = 0
        self.frame_max = _MAX_FRAME
        self.version: tuple[int, ...] = ()
        self._limit = _CHANNELS
        self._address = address
        self._heartbeat = heartbeat
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._root = Channel(self, 0)
        self._channels: dict[int, Channel] = {0: self._root}
        self._said = self._loop.time()
        self._looks = 0
        self._seen = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def blocked(self) -> bool:
        """Whether the server lets nobody publish."""
        return not self.free.is_set()

    async def open_channel(self, patience: float | None = None) -> Channel:
        """A new channel, each answer on which is waited for *patience* seconds. Raises `OSError`."""
        number = next((number for number in range(1, self._limit) if number not in self._channels), None)
        if number is None:
            raise BrokerError(f"{self._address}: more than {self._limit} channels at a time")
        channel = self._channels[number] = Channel(self, number)
        channel.patience = patience
        await channel.ask(commands.Channel.Open())
        return channel

    def forget(self, channel: Channel) -> None:
        """Let another channel have the number of *channel*, which is closed."""
        self._channels.pop(channel.number, None)

    def write(self, data: bytes) -> None:
        """Send frames. Raises `OSError` if the connection is lost."""
        if self.lost is not None or self._transport is None:
            raise self.lost or ConnectionResetError("not connected")
        self._said = self._loop.time()
        self._transport.write(data)

    async def aclose(self) -> None:
        """Close it in good order, but do not wait for long."""
        if self.lost is None:
            with contextlib.suppress(OSError, TimeoutError, BrokerError):
                async with asyncio.timeout(_CLOSING_SECONDS):
                    await self._root.ask(commands.Connection.Close(200, "", 0, 0))
        self.abort(ConnectionAbortedError("closed"))
        await self._closed

    def abort(self, error: OSError) -> None:
        """Give it up because of *error*."""
        if self.lost is not None:
            return
        self.lost = error
        self.free.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()
        elif not self._closed.done():
            self._closed.set_result(None)
        for channel in list(self._channels.values()):
            channel.fail(error)

    # --- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the server."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not one by inheritance
        _tune(transport.get_extra_info("socket"))
        self._transport.write(_GREETING)

    def data_received(self, data: bytes) -> None:
        """Take frames and hand them to their channels."""
        self.heard += 1
        self._buffer += data
        try:
            for kind, number, payload in frames.frames(self._buffer):
                channel = self._channels.get(number)
                if channel is not None and kind in (frames.METHOD, frames.HEADER, frames.BODY):
                    self._take(channel, kind, payload)
        except (ValueError, IndexError, PAMQPException) as error:
            self.abort(ConnectionError(f"not AMQP: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self.abort(exc if isinstance(exc, OSError) else ConnectionResetError("RabbitMQ closed the connection"))
        if not self._closed.done():
            self._closed.set_result(None)

    # --- the handshake

    async def shake(self) -> None:
        """Log in. Raises `OSError`, or `BrokerError` if the server refuses us."""
        try:
            greeting = await self._root.wait()
            self.version = _version(greeting.server_properties)
            refuse_old(self.version)
            start = commands.Connection.StartOk(
                {"product": "umbel", "connection_name": "umbel", "capabilities": dict(_CAPABILITIES)},
                "PLAIN", f"\0{self._address.username}\0{self._address.password}", "en_US",
            )  # fmt: skip
            tune = await self._root.ask(start)
            self.frame_max = min(tune.frame_max or _MAX_FRAME, _MAX_FRAME)
            beat = min(max(1, round(self._heartbeat)), 0xFFFF)
            self._limit = min(tune.channel_max or _CHANNELS, _CHANNELS)
            self.write(frame.marshal(commands.Connection.TuneOk(self._limit, self.frame_max, beat), 0))
            await self._root.ask(commands.Connection.Open(self._address.virtual_host))
        except Refused as error:
            if error.code == _FORCED:
                raise ConnectionResetError(str(error)) from error
            cure = _CURES.get(error.code)
            if cure is None:
                raise BrokerError(f"{self._address} refused: {error}") from error
            raise Denied(f"{self._address} refused: {error}: {cure}") from error
        self._beat(float(beat))

    def _beat(self, seconds: float) -> None:
        """Show a sign of life each half of *seconds*; end the connection when there was none for twice that time.

        Counted in looks, not by the clock: when this loop was held up, what was said meanwhile is still unread.
        """
        pause = min(_LOOK_SECONDS, seconds / 2)
        if self._loop.time() - self._said >= seconds / 2:
            self.write(frames.HEARTBEAT)
        self._looks = self._looks + 1 if self.heard == self._seen else 0
        self._seen = self.heard
        if self._looks * pause > _MISSED_BEATS * seconds:
            self.abort(TimeoutError("RabbitMQ shows no sign of life"))
            return
        self._timer = self._loop.call_later(pause, self._beat, seconds)

    def _take(self, channel: Channel, kind: int, payload: bytes) -> None:
        if kind != frames.METHOD or channel.number:
            channel.take(kind, payload)
            return
        method: Any = frame.unmarshal(frames.frame(kind, 0, payload))[2]
        match method:
            case commands.Connection.Blocked():
                self.free.clear()
            case commands.Connection.Unblocked():
                self.free.set()
            case commands.Connection.Close():
                self._dismissed(method)
            case _:
                channel.answered(method)

    def _dismissed(self, method: commands.Connection.Close) -> None:
        text = str(method.reply_text)
        with contextlib.suppress(OSError):
            self.write(frame.marshal(commands.Connection.CloseOk(), 0))
        if method.reply_code in (_ACCESS_REFUSED, _NOT_ALLOWED):
            self._root.fail(Refused(method.reply_code, text))
        self.abort(ConnectionResetError(text))


async def connect(address: Address, heartbeat: float, timeout: float) -> Connection:
    """Connect to the first node that lets us in, within *timeout* seconds. *heartbeat* seconds are offered.

    Raises `OSError`, `BrokerError` if a server refuses us and no other takes us, or `ImproperlyConfigured`.
    """
    context = address.security.context() if address.security is not None else None
    end = asyncio.get_running_loop().time() + timeout
    nodes = chance.sample(address.nodes, len(address.nodes))
    failed: OSError | BrokerError = ConnectionRefusedError("no node")
    for place, node in enumerate(nodes):
        try:
            async with asyncio.timeout((end - asyncio.get_running_loop().time()) / (len(nodes) - place)):
                return await _connect(address, node, context, heartbeat)
        except (OSError, BrokerError) as error:
            failed = failed if isinstance(failed, BrokerError) else error
    raise failed


async def _connect(address: Address, node: Node, context: ssl.SSLContext | None, heartbeat: float) -> Connection:
    loop = asyncio.get_running_loop()
    connection = Connection(address, heartbeat)
    with trusting(address):
        await loop.create_connection(lambda: connection, node.host, node.port, ssl=context)
        try:
            await connection.shake()
        except BaseException:
            lost = connection.lost
            connection.abort(ConnectionAbortedError("given up"))
            if isinstance(lost, ssl.SSLError):  # a certificate of ours is refused only after the handshake
                raise lost from None
            raise
    return connection


def refuse_old(version: tuple[int, ...]) -> None:
    """Raise `Denied` if a server of *version* lacks what Umbel needs; one that tells no version is taken as it is."""
    if version and version < OLDEST:
        told = ".".join(map(str, version))
        raise Denied(f"RabbitMQ {told} is too old: use {'.'.join(map(str, OLDEST))} or later")


def _version(properties: Any) -> tuple[int, ...]:
    known: dict[str, object] = properties or {}
    told = known.get("version", "")
    return tuple(int(part) for part in str(told).split(".") if part.isdecimal())


def _tune(plain: Any) -> None:
    """Send at once, and notice a peer that is gone although nothing is said."""
    if plain is None or plain.family not in (socket.AF_INET, socket.AF_INET6):
        return
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MILLISECONDS)
