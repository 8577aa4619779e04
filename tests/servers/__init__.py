"""Private copies of the servers that tests, demo and benchmarks need.

    with Server(Redis(appendonly="always"), folder) as server:
        connect(server.url) …
        server.kill()       # SIGKILL
        server.start()      # again, on the same port and data

Every copy listens on a free loopback port, keeps its files in a folder given to it and ends with the process that
started it, however that process ends. A server that is not on this machine is installed; failing that is an error.
"""

from tests.servers.disk import Disk, DiskError
from tests.servers.mariadb import MariaDB
from tests.servers.objects import Objects
from tests.servers.ports import reserve
from tests.servers.postgres import PgBouncer, Postgres
from tests.servers.prometheus import Prometheus
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.redis import Redis
from tests.servers.server import Server, ServerError, Service

__all__ = [
    "Disk",
    "DiskError",
    "MariaDB",
    "Objects",
    "PgBouncer",
    "Postgres",
    "Prometheus",
    "RabbitMQ",
    "Redis",
    "Server",
    "ServerError",
    "Service",
    "reserve",
]
