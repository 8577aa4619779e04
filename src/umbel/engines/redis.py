"""Redis: commands in, replies out, from threads and from event loops. Reconnects, loads scripts, translates errors."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from typing import Any, Final

from hiredis import ReplyError

from umbel.engines.lanes import Lanes
from umbel.engines.operation import Operation, adrive, drive
from umbel.engines.patience import Patience
from umbel.engines.redis_address import Address
from umbel.engines.redis_command import Command, Script, Word
from umbel.engines.redis_connection import Connection, Welcome, pack, unready
from umbel.engines.redis_reply import refusal
from umbel.engines.redis_sentinel import Sentinels
from umbel.engines.redis_stream import Stream, connect
from umbel.engines.redis_subscription import AsyncSubscription, Subscription
from umbel.engines.redis_trying import is_unknown_script, paused, plain, raise_unready, refused

_FIRST_WITH_FLAGS: Final = 7
_RELOADS: Final = 3
_WAIT_GRACE_SECONDS: Final = 2.0
_UNSCRIPTED: Final = Command(())

_logger = logging.getLogger("umbel.broker")


class _Lane:
    """What one event loop has: a stream for commands, and idle ones that can wait for a list."""

    __slots__ = ("idle", "opening", "stream")

    def __init__(self) -> None:
        self.stream: Stream | None = None
        self.idle: list[Stream] = []
        self.opening = asyncio.Lock()

    def waiter(self) -> Stream | None:
        """An idle stream whose line still holds."""
        while self.idle:
            stream = self.idle.pop()
            if stream.lost is None:
                return stream
        return None

    def forget(self, *streams: Stream | None) -> None:
        """Close *streams* and their idle neighbours: what broke one has mostly broken all."""
        for stream in (*streams, *self.idle):
            if stream is not None:
                stream.close()
        self.idle.clear()


class Engine:
    """One database of Redis. Threads and forked children share it; each gets connections of its own.

    Commands are repeated until *deadline* seconds have passed, then `BrokerUnavailable` is raised; so each must be
    safe to repeat, or marked `once`.

    A server may be another one than before, or the same without its last moments: a failover and a restart lose what
    was acknowledged lately. What *missed* answers is sent to it first, before anything else on that line. *met* are the
    identities of the servers that are known; nodes of a Cluster share them.
    """

    def __init__(
        self,
        address: Address,
        deadline: float,
        missed: Callable[[], Sequence[Command]] | None = None,
        met: set[bytes] | None = None,
    ) -> None:
        self.address = address
        self._sentinels = Sentinels(address, address.watch) if address.watch is not None else None
        self._missed = missed
        self._met = set[bytes]() if met is None else met
        self._deadline = deadline
        self._name = str(address)
        self._plain = False
        self._idle: list[Connection] = []
        self._lanes = Lanes(_Lane, self._reborn)

    def call(self, commands: Sequence[Command]) -> list[Any]:
        """Send *commands* together, answer their replies.

        Raises `BrokerUnavailable`, `BrokerFull`, or `BrokerError` for the first one that is refused.
        """
        patience = Patience(self._name, self._deadline)
        while commands:
            try:
                replies = self._exchange(commands, patience)
                if not refused(replies):
                    return replies
                replies = drive(self._mended(commands, replies), lambda more: self._exchange(more, patience))
            except OSError as error:
                time.sleep(paused(patience, commands, error))
            else:
                return self.answered(commands, replies)
        return []

    async def acall(self, commands: Sequence[Command]) -> list[Any]:
        """The async twin of `call`."""
        patience = Patience(self._name, self._deadline)
        while commands:
            try:
                replies = await self._aexchange(commands, patience)
                if not refused(replies):
                    return replies
                replies = await adrive(self._mended(commands, replies), lambda more: self._aexchange(more, patience))
            except OSError as error:
                await asyncio.sleep(paused(patience, commands, error))
            else:
                return self.answered(commands, replies)
        return []

    def tried(self, commands: Sequence[Command], patience: Patience) -> list[Any]:
        """One try: the replies, refusals among them. Raises `OSError` if there is no answer."""
        replies = self._exchange(commands, patience)
        if not refused(replies):
            return replies
        return drive(self._mended(commands, replies), lambda more: self._exchange(more, patience))

    async def atried(self, commands: Sequence[Command], patience: Patience) -> list[Any]:
        """The async twin of `tried`."""
        replies = await self._aexchange(commands, patience)
        if not refused(replies):
            return replies
        return await adrive(self._mended(commands, replies), lambda more: self._aexchange(more, patience))

    def answered(self, commands: Sequence[Command], replies: list[Any]) -> list[Any]:
        """*replies* to *commands*, if all are answers. Raises `BrokerError` for the first that is a refusal."""
        for command, reply in zip(commands, replies, strict=True):
            if isinstance(reply, ReplyError):
                text = self.text(command.script) if command.script else ""
                raise refusal(str(reply), self._name, text) from reply
        return replies

    async def pop(self, keys: Sequence[bytes], seconds: float) -> bytes | None:
        """Wait up to *seconds* for an element in one of the lists *keys*, take it; answers that key, or None.

        Has a connection to itself while it waits; cancelled, it gives that up. Raises `BrokerUnavailable`.
        """
        patience = self.patience()
        try:
            reply = await self.ablocked(("BLPOP", *keys, max(0.001, seconds)), seconds, patience)
        except OSError as error:
            raise patience.over(error) from error
        self.answered([_UNSCRIPTED], [reply])
        return reply[0] if reply else None

    def blocked(self, words: tuple[Word, ...], seconds: float, patience: Patience) -> Any:
        """One try of a command that the server answers within *seconds*: its reply or refusal. Raises `OSError`."""
        connection = self._taken(patience)
        try:
            connection.patience(seconds + _WAIT_GRACE_SECONDS)
            replies = connection.exchange([pack(words)], 1)
            raise_unready(replies)
            connection.patience(self.address.timeout)
        except OSError:
            self._forget(connection)
            raise
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return replies[0]

    async def ablocked(self, words: tuple[Word, ...], seconds: float, patience: Patience) -> Any:
        """The async twin of `blocked`, on a connection that has nothing else to do; cancelled, it gives that up."""
        lane = self._lanes.here()
        packed = pack(words)
        stream = lane.waiter() or await self._aopened(patience)
        try:
            (reply,) = replies = await stream.exchange([packed], 1, seconds + _WAIT_GRACE_SECONDS)
            raise_unready(replies)
        except OSError:
            lane.forget(stream, lane.stream)
            raise
        except BaseException:
            stream.close()
            raise
        lane.idle.append(stream)
        return reply

    @contextlib.contextmanager
    def subscription(self, channel: bytes) -> Generator[Subscription]:
        """Listen to *channel* within a `with` block, on a connection that also takes commands. `OSError` ends it."""
        connection = self._taken(Patience(self._name, self._deadline))
        try:
            connection.subscribe(channel)
            yield Subscription(self.accepted, connection)
            connection.unsubscribe()
        except OSError:
            self._forget(connection)
            raise
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)

    @contextlib.asynccontextmanager
    async def asubscription(self, channel: bytes) -> AsyncGenerator[AsyncSubscription]:
        """The async twin of `subscription`; all of a loop share one connection."""
        stream = await self._stream(Patience(self._name, self._deadline))
        message = stream.listen(channel)
        try:
            yield AsyncSubscription(self.accepted, stream, message)
        finally:
            stream.leave(channel, message)

    def accepted(self, replies: list[Any]) -> list[Any]:
        """*replies*, if all are answers. Raises `OSError` or `BrokerError` for the first that is a refusal."""
        for reply in replies:
            if isinstance(reply, ReplyError):
                raise unready(reply) or refusal(str(reply), self._name) from reply
        return replies

    def patience(self) -> Patience:
        """The tries of one operation that reconnects by itself."""
        return Patience(self._name, self._deadline)

    def close(self) -> None:
        """Close this process's connections that no thread is using."""
        while self._idle:
            self._idle.pop().close()

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        lane = self._lanes.leave()
        if lane is None:
            return
        streams = [*lane.idle, *([lane.stream] if lane.stream is not None else [])]
        for stream in streams:
            stream.close()
        for stream in streams:
            await stream.closed

    def _exchange(self, commands: Sequence[Command], patience: Patience) -> list[Any]:
        patience.sent = False
        connection: Connection | None = None
        try:
            connection = self._taken(patience)
            patience.sent = True
            replies = connection.exchange(self._packed(commands), len(commands))
            raise_unready(replies)
        except BaseException:
            # Cut off in the middle, by Ctrl-C for example: the answer is still to come on that line.
            self._forget(connection)
            raise
        if patience.tries:
            connection.patience(self.address.timeout)
        self._idle.append(connection)
        return replies

    async def _aexchange(self, commands: Sequence[Command], patience: Patience) -> list[Any]:
        patience.sent = False
        stream = await self._stream(patience)
        patience.sent = True
        try:
            replies = await stream.exchange(self._packed(commands), len(commands), self._limit(patience))
            raise_unready(replies)
        except OSError:
            self._lanes.here().forget(stream)
            raise
        return replies

    def _packed(self, commands: Sequence[Command]) -> list[bytes]:
        if not self._plain:
            return [pack(command.words) for command in commands]
        return [pack(plain(command)) for command in commands]

    def _limit(self, patience: Patience) -> float | None:
        return min(patience.left, self.address.timeout) if patience.tries else None

    def _taken(self, patience: Patience) -> Connection:
        self._lanes.adopt()
        try:
            return self._idle.pop()
        except IndexError:
            connection = self._opened(patience)
        if patience.tries:
            connection.patience(min(patience.left, self.address.timeout))
        return connection

    def _opened(self, patience: Patience) -> Connection:
        seconds = min(self.address.connect_timeout, patience.left)
        address = self.address if self._sentinels is None else self._sentinels.primary(seconds)
        connection = Connection(address, seconds)
        self._plain = connection.server.version < _FIRST_WITH_FLAGS
        try:
            packed = self._for_stranger(connection.server)
            if packed:
                self._told(connection.server, connection.exchange(packed, len(packed)))
        except BaseException:
            connection.close()
            raise
        return connection

    def _for_stranger(self, server: Welcome) -> list[bytes]:
        """What to send first to *server*, in case that it missed something: nothing unless we know another one."""
        if server.identity in self._met or not server.identity:
            return []
        commands = self._missed() if self._met and self._missed is not None else ()
        if not commands:
            self._met.add(server.identity)
            return []
        loads = {command.script: self._loading(command.script) for command in commands if command.script is not None}
        return self._packed([*loads.values(), *commands])

    def _told(self, server: Welcome, replies: Sequence[Any]) -> None:
        """Note that *server* has what it missed, as far as it took it. Raises `OSError` to try again."""
        raise_unready(replies)
        self._met.add(server.identity)
        refused = [str(reply) for reply in replies if isinstance(reply, ReplyError)]
        _logger.warning(
            "%s has changed: what it acknowledged in the last seconds was sent again%s",
            self._name,
            f", in part refused: {refused[0]}" if refused else "",
        )

    def _forget(self, connection: Connection | None) -> None:
        """Close *connection* and its idle neighbours: what broke one has mostly broken all."""
        if connection is not None:
            connection.close()
        self.close()

    def _reborn(self) -> None:
        """We are a forked child: the connections belong to the parent, close our ends of them unused."""
        inherited, self._idle = self._idle, []
        for connection in inherited:
            connection.close()

    async def _stream(self, patience: Patience) -> Stream:
        lane = self._lanes.here()
        if lane.stream is None or lane.stream.lost is not None:
            async with lane.opening:
                if lane.stream is None or lane.stream.lost is not None:
                    stream = await self._aopened(patience)
                    try:
                        packed = self._for_stranger(stream.server)
                        if packed:
                            self._told(stream.server, await stream.exchange(packed, len(packed)))
                    except BaseException:
                        stream.close()
                        raise
                    lane.stream = stream
        return lane.stream

    async def _aopened(self, patience: Patience) -> Stream:
        seconds = min(self.address.connect_timeout, patience.left)
        address = self.address if self._sentinels is None else await self._sentinels.aprimary(seconds)
        stream = await connect(address, seconds)
        self._plain = stream.server.version < _FIRST_WITH_FLAGS
        return stream

    def _mended(self, commands: Sequence[Command], replies: list[Any]) -> Operation[Sequence[Command], list[Any]]:
        """Load the scripts that the server does not know, repeat what needed them; answer what stays refused."""
        for _ in range(_RELOADS):
            missing = [place for place, reply in enumerate(replies) if is_unknown_script(reply)]
            if not missing:
                break
            yield [self._loading(script) for place in missing if (script := commands[place].script) is not None]
            repeated = yield [commands[place] for place in missing]
            for place, reply in zip(missing, repeated, strict=True):
                replies[place] = reply
        return replies

    def _loading(self, script: Script) -> Command:
        return Command(("SCRIPT", "LOAD", self.text(script)))

    def text(self, script: Script) -> str:
        """What the server was given of *script*."""
        return script.plain_text if self._plain else script.text
