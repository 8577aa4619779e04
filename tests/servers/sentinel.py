"""A Redis primary, its replicas, and Sentinels that watch them."""

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.servers.packages import program
from tests.servers.redis import ANSWER_SECONDS, PACKAGE, PROGRAMS, Redis
from tests.servers.server import Server, Service

SERVICE = "jobs"
REPLICAS = 2
SENTINELS = 3
DOWN_MILLISECONDS = 1500
STEADY_MILLISECONDS = 60_000
"""For servers that nobody kills: on a busy machine none shall be taken for dead."""
READY_SECONDS = 90.0
POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Sentinel:
    """One Sentinel of *service*, whose primary is on *primary* and may be silent for *patience* milliseconds.

    *config* are further lines of its file.
    """

    primary: int
    config: tuple[str, ...] = ()
    patience: int = DOWN_MILLISECONDS
    name: str = "sentinel"

    def command(self, folder: Path, port: int) -> list[str]:
        """Give the command, and write the file that the Sentinel also keeps its own notes in."""
        settings = folder / "sentinel.conf"
        if not settings.exists():
            lines = [
                "bind 127.0.0.1",
                f"port {port}",
                f"sentinel monitor {SERVICE} 127.0.0.1 {self.primary} 2",
                f"sentinel down-after-milliseconds {SERVICE} {self.patience}",
                f"sentinel failover-timeout {SERVICE} 3000",
            ]
            settings.write_text("\n".join([*lines, *self.config]) + "\n")
        return [program(PROGRAMS, PACKAGE), str(settings), "--sentinel"]

    def answers(self, port: int) -> bool:
        """Tell whether it answers PING."""
        return Redis().answers(port)

    def url(self, port: int) -> str:
        """Give the address of the service's database 0, known to this Sentinel alone."""
        return f"redis+sentinel://127.0.0.1:{port}/{SERVICE}/0"


@dataclass
class Watched:
    """A primary, two replicas and three Sentinels; also a context manager.

    *config* is for each Redis, *patience* how many milliseconds one may be silent.
    """

    folder: Path
    config: tuple[str, ...] = ()
    sentinel_config: tuple[str, ...] = ()
    patience: int = DOWN_MILLISECONDS
    servers: list[Server] = field(default_factory=list)
    sentinels: list[Server] = field(default_factory=list)
    _stack: ExitStack = field(default_factory=ExitStack)

    @property
    def url(self) -> str:
        """The address of the service, known to all Sentinels."""
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in self.sentinels)
        return f"redis+sentinel://{hosts}/{SERVICE}/0"

    @property
    def primary(self) -> Server:
        """The server that the first Sentinel takes for the primary."""
        port = int(lines(self.sentinels[0].port, f"SENTINEL GET-MASTER-ADDR-BY-NAME {SERVICE}")[1])
        return next(each for each in self.servers if each.port == port)

    @property
    def replicas(self) -> list[Server]:
        """The other servers."""
        return [each for each in self.servers if each is not self.primary]

    def start(self) -> Self:
        """Start all, and wait until each Sentinel knows of all others."""
        config = (*self.config, "repl-diskless-sync-delay 0")
        first = self._started(Redis(config=config), "primary")
        self.servers.append(first)
        for number in range(REPLICAS):
            replica = Redis(config=(*config, f"replicaof 127.0.0.1 {first.port}"))
            self.servers.append(self._started(replica, f"replica-{number}"))
        for number in range(SENTINELS):
            sentinel = Sentinel(first.port, self.sentinel_config, self.patience)
            self.sentinels.append(self._started(sentinel, f"sentinel-{number}"))
            # From 7.0 on they can be told to look round more often; without it they take seconds to know each other.
            lines(self.sentinels[-1].port, "SENTINEL DEBUG INFO-PERIOD 200 PUBLISH-PERIOD 200")
        until(self._complete, "the Sentinels know each other and the replicas")
        return self

    def failed_over(self, old: Server) -> None:
        """Wait until every Sentinel names another primary than *old*, and that one takes writes."""
        until(lambda: all(self._names(each) != str(old.port) for each in self.sentinels), "a failover")
        until(lambda: lines(self.primary.port, "ROLE")[0] == "master", "a new primary")

    def close(self) -> None:
        """End all."""
        self._stack.close()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    def _started(self, service: Service, name: str) -> Server:
        server = Server(service, self.folder / name)
        self._stack.callback(server.close)
        return server.start()

    def _names(self, sentinel: Server) -> str:
        return lines(sentinel.port, f"SENTINEL GET-MASTER-ADDR-BY-NAME {SERVICE}")[1]

    def _complete(self) -> bool:
        for each in self.sentinels:
            words = lines(each.port, f"SENTINEL MASTER {SERVICE}")
            known = dict(zip(words[::2], words[1::2], strict=False))
            if (known["num-slaves"], known["num-other-sentinels"]) != (str(REPLICAS), str(SENTINELS - 1)):
                return False
        roles = [lines(each.port, "ROLE") for each in self.servers]
        return sum(role[0] == "slave" and role[3] == "connected" for role in roles) == REPLICAS


def lines(port: int, line: str) -> list[str]:
    """The words of a flat array that the server on *port* answers to a command; an error is its only word."""
    with socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS) as connection:
        connection.sendall(line.encode() + b"\r\n")
        with connection.makefile("rb") as reply:
            head = reply.readline().decode().rstrip()
            if not head.startswith("*"):
                return [head]
            return [_word(reply.readline().decode().rstrip(), reply.readline) for _ in range(int(head[1:]))]


def bulk(port: int, line: str) -> str:
    """The text that the server on *port* answers to a command."""
    with socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS) as connection:
        connection.sendall(line.encode() + b"\r\n")
        with connection.makefile("rb") as reply:
            return reply.read(int(reply.readline()[1:])).decode()


def until(condition: Callable[[], bool], what: str, seconds: float = READY_SECONDS) -> None:
    """Wait until *condition* is true. Raises `TimeoutError`, naming *what*."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        time.sleep(POLL_SECONDS)


def _word(head: str, read: Callable[[], bytes]) -> str:
    return read().decode().rstrip() if head.startswith("$") else head[1:]
