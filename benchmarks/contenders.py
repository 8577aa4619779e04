"""Who takes part: packages, application, engine, and when it settles a job."""

from dataclasses import dataclass

REDIS = "Redis"
SQLITE = "SQLite"
RABBITMQ = "RabbitMQ"
POSTGRES = "PostgreSQL"
UMBEL = "umbel"
LOOP = "bare loop"


@dataclass(frozen=True)
class Contender:
    """One column of the tables.

    *environment* names the virtual environment, *packages* what is installed there at its latest version (nothing for
    Umbel, which is taken from the interpreter that runs the benchmark). *settles* says when a job leaves the broker:
    ``late``, after it ran, or ``early``, before. *variant* picks among an application's settings. *workers* is how
    often the worker command is started: more than once only where a worker is a single process. With *results_only* it
    has no turn with results off; one that is not *returning* stores none, and no call waits for a value. *part* names
    which of its applications is meant.
    """

    name: str
    environment: str
    packages: tuple[str, ...]
    settles: str
    has_bulk: bool = False
    has_async: bool = False
    engine: str = REDIS
    variant: str = ""
    workers: int = 1
    results_only: bool = False
    returning: bool = True
    part: str = "app"

    @property
    def module(self) -> str:
        """Its application."""
        return f"benchmarks.peers.{self.environment}_{self.part}"

    @property
    def main_package(self) -> str:
        """The distribution whose version heads the column."""
        return self.environment


CELERY = ("celery[redis]", "hiredis")
HUEY = ("huey", "redis", "hiredis")
POTATOQ = ("potatoq[redis,postgres]", "hiredis")


def _without_values(name: str, packages: tuple[str, ...]) -> Contender:
    """One on PostgreSQL that stores no values and whose worker is a single process."""
    return Contender(
        name, name, packages, "late", True, True, POSTGRES, workers=2, results_only=True, returning=False
    )  # fmt: skip


CONTENDERS = (
    Contender(UMBEL, UMBEL, (), "late", has_bulk=True, has_async=True),
    Contender("celery", "celery", CELERY, "early", variant="early"),
    Contender("celery-late", "celery", CELERY, "late", variant="late"),
    Contender("celery-solo", "celery", CELERY, "late", variant="solo", workers=2),
    Contender("dramatiq", "dramatiq", ("dramatiq[redis]", "hiredis"), "late", has_async=True),
    Contender("huey", "huey", HUEY, "early"),
    Contender("huey-notify", "huey", HUEY, "early", variant="notify", results_only=True),
    Contender("rq", "rq", ("rq", "hiredis"), "late", has_bulk=True, has_async=True),
    Contender("taskiq", "taskiq", ("taskiq[uv,orjson]", "taskiq-redis", "hiredis"), "late", has_async=True),
    Contender("potatoq", "potatoq", POTATOQ, "late", has_bulk=True, has_async=True),
    Contender(LOOP, UMBEL, (), "late", variant="loop", workers=2),
    Contender("umbel-sqlite", UMBEL, (), "late", has_bulk=True, has_async=True, engine=SQLITE, results_only=True),
    Contender("potatoq-sqlite", "potatoq", POTATOQ, "late", has_bulk=True, engine=SQLITE, results_only=True),
    Contender("umbel-rabbitmq", UMBEL, (), "late", has_bulk=True, engine=RABBITMQ, results_only=True),
    Contender("celery-rabbitmq", "celery", CELERY, "early", engine=RABBITMQ, variant="early", results_only=True),
    Contender("celery-rabbitmq-late", "celery", CELERY, "late", engine=RABBITMQ, variant="late", results_only=True),
    Contender(
        "celery-rabbitmq-solo", "celery", CELERY, "late", engine=RABBITMQ, variant="solo", workers=2, results_only=True
    ),
    Contender("umbel-postgres", UMBEL, (), "late", has_bulk=True, has_async=True, engine=POSTGRES, results_only=True),
    _without_values("procrastinate", ("procrastinate",)),
    _without_values("pgqueuer", ("pgqueuer[asyncpg,cli]", "uvloop")),
    Contender("potatoq-postgres", "potatoq", POTATOQ, "late", has_bulk=True, engine=POSTGRES, results_only=True),
    Contender("huey-sqlite", "huey", HUEY, "early", engine=SQLITE, results_only=True),
)
