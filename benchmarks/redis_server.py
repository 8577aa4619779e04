"""A private Redis server on a free loopback port, in a temporary folder, without persistence."""

import shutil
import socket
import subprocess
import tempfile
import time
from types import TracebackType

START_SECONDS = 10
ANSWER_SECONDS = 60
OPTIONS = {"bind": "127.0.0.1", "save": "", "appendonly": "no", "maxmemory-policy": "noeviction", "loglevel": "warning"}


class RedisServer:
    """A server that lives as long as the ``with`` block."""

    def __enter__(self) -> "RedisServer":
        """Start it and wait until it answers."""
        executable = shutil.which("redis-server")
        if executable is None:
            raise FileNotFoundError("redis-server is not installed")
        self._folder = tempfile.TemporaryDirectory(prefix="umbel-bench-redis-")
        self._port = _free_port()
        options = [part for name, value in OPTIONS.items() for part in (f"--{name}", value)]
        command = [executable, "--port", str(self._port), "--dir", self._folder.name, *options]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self._wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it and remove its folder."""
        self._process.terminate()
        self._process.wait()
        self._folder.cleanup()

    def flush(self) -> None:
        """Remove every key and give the memory back."""
        self._ask("FLUSHALL SYNC")
        self._ask("MEMORY PURGE")

    def used_memory(self) -> int:
        """Bytes that the server has allocated."""
        return int(self._info("used_memory"))

    def version(self) -> str:
        """The server's version."""
        return self._info("redis_version")

    def _info(self, field: str) -> str:
        lines = self._ask("INFO").splitlines()
        return next(line.partition(":")[2] for line in lines if line.startswith(f"{field}:"))

    def _ask(self, command: str) -> str:
        """Send one command in the protocol's plain form and read its answer."""
        with (
            socket.create_connection(("127.0.0.1", self._port), ANSWER_SECONDS) as wire,
            wire.makefile("rwb") as stream,
        ):
            stream.write(command.encode() + b"\r\n")
            stream.flush()
            head = stream.readline()
            if head[:1] in (b"-", b""):
                raise ConnectionError(f"{command}: {head!r}")
            return stream.read(int(head[1:])).decode() if head.startswith(b"$") else head[1:].decode().strip()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self._ask("PING")
                return
            except ConnectionError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise
                time.sleep(0.02)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
