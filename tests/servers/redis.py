"""Redis or Valkey."""

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.servers.packages import program

PROGRAMS = ("redis-server", "valkey-server")
PACKAGE = "redis-server"
ANSWER_SECONDS = 30.0
REPLICATED_SECONDS = 60.0


@dataclass(frozen=True)
class Redis:
    """A private Redis. *config* are further lines of redis.conf, *maxmemory* is in Redis's words ("100mb")."""

    appendonly: Literal["no", "everysec", "always"] = "no"
    maxmemory: str | None = None
    config: tuple[str, ...] = ()
    name: str = "redis"

    def command(self, folder: Path, port: int) -> list[str]:
        """Give the command, and write redis.conf into *folder*."""
        lines = ["bind 127.0.0.1", f"port {port}", "daemonize no", 'save ""', "enable-debug-command local"]
        if self.appendonly != "no":
            lines += ["appendonly yes", f"appendfsync {self.appendonly}"]
        if self.maxmemory is not None:
            lines.append(f"maxmemory {self.maxmemory}")
        settings = folder / "redis.conf"
        settings.write_text("\n".join([*lines, *self.config]) + "\n")
        return [program(PROGRAMS, PACKAGE), str(settings)]

    def answers(self, port: int) -> bool:
        """Tell whether it answers PING; while it loads its data it answers otherwise."""
        try:
            return command(port, "PING") == "+PONG"
        except OSError:
            return False

    def url(self, port: int) -> str:
        """Give the redis:// address of database 0."""
        return f"redis://127.0.0.1:{port}/0"


def command(port: int, line: str) -> str:
    """Send one command to the Redis on *port* and return the first line of its reply, as the protocol spells it.

    Needs no driver: what tests the driver should not rest upon it. Raises `OSError`.
    """
    with socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS) as connection:
        connection.sendall(line.encode() + b"\r\n")
        return connection.makefile("rb").readline().decode().rstrip()


def replicated(port: int, replicas: int, key: str = "tests:replicated") -> None:
    """Wait until *replicas* have all that the Redis on *port* was told until now; writes *key*. Raises `OSError`.

    WAIT speaks of what its own connection wrote last, so that it must write first; alone it answers at once.
    """
    with socket.create_connection(("127.0.0.1", port), REPLICATED_SECONDS + 5.0) as connection:
        connection.sendall(f"SET {key} 1\r\nWAIT {replicas} {int(REPLICATED_SECONDS * 1000)}\r\n".encode())
        answers = connection.makefile("rb")
        answers.readline()
        if answers.readline().rstrip() != b":%d" % replicas:
            raise OSError(f"not {replicas} replicas of {port} follow it")


def flush(port: int) -> None:
    """Empty every database of the Redis on *port*, its scripts and its settings changed at run time excepted."""
    reply = command(port, "FLUSHALL")
    if reply != "+OK":
        raise OSError(f"FLUSHALL: {reply}")


def install() -> str:
    """Give the path of the server's program, installed if it was missing. Raises `FileNotFoundError`."""
    return program(PROGRAMS, PACKAGE)
