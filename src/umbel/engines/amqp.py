"""RabbitMQ: publishes with confirmation from event loops and threads, and reconnects. One connection a loop for that.

Consuming has connections of its own: a server that is short of memory blocks those that publish.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from umbel.engines import amqp_frames as frames
from umbel.engines.amqp_address import Address
from umbel.engines.amqp_channel import Channel, Refused
from umbel.engines.amqp_connection import Connection, connect
from umbel.engines.amqp_letter import Letter, copied
from umbel.engines.lanes import Lanes
from umbel.engines.patience import Patience
from umbel.exceptions import BrokerError, BrokerFull, BrokerUnavailable

T = TypeVar("T")

WINDOW: Final = 256
"""How many messages may be unconfirmed at a time."""


class Unroutable(BrokerError):
    """No queue took some of the messages; *letters* are they. The others were accepted."""

    def __init__(self, letters: Sequence[Letter]) -> None:
        super().__init__(f"no queue for {', '.join(sorted({letter.route[1] for letter in letters}))}")
        self.letters = letters


class _Waiting:
    """A letter that is not confirmed yet."""

    __slots__ = ("letter", "outcome", "returned")

    def __init__(self, letter: Letter, outcome: asyncio.Future[bool]) -> None:
        self.letter = letter
        self.outcome = outcome
        self.returned = False


class _Lane:
    """What one event loop publishes over."""

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.channel: Channel | None = None
        self.turn = asyncio.Lock()
        self._sent = 0
        self._waiting: dict[int, _Waiting] = {}

    def adopt(self, connection: Connection, channel: Channel) -> None:
        """Publish over *channel* from now on."""
        self.connection, self.channel, self._sent, self._waiting = connection, channel, 0, {}
        channel.confirmed, channel.unroutable, channel.failed = self._confirmed, self._unroutable, self._failed

    def publish(self, letters: Sequence[Letter]) -> list[asyncio.Future[bool]]:
        """Send *letters* together; each future tells whether a queue took it, or raises. Raises `OSError`."""
        connection, channel = self.connection, self.channel
        if connection is None or channel is None:
            raise ConnectionResetError("not connected")
        loop = asyncio.get_running_loop()
        data = [
            frames.publish(channel.number, letter.route, letter.properties, letter.body, connection.frame_max)
            for letter in letters
        ]
        channel.write(b"".join(data))
        waiting = [_Waiting(letter, loop.create_future()) for letter in letters]
        for each in waiting:
            self._sent += 1
            self._waiting[self._sent] = each
        return [each.outcome for each in waiting]

    def _confirmed(self, tag: int, multiple: bool, accepted: bool) -> None:
        tags = [each for each in self._waiting if each <= tag] if multiple else [tag]
        for each in tags:
            waiting = self._waiting.pop(each, None)
            if waiting is None or waiting.outcome.done():
                continue
            if accepted:
                waiting.outcome.set_result(not waiting.returned)
            else:
                waiting.outcome.set_exception(ConnectionResetError("RabbitMQ did not accept a message"))

    def _unroutable(self, job_id: str) -> None:
        for waiting in self._waiting.values():
            if waiting.letter.properties.id == job_id and not waiting.returned:
                waiting.returned = True
                return

    def _failed(self, error: Exception) -> None:
        waiting, self._waiting = self._waiting, {}
        for each in waiting.values():
            if not each.outcome.done():
                each.outcome.set_exception(error)
                each.outcome.exception()  # looked at: whoever asked may have given up

    def healthy(self) -> bool:
        """Whether it can publish, as far as is known."""
        return self.channel is not None and self.channel.lost is None

    def blocked(self) -> bool:
        """Whether the server lets nobody publish, as far as is known."""
        return self.connection is not None and self.connection.blocked


class Engine:
    """One virtual host of RabbitMQ. Threads and forked children share it; each loop gets a connection of its own.

    Publishing goes on until *deadline* seconds have passed, then `BrokerUnavailable` is raised; what was published
    before without an answer may have arrived. Both sides give a sign of life in each half of *heartbeat* seconds;
    RabbitMQ takes back what it has sent to a peer that it has not heard for two to three times as long.
    """

    def __init__(self, address: Address, deadline: float, heartbeat: float) -> None:
        self.address = address
        self._deadline = deadline
        self._heartbeat = heartbeat
        self._name = str(address)
        self._lanes = Lanes(_Lane, self._reborn)
        self._thread: _Thread | None = None
        self._starting = threading.Lock()

    def patience(self) -> Patience:
        """The tries of one operation."""
        return Patience(self._name, self._deadline)

    async def connect(self, patience: Patience) -> Connection:
        """A connection of its own, until the patience is over. Raises `BrokerUnavailable` or `BrokerError`."""
        while True:
            try:
                return await connect(self.address, self._heartbeat, min(self.address.timeout, patience.left))
            except OSError as error:
                await asyncio.sleep(patience.pause(error))

    async def publish(self, letters: Sequence[Letter]) -> None:
        """Publish *letters* and wait until the server has them on its disks.

        Raises `Unroutable`, `BrokerUnavailable`, `BrokerFull` while the server blocks publishers, or `BrokerError`.
        """
        lost: list[Letter] = []
        for start in range(0, len(letters), WINDOW):
            lost += await self._published(letters[start : start + WINDOW])
        if lost:
            raise Unroutable(lost)

    @property
    def blocked(self) -> bool:
        """Whether the server lets nobody publish, as far as the connection of the running loop was told."""
        return self._lanes.here().blocked()

    @asynccontextmanager
    async def channel(self) -> AsyncGenerator[Channel]:
        """A channel for questions, on the connection that publishes. Raises `BrokerUnavailable` or `BrokerError`."""
        patience = self.patience()
        try:
            async with self._asking(patience) as connection:
                channel = await connection.open_channel(self._deadline)
                try:
                    yield channel
                except BaseException:
                    channel.leave()
                    raise
                await channel.close()
        except Refused as error:
            raise BrokerError(f"{self._name} refused: {error}") from error
        except OSError as error:
            raise patience.over(error) from error

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """The answer of *work*, run in the event loop of a thread of this engine's own."""
        self._lanes.adopt()
        with self._starting:
            if self._thread is None:
                self._thread = _Thread()
            thread = self._thread
        return thread.call(work)

    def close(self) -> None:
        """Close the connection of the thread, and end it."""
        with self._starting:
            thread, self._thread = self._thread, None
            if thread is not None and not self._lanes.inherited:
                thread.call(self.aclose())
                thread.end()

    async def aclose(self) -> None:
        """Close the connection of the running loop."""
        lane = self._lanes.leave()
        if lane is not None and lane.connection is not None:
            await lane.connection.aclose()

    async def _published(self, letters: Sequence[Letter]) -> list[Letter]:
        patience = self.patience()
        left: list[Letter] = list(letters)
        lost: list[Letter] = []
        while left:
            lane = await self._ready(patience)
            try:
                await self._until_free(lane, patience)
                outcomes = lane.publish(left)
                await self._confirmation(lane, outcomes, patience)
            except (OSError, Refused) as error:
                await self._wait(patience, lane, error)
                continue
            lost += [each for each, outcome in zip(left, outcomes, strict=True) if _answer(outcome) is False]
            left = [each for each, outcome in zip(left, outcomes, strict=True) if _answer(outcome) is None]
            if left:
                left = list(map(copied, left))
                await self._wait(patience, lane, _trouble(outcomes))
        return lost

    async def _until_free(self, lane: _Lane, patience: Patience) -> None:
        """Write nothing while the server would not read it: after `BrokerFull` it would be published all the same."""
        if lane.connection is not None and lane.blocked():
            try:
                async with asyncio.timeout(patience.left):
                    await lane.connection.free.wait()
            except TimeoutError as error:
                raise self._full() from error

    async def _confirmation(self, lane: _Lane, outcomes: Sequence[asyncio.Future[bool]], patience: Patience) -> None:
        """Wait for *outcomes*; a line on which nothing at all is heard is given up while there is time for another."""
        connection = lane.connection
        heard = connection.heard if connection is not None else 0
        _, waiting = await asyncio.wait(outcomes, timeout=min(patience.left, self._deadline / 2))
        if waiting and connection is not None and connection.heard == heard and not connection.blocked:
            connection.abort(TimeoutError("no sign of life from RabbitMQ"))
        elif waiting:
            await asyncio.wait(outcomes, timeout=patience.left)

    @asynccontextmanager
    async def _asking(self, patience: Patience) -> AsyncGenerator[Connection]:
        """The connection that publishes; one of its own while the server reads nothing from that."""
        lane = await self._ready(patience)
        assert lane.connection is not None  # noqa: S101 - _ready has seen to it
        if not lane.blocked():
            yield lane.connection
            return
        connection = await self.connect(patience)
        try:
            yield connection
        finally:
            await connection.aclose()

    async def _wait(self, patience: Patience, lane: _Lane, error: Exception) -> None:
        """Until the next try. Raises `BrokerFull`, not `BrokerUnavailable`, if the server said that it is full."""
        blocked = lane.blocked()
        try:
            pause = patience.pause(error)
        except BrokerUnavailable:
            if blocked:
                raise self._full() from error
            raise
        await asyncio.sleep(pause)

    def _full(self) -> BrokerFull:
        return BrokerFull(f"{self._name} is out of memory or disk and lets nobody publish")

    async def _ready(self, patience: Patience) -> _Lane:
        lane = self._lanes.here()
        if not lane.healthy():
            async with lane.turn:
                if not lane.healthy():
                    await self._open(lane, patience)
        return lane

    async def _open(self, lane: _Lane, patience: Patience) -> None:
        while True:
            connection = lane.connection
            if connection is None or connection.lost is not None:
                connection = await self.connect(patience)
            try:
                channel = await connection.open_channel()
                await channel.confirm()
            except OSError as error:
                await asyncio.sleep(patience.pause(error))
            else:
                lane.adopt(connection, channel)
                return

    def _reborn(self) -> None:
        """We are a forked child: connections and thread are the parent's, and so may be whoever has the lock."""
        self._starting = threading.Lock()
        self._thread = None


class _Thread:
    """A thread with an event loop, for calls from code that has none."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="umbel-amqp", daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        self._loop.run_forever()
        self._loop.close()


def _answer(outcome: asyncio.Future[bool]) -> bool | None:
    """Whether a queue took the message; None when it is not known to have arrived."""
    if not outcome.done() or outcome.cancelled() or outcome.exception() is not None:
        return None
    return outcome.result()


def _trouble(outcomes: Sequence[asyncio.Future[bool]]) -> Exception:
    for outcome in outcomes:
        if outcome.done() and not outcome.cancelled() and isinstance(error := outcome.exception(), Exception):
            return error
    return TimeoutError("no confirmation")
