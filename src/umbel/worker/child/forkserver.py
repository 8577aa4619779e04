"""The forkserver: loads the app once, without threads, and forks a child whenever the supervisor asks.

Started by name (``python -m umbel.worker.child.forkserver FD PARENT``), so that the supervisor never imports user code.
It dies with the supervisor, and its children die with it.
"""

from __future__ import annotations

import faulthandler
import gc
import logging
import os
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, NoReturn

import msgspec

from umbel import __version__
from umbel.app.connections import results_elsewhere
from umbel.app.loading import load_app
from umbel.exceptions import ImproperlyConfigured
from umbel.regulation import shown
from umbel.signals import worker_before_create_process
from umbel.telling import sketch_of
from umbel.worker import kernel
from umbel.worker.board import Board
from umbel.worker.channel import BlockingChannel, ChannelClosed
from umbel.worker.child import isolate
from umbel.worker.child.announcing import announce, app_loaded, listened
from umbel.worker.child.nursery import Nursery
from umbel.worker.messages import Exited, Fork, Forked, Load, Loaded, LoadFailed, Message, Moment
from umbel.worker.options import ChildOptions

OOM_POINTS: Final = 500
ORPHANED: Final = signal.SIGRTMIN + 5
"""What the kernel sends when the supervisor has ended."""
CRASHED_STATUS: Final = 70
_MAX_TRACEBACK_CHARACTERS: Final = 64 * 1024

logger = logging.getLogger("umbel.worker")

Entry = Callable[[Any, ChildOptions, socket.socket, Board], int]


class Forkserver:
    """Answers the supervisor over *channel* until that closes."""

    def __init__(self, channel: BlockingChannel, supervisor: int) -> None:
        """Serve *channel*, at whose other end is the process *supervisor*; nothing is loaded before it says what."""
        self._channel = channel
        self._supervisor = supervisor
        self._app: Any = None
        self._worker = ""
        self._entry: Entry = _no_entry
        self._watched: dict[int, tuple[int, int]] = {}  # pidfd -> number of the child, process id
        self._poll = select.poll()
        self._poll.register(channel, select.POLLIN)
        self._pid = os.getpid()
        self._nursery = Nursery(self._poll, self._become_isolate)

    def serve(self) -> None:
        """Do what the supervisor asks and report the ends of children; returns when the supervisor is gone."""
        while True:
            for fd, _ in self._poll.poll():
                if fd in self._watched:
                    self._report_end(fd)
                    continue
                if self._nursery.heed(fd):
                    continue
                messages = self._channel.read()
                if messages is None:
                    return
                for message in messages:
                    self._answer(message)

    def watch(self, parent: int) -> None:
        """From now on see to it, when *parent* ends without a word, that nothing of what runs here is left."""

        def orphaned(*_: object) -> None:
            self.end()

        signal.signal(ORPHANED, orphaned)
        kernel.die_with_parent(parent, ORPHANED)

    def end(self) -> None:
        """End this process, its children and all that their jobs have started; in a forked process do nothing."""
        if os.getpid() != self._pid:
            return
        # This process ends by itself, and the children by the kernel: it knows nothing of what they have started.
        for _, pid in self._watched.values():
            kernel.kill_group(pid)
        self._nursery.end()
        _leave_at_once(0)

    def _answer(self, message: Message) -> None:
        match message:
            case Load():
                self._channel.send(self._load(message))
                self.watch(self._supervisor)
            case Fork():
                self._fork(message)
            case Moment():
                announce(self._app, message, self._worker)
                self._channel.send(message)
            case _:
                raise ChannelClosed(f"not for a forkserver: {message!r}")

    def _load(self, order: Load) -> Message:
        """Import the user's code: the only place where that happens before the fork."""
        options = order.options
        try:
            if options.workdir:
                os.chdir(options.workdir)
            app = load_app(options.app)
            self._worker = order.worker
            app_loaded(app, order)
            results = results_elsewhere(app.conf, same=app.same_engine)
            described = Loaded(
                main=app.main or "",
                settings=msgspec.structs.replace(app.conf, beat_schedule={}, task_annotations={}, task_routes=()),
                tasks=sorted(app.tasks),
                results=results,
                schedules=app.periodic.entries() if options.beat else [],
                listened=listened(),
                version=__version__,
                sketches={name: sketch_of(task) for name, task in app.tasks.items()},
                limited={name: text for name, task in app.tasks.items() if (text := shown(task, app.conf))},
            )
            module, _, name = order.entry.partition(":")
            self._entry = getattr(import_module(module), name)
        except ImproperlyConfigured as error:
            return LoadFailed(str(error), _cause(error))
        except BaseException as error:  # noqa: BLE001 - also SystemExit of a script without a __main__ guard
            return LoadFailed(f"{options.app}: {type(error).__name__}: {error}", _text(error))
        self._app = app
        _ready_to_fork()
        return described

    def _fork(self, order: Fork) -> None:
        end, page = self._channel.take_fds(2)
        worker_before_create_process.send(self._app)
        options, nursery = self._nursery.open(order.number, order.options)
        pid = os.fork()
        if pid == 0:
            self._leave()
            nursery.detach()
            self._become_child(options, end, page)
        nursery.close()
        os.close(end)
        os.close(page)
        watched = os.pidfd_open(pid)
        self._watched[watched] = (order.number, pid)
        self._poll.register(watched, select.POLLIN)
        self._channel.send(Forked(order.number, pid))

    def _leave(self) -> None:
        """In the child: let go of what is the forkserver's."""
        self._channel.close()
        for watched in self._watched:
            os.close(watched)
        self._nursery.leave()

    def _become_isolate(self, options: ChildOptions, end: socket.socket) -> NoReturn:
        status = CRASHED_STATUS
        try:
            self._leave()
            self._settle_in(f"umbel job {options.worker}")
            status = isolate.live(self._app, options, end)
        except BaseException:  # noqa: BLE001 - as below
            traceback.print_exc()
        finally:
            _leave_at_once(status)

    def _settle_in(self, title: str) -> None:
        """In a forked process: be what it is to be."""
        kernel.die_with_parent(self._pid)
        kernel.lead()
        kernel.die_first(OOM_POINTS)
        kernel.set_title(title)
        gc.enable()

    def _become_child(self, options: ChildOptions, end: int, page: int) -> NoReturn:
        status = CRASHED_STATUS
        try:
            self._settle_in(f"umbel child {options.worker}")
            with socket.socket(fileno=end) as channel:
                board = Board.open(page, options.threads + options.async_slots)
                status = self._entry(self._app, options, channel, board)
        except BaseException:  # noqa: BLE001 - whatever it is, this process ends here and never returns to the loop
            traceback.print_exc()
        finally:
            _leave_at_once(status)

    def _report_end(self, watched: int) -> None:
        number, pid = self._watched.pop(watched)
        self._poll.unregister(watched)
        kernel.kill_left_behind(watched, pid)
        os.close(watched)
        _, status, usage = os.wait4(pid, 0)
        self._nursery.close(number)
        # ru_maxrss is in kilobytes on Linux.
        self._channel.send(Exited(number, os.waitstatus_to_exitcode(status), usage.ru_maxrss * 1024))


def main() -> None:
    """Run until the supervisor, process *argv[2]* at the other end of descriptor *argv[1]*, is gone."""
    channel = BlockingChannel(socket.socket(fileno=int(sys.argv[1])))
    kernel.ignore_signals()
    # The supervisor blocked them, so that Ctrl-C in the first milliseconds leaves no traceback.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, kernel.IGNORED)
    supervisor = int(sys.argv[2])
    kernel.die_with_parent(supervisor)  # whatever the app does while it is imported
    kernel.set_title("umbel forkserver")
    sys.argv[:] = ["umbel"]
    gc.disable()
    faulthandler.enable()
    kernel.dump_on_signal()
    forkserver = Forkserver(channel, supervisor)
    try:
        forkserver.serve()
    except (ChannelClosed, OSError):
        logger.debug("the supervisor is gone", exc_info=True)
    forkserver.end()


def _ready_to_fork() -> None:
    others = threading.active_count() - 1
    if others:
        logger.warning("the app starts %d threads when it is imported: they do not run in the children", others)
    # What is alive now stays: the collector of a child shall not write to these pages, they are shared by all.
    gc.collect()
    gc.freeze()


def _leave_at_once(status: int) -> NoReturn:
    """End without exit handlers: those belong to the process that registered them, before the fork."""
    try:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _cause(error: BaseException) -> str:
    return _text(error.__cause__) if error.__cause__ is not None else ""


def _text(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))[-_MAX_TRACEBACK_CHARACTERS:]


def _no_entry(*_: object) -> int:
    raise ChannelClosed("asked to fork before an app was loaded")


if __name__ == "__main__":
    main()
