"""The servers of one run: Redis for all, and beside it what an engine needs, started for its first turn."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import psycopg
from pamqp import commands

from benchmarks.contenders import POSTGRES, RABBITMQ, SQLITE
from benchmarks.redis_server import RedisServer
from tests.servers import Postgres, RabbitMQ, Server
from tests.servers.rabbitmq import Line, empty

DATABASE = "bench"
POSTGRES_SETTINGS = ("shared_buffers = 512MB", "max_wal_size = 4GB")  # for all alike; the rest as it comes
OTHERS = ("celery",)  # queues at RabbitMQ that are not Umbel's


class Servers:
    """Servers that live as long as the ``with`` block."""

    def __enter__(self) -> "Servers":
        """Start Redis."""
        self._stack = ExitStack()
        self.redis = self._stack.enter_context(RedisServer())
        self._rabbitmq: Server | None = None
        self._postgres: Server | None = None
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
        if engine == POSTGRES:
            return f"{self.postgres.url.rpartition('/')[0]}/{DATABASE}"
        return self.rabbitmq.url if engine == RABBITMQ else self.redis.url

    def backend(self, engine: str) -> str:
        """Where results go on *engine*; empty for where the jobs are."""
        return self.redis.url if engine == RABBITMQ else ""

    def clear(self, engine: str) -> None:
        """Empty what *engine* uses."""
        self.redis.flush()
        if engine == POSTGRES:
            with psycopg.connect(self.postgres.url, autocommit=True) as admin:
                admin.execute(f"drop database if exists {DATABASE} with (force)".encode())
                admin.execute(f"create database {DATABASE}".encode())
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

    @property
    def postgres(self) -> Server:
        """A private one with ``fsync`` and ``synchronous_commit`` on, started when it is first asked for."""
        if self._postgres is None:
            folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="umbel-bench-postgres-"))
            self._postgres = self._stack.enter_context(Server(Postgres(POSTGRES_SETTINGS), Path(folder)))
        return self._postgres

    def versions(self) -> list[str]:
        """What was measured on, by name and version."""
        redis = f"Redis {self.redis.version()} on the same machine, without persistence"
        found = [redis]
        if self._rabbitmq is not None:
            line = Line(self._rabbitmq.port)
            line.close()
            found.append(f"RabbitMQ {line.version} on the same machine, one node")
        if self._postgres is not None:
            with psycopg.connect(self._postgres.url) as admin:
                version = admin.info.server_version // 10_000
            found.append(f"PostgreSQL {version} on the same machine, synchronous_commit on for all")
        return found
