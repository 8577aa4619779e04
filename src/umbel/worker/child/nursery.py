"""Nursery: the forkserver's side of jobs that run in processes of their own. A child asks; what it got dies with it.

A child and the forkserver talk over a pair of sockets that keeps the bounds of messages: the child sends one end of
another pair, and is answered the id of the process that has taken it, and a pidfd of it.
"""

from __future__ import annotations

import logging
import os
import select
import socket
from collections.abc import Callable
from typing import Final

import msgspec

from umbel.worker import kernel
from umbel.worker.options import ChildOptions

ASK: Final = b"fork"
_MAX_ANSWER_BYTES: Final = 32
ASK_SECONDS: Final = 10.0

logger = logging.getLogger("umbel.worker")


class Owner(msgspec.Struct, frozen=True):
    """A child that may ask: its number, what it was told, and our end of its socket."""

    number: int
    options: ChildOptions
    end: socket.socket


class Nursery:
    """Forks for children. *poll* tells the forkserver which descriptors have news; *live* is the life of a process."""

    def __init__(self, poll: select.poll, live: Callable[[ChildOptions, socket.socket], int]) -> None:
        """Nobody may ask yet."""
        self._poll = poll
        self._live = live
        self._owners: dict[int, Owner] = {}  # by the descriptor of our end
        self._processes: dict[int, tuple[int, int]] = {}  # pidfd -> number of the owner, process id

    def open(self, number: int, options: ChildOptions) -> tuple[ChildOptions, socket.socket]:
        """Let child *number* ask; answers *options* with its end in it, and that end, to be closed after the fork."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        options = msgspec.structs.replace(options, nursery=theirs.fileno())
        self._owners[ours.fileno()] = Owner(number, options, ours)
        self._poll.register(ours, select.POLLIN)
        return options, theirs

    def close(self, number: int) -> None:
        """Child *number* has ended: end the processes that it had."""
        for fd, owner in list(self._owners.items()):
            if owner.number == number:
                self._drop(fd)
        for process, (owner_number, _) in self._processes.items():
            if owner_number == number:
                kernel.kill(process)

    def end(self) -> None:
        """End all processes, and what their jobs have started."""
        for _, pid in self._processes.values():
            kernel.kill_group(pid)

    def leave(self) -> None:
        """In a forked process: let go of everything."""
        for owner in self._owners.values():
            owner.end.close()
        for process in self._processes:
            os.close(process)

    def heed(self, fd: int) -> bool:
        """See to the news of *fd*, if it is one of ours. In a forked process it answers the exit status by ending."""
        if fd in self._owners:
            self._answer(self._owners[fd])
        elif fd in self._processes:
            self._bury(fd)
        else:
            return False
        return True

    def _answer(self, owner: Owner) -> None:
        try:
            asked, fds, _, _ = socket.recv_fds(owner.end, len(ASK), 1)
        except OSError:
            asked, fds = b"", []
        if not asked or not fds:
            self._drop(owner.end.fileno())
            return
        pid = self._fork(owner, fds[0])
        process = os.pidfd_open(pid)
        self._processes[process] = (owner.number, pid)
        self._poll.register(process, select.POLLIN)
        try:
            socket.send_fds(owner.end, [str(pid).encode()], [process])
        except OSError:  # the child has ended meanwhile
            kernel.kill(process)

    def _fork(self, owner: Owner, end: int) -> int:
        with socket.socket(fileno=end) as channel:
            pid = os.fork()
            if pid == 0:
                self._live(owner.options, channel)  # never returns
        return pid

    def _bury(self, process: int) -> None:
        _, pid = self._processes.pop(process)
        self._poll.unregister(process)
        kernel.kill_left_behind(process, pid)
        os.close(process)
        os.waitpid(pid, 0)

    def _drop(self, fd: int) -> None:
        self._poll.unregister(fd)
        self._owners.pop(fd).end.close()


def ask(nursery: socket.socket) -> tuple[socket.socket, int, int]:
    """In a child: a new process as our end of its socket, its id and a pidfd. Raises OSError."""
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            socket.send_fds(nursery, [ASK], [theirs.fileno()])
        answer, (process,), _, _ = socket.recv_fds(nursery, _MAX_ANSWER_BYTES, 1)
    except (OSError, ValueError) as error:
        ours.close()
        raise OSError(f"the forkserver does not answer: {error}") from error
    return ours, int(answer), process
