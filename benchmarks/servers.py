"""The servers of one run: Redis for all, and beside it what an engine needs, started for its first turn."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from pamqp import commands

from benchmarks.contenders import RABBITMQ, SQLITE
from benchmarks.redis_server import RedisServer
from tests.servers import RabbitMQ, Server
from tests.servers.rabbitmq import Line, empty

OTHERS = ("celery",)  # queues at RabbitMQ that are not Umbel's


class Servers:
    """Servers that live as long as the ``with`` block."""

    def __enter__(self) -> "Servers":
        """Start Redis."""
        self._stack = ExitStack()
        self.redis = self._stack.enter_context(RedisServer())
        self._rabbitmq: Server | None = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop them and remove their folders."""
        self._stack.close()

    def broker(self, engine: str, files: Path) -> str:
        """Where jobs go on *engine*: a URL, or the path of a file in *files*."""
        if engine == SQLITE:
            return str(files / "jobs.sqlite3")
        return self.rabbitmq.url if engine == RABBITMQ else self.redis.url

    def backend(self, engine: str) -> str:
        """Where results go on *engine*; empty for where the jobs are."""
        return self.redis.url if engine == RABBITMQ else ""

    def clear(self, engine: str) -> None:
        """Empty what *engine* uses."""
        self.redis.flush()
        if engine == RABBITMQ:
            empty(self.rabbitmq.port, ("default",))
            line = Line(self.rabbitmq.port)
            for name in OTHERS:
                line.ask(commands.Queue.Delete(queue=name))
            line.close()

    @property
    def rabbitmq(self) -> Server:
        """A private node, started when it is first asked for."""
        if self._rabbitmq is None:
            folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="umbel-bench-rabbitmq-"))
            self._rabbitmq = self._stack.enter_context(Server(RabbitMQ(), Path(folder)))
        return self._rabbitmq

    def versions(self) -> list[str]:
        """What was measured on, by name and version."""
        redis = f"Redis {self.redis.version()} on the same machine, without persistence"
        if self._rabbitmq is None:
            return [redis]
        line = Line(self._rabbitmq.port)
        line.close()
        return [redis, f"RabbitMQ {line.version} on the same machine, one node"]
