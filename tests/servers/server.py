"""One copy of a server: started, killed, paused and stopped."""

import atexit
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Protocol, Self

from tests.servers.ports import reserve

START_SECONDS = 180.0
STOP_SECONDS = 10.0
KILL_SECONDS = 60.0
POLL_SECONDS = 0.005


class ServerError(Exception):
    """A server did not start, or did not end; the text has the last lines of its log."""


class Service(Protocol):
    """How one kind of server is run. An instance carries its options."""

    @property
    def name(self) -> str:
        """Name its log file."""
        ...

    def command(self, folder: Path, port: int) -> list[str]:
        """Give the command that runs it in the foreground, and write into *folder* the settings that it reads."""
        ...

    def answers(self, port: int) -> bool:
        """Tell whether it is ready for clients; returns at once, raises nothing."""
        ...

    def url(self, port: int) -> str:
        """Give the address that a client connects to."""
        ...


class Server:
    """One copy of *service* with its data in *folder*, on one port until `close`; also a context manager.

    Start it from a thread that outlives it: Linux ends the server with the thread that started it.
    """

    def __init__(self, service: Service, folder: Path) -> None:
        """Reserve a port; nothing runs yet."""
        self.service = service
        self.folder = folder
        self.log = folder / f"{service.name}.log"
        self._reservation = reserve()
        self._process: subprocess.Popen[bytes] | None = None
        self._paused = False

    @property
    def port(self) -> int:
        """The port on 127.0.0.1, the same after a restart."""
        return self._reservation.port

    @property
    def url(self) -> str:
        """The address that a client connects to."""
        return self.service.url(self.port)

    @property
    def running(self) -> bool:
        """Whether the process lives, be it paused or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id. Raises `ServerError` while it does not run."""
        if self._process is None:
            raise ServerError(f"{self.service.name} does not run")
        return self._process.pid

    def start(self) -> Self:
        """Start it, on the data that an earlier start left, and wait until it answers. Raises `ServerError`."""
        if self.running:
            return self
        self.folder.mkdir(parents=True, exist_ok=True)
        command = self.service.command(self.folder, self.port)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*_dying_with_us(), *command],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C at the terminal is for the tests alone
            )
        self._paused = False
        _started.add(self)
        self._wait_until_it_answers()
        return self

    def ensure_running(self) -> None:
        """Resume it if it is paused, start it if it is dead."""
        self.resume()
        self.start()

    def pause(self) -> None:
        """Freeze it: its connections stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED)
        self._paused = True

    def resume(self) -> None:
        """Let it go on after `pause`."""
        if self._paused and self.running:
            os.kill(self.pid, signal.SIGCONT)
        self._paused = False

    def kill(self) -> None:
        """End it without warning (SIGKILL); what it had not written to disk is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(KILL_SECONDS)
            self._ended()

    def stop(self) -> None:
        """Ask it to end, and kill it if it does not within `STOP_SECONDS`."""
        if self._process is None:
            return
        self.resume()
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        else:
            self._ended()

    def restart(self) -> None:
        """Stop and start it, on the same port and data."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Kill it and give the port away; the folder stays."""
        self.kill()
        self._reservation.release()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ended(self) -> None:
        self._process = None
        self._paused = False
        _started.discard(self)

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while self.running:
            if self.service.answers(self.port):
                return
            if time.monotonic() > deadline:
                break
            time.sleep(POLL_SECONDS)
        tail = self.log.read_text(errors="replace")[-2000:]
        self.kill()
        raise ServerError(f"{self.service.name} on port {self.port} did not start:\n{tail}")


_started: set[Server] = set()
_owner = os.getpid()


def _dying_with_us() -> list[str]:
    """Give the words in front of a command that make the kernel kill it when its starter ends, where there are such."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []


@atexit.register
def _kill_all() -> None:
    """End what still runs; not in a forked child, whose parent's servers they are."""
    if os.getpid() == _owner:
        for server in list(_started):
            server.kill()
