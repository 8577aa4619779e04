"""The supervisor's side of the forkserver: starts it by name, asks it to fork, hears of the ends of children."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Coroutine
from typing import Any, Final

import msgspec

from umbel.exceptions import UmbelError
from umbel.worker import kernel
from umbel.worker.channel import Channel, ChannelClosed
from umbel.worker.messages import Exited, Fork, Forked, Load, Loaded, LoadFailed, Message, Moment
from umbel.worker.options import ChildOptions

MODULE: Final = "umbel.worker.child.forkserver"


class AppFailed(UmbelError):
    """The app cannot be loaded; the text says why and what was tried, *traceback* where."""

    def __init__(self, failed: LoadFailed) -> None:
        """Keep what the forkserver told."""
        super().__init__(failed.error)
        self.traceback = failed.traceback


class ForkserverGone(UmbelError):
    """The forkserver has ended, and its children with it."""


class Birth(msgspec.Struct):
    """A fork that was asked for: the process id comes first, the end of the process some day.

    The end is None when the forkserver ended first: then nobody knows more than that its children end, too.
    """

    pid: asyncio.Future[int]
    exited: asyncio.Future[Exited | None]


class Forkserver:
    """One forkserver process. `gone` is set when it has ended."""

    def __init__(self, channel: Channel, pid: int) -> None:
        """Talk over *channel* to the process *pid*; use `spawn`."""
        self.pid = pid
        self.gone = asyncio.Event()
        self._process = os.pidfd_open(pid)
        self._channel = channel
        self._births: dict[int, Birth] = {}
        self._loaded: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._announced: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    def spawn(cls) -> Forkserver:
        """Start the process. It ends with this one, however this one ends."""
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.set_inheritable(True)
            arguments = [sys.executable, "-m", MODULE, str(theirs.fileno()), str(os.getpid())]
            no_input = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
            pid = os.posix_spawn(
                sys.executable, arguments, os.environ, file_actions=[no_input], setsigmask=kernel.IGNORED
            )
        return cls(Channel(ours), pid)

    async def load(self, order: Load) -> Loaded:
        """Have the app loaded. Raises `AppFailed` or `ForkserverGone`."""
        await self._tell(self._channel.send(order))
        answer = await self._loaded
        if isinstance(answer, LoadFailed):
            raise AppFailed(answer)
        if not isinstance(answer, Loaded):
            raise ForkserverGone(f"the forkserver speaks nonsense: {answer!r}")
        return answer

    async def fork(self, number: int, options: ChildOptions, end: socket.socket, page: int) -> Birth:
        """Fork child *number* with its channel's *end* and its board's *page*. Raises `ForkserverGone`."""
        loop = asyncio.get_running_loop()
        birth = Birth(loop.create_future(), loop.create_future())
        if self.gone.is_set():
            raise ForkserverGone("the forkserver has ended")
        self._births[number] = birth
        try:
            self._channel.send_with_fds(Fork(number, options), (end.fileno(), page))
        except ChannelClosed as error:
            self.kill()
            raise ForkserverGone(str(error)) from error
        await birth.pid
        return birth

    async def announce(self, moment: Moment) -> None:
        """Have the signal of *moment* sent there, and wait until its receivers are done. Raises `ForkserverGone`."""
        self._announced = asyncio.get_running_loop().create_future()
        await self._tell(self._channel.send(moment))
        await self._announced

    def kill(self) -> None:
        """End it now, and its children with it. Nothing happens if it has ended."""
        if not self.gone.is_set():
            kernel.kill(self._process)

    async def _tell(self, sending: Coroutine[Any, Any, None]) -> None:
        try:
            await sending
        except ChannelClosed as error:
            raise ForkserverGone(str(error)) from error

    async def _listen(self) -> None:
        try:
            while (message := await self._channel.receive()) is not None:
                self._hear(message)
        except ChannelClosed:
            self.kill()
        finally:
            self._end()

    def _hear(self, message: Message) -> None:
        match message:
            case Loaded() | LoadFailed():
                _set(self._loaded, message)
            case Moment():
                _set(self._announced, message)
            case Forked():
                _set(self._births[message.number].pid, message.pid)
            case Exited():
                _set(self._births.pop(message.number).exited, message)
            case _:
                raise ChannelClosed(f"not from a forkserver: {message!r}")

    def _end(self) -> None:
        self.kill()
        self.gone.set()
        os.close(self._process)
        self._channel.close()
        error = ForkserverGone("the forkserver has ended unexpectedly")
        _fail(self._loaded, error)
        _fail(self._announced, error)
        for birth in self._births.values():
            _fail(birth.pid, error)
            _set(birth.exited, None)
        self._births.clear()


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    """Have whoever waits for *future* raise *error*; if nobody does, as with a spare one, that is nothing to log."""
    if not future.done():
        future.set_exception(error)
        future.exception()


def _set(future: asyncio.Future[Any], value: object) -> None:
    if not future.done():  # cancelled: nobody waits any more
        future.set_result(value)
