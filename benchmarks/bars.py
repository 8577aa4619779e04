"""What Umbel has to reach, line by line: what is required, what was measured, and whether that is enough."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from benchmarks.findings import Findings
from benchmarks.metrics import Book

CELERY = ("celery", "celery-late", "celery-solo")
LATE = ("celery-late", "celery-solo", "dramatiq", "rq", "taskiq", "potatoq")
PEERS = ("celery", "huey", "huey-notify", *LATE)
MEMBERS = 10_000
ON_POSTGRES = ("procrastinate", "pgqueuer", "potatoq-postgres")
SAME_PROMISES = ("celery-rabbitmq-late", "celery-rabbitmq-solo")


@dataclass(frozen=True)
class Bar:
    """*required* of Umbel on *engine* or in a field; *measured* in words; *met* is None where it was not measured."""

    where: str
    required: str
    measured: str
    met: bool | None


def bars(found: Findings) -> list[Bar]:
    """All of them."""
    return [
        *_redis(found.book),
        *_sqlite(found.book),
        *_rabbitmq(found.book),
        *_postgres(found),
        *_flows(found),
        *_schedules(found),
        *_costs(found),
        *_backlog(found),
        *_command(found),
        *_history(found),
    ]


def lines(found: Findings) -> list[str]:
    """The bars as a Markdown table."""
    words = {True: "yes", False: "**no**", None: "-"}
    rows = [f"| {bar.where} | {bar.required} | {bar.measured} | {words[bar.met]} |" for bar in bars(found)]
    return ["| | required | measured | met |", "|---|---|---|---|", *rows]


@dataclass(frozen=True)
class _Race:
    """Umbel, called *ours* here, against the best of others in the same rounds."""

    book: Book
    where: str
    ours: str

    def times(self, required: str, least: float, metrics: str, others: tuple[str, ...]) -> Bar:
        """At least *least* times better than each of *others*; *metrics* is ours, and theirs if another (``a/b``)."""
        metric, _, theirs = metrics.partition("/")
        best = self.book.best(theirs or metric, others)
        ratio = self.book.ratio(metric, self.ours, best, theirs) if best else None
        if ratio is None:
            return _unknown(self.where, required)
        spread = f" ({ratio.least:.1f} to {ratio.most:.1f})" if ratio.least != ratio.most else ""
        return Bar(self.where, required, f"{ratio.middle:.1f}x{spread} {best}", ratio.middle >= least)


def _unknown(where: str, required: str) -> Bar:
    return Bar(where, required, "not measured", None)


def _most(where: str, required: str, value: float | None, most: float, unit: str) -> Bar:
    """A *value* that must not be above *most*."""
    if value is None:
        return _unknown(where, required)
    return Bar(where, required, f"{value:,.1f}{unit}", value <= most)


def _redis(book: Book) -> Iterator[Bar]:
    race = _Race(book, "Redis", "umbel")
    yield race.times("run `def` >= 12x Celery", 12, "def", CELERY)
    yield race.times("run `def` >= 2.5x each peer that settles late", 2.5, "def", LATE)
    yield race.times("run `async def` >= 20x Celery, which has `def` only", 20, "async/def", CELERY)
    yield race.times("run `def` >= 0.45x the bare protocol", 0.45, "def", ("bare loop",))
    yield race.times("enqueue one by one >= 4x Celery", 4, "enqueue", CELERY)
    yield race.times("enqueue one by one not below Dramatiq", 1, "enqueue", ("dramatiq",))
    yield race.times("enqueue in bulk >= 3x the best peer", 3, "bulk", PEERS)
    yield race.times("call to value p50 <= 0.5x Celery's", 2, "p50", CELERY)
    yield race.times("call to value p50 not above potatoQ's", 1, "p50", ("potatoq",))
    yield race.times("memory a queued job <= half of Celery's", 2, "bytes", CELERY)
    yield race.times("memory of the worker <= Celery's", 1, "pss", CELERY)


def _sqlite(book: Book) -> Iterator[Bar]:
    race = _Race(book, "SQLite", "umbel-sqlite")
    yield race.times("run `def` >= 5x Celery on Redis", 5, "def", CELERY)
    yield race.times("run `def` >= 1.5x potatoQ on SQLite", 1.5, "def", ("potatoq-sqlite",))
    p50 = book.summary("p50", "umbel-sqlite")
    yield _most("SQLite", "call to value p50 <= 3 ms", p50.middle if p50 else None, 3, " ms")


def _rabbitmq(book: Book) -> Iterator[Bar]:
    race = _Race(book, "RabbitMQ", "umbel-rabbitmq")
    yield race.times("run `def` >= 2x Celery with the same promises", 2, "def", SAME_PROMISES)
    yield race.times("run `def` not below Celery at its defaults", 1, "def", ("celery-rabbitmq",))


def _postgres(found: Findings) -> Iterator[Bar]:
    race = _Race(found.book, "PostgreSQL", "umbel-postgres")
    yield race.times("run `def` >= 2x the best of Procrastinate, PgQueuer, potatoQ", 2, "def", ON_POSTGRES)
    taken = found.receives
    times = taken.full.p99 / taken.empty.p99 if taken else None
    yield _most("PostgreSQL", "p99 of a receive among a million jobs <= 2x that without", times, 2, "x")


def _flows(found: Findings) -> Iterator[Bar]:
    race = _Race(found.book, "flows", "umbel")
    count = found.members or MEMBERS
    members = f"{count:,}"
    yield race.times(f"send a group of {members} >= 10x Celery", 10, "flow-sent", CELERY)
    yield race.times(f"group of {members}, to all results, >= 8x Celery", 8, "flow-group", CELERY)
    yield race.times(f"chord of {members} >= 8x Celery", 8, "flow-chord", CELERY)
    yield race.times(f"chain of {count // 10:,} >= 3x Celery", 3, "flow-chain", CELERY)
    body = found.book.summary("flow-body", "umbel")
    yield _most("flows", "a chord's body < 200 ms after its last member", body.middle if body else None, 200, " ms")
    small, large = (found.held[0], found.held[-1]) if found.held else (None, None)
    required = ("a member of a chord ten times as large takes <= 1.5x the time", "memory of client and worker flat")
    if small is None or large is None:
        yield from (_unknown("flows", each) for each in required)
        return
    yield _most("flows", required[0], large.each / small.each, 1.5, "x")
    client, worker = (large.client - small.client) / 1e6, (large.worker - small.worker) / 1e6
    told = f"client {client:+.1f} MB, worker {worker:+.1f} MB"
    yield Bar("flows", f"{required[1]} (< 10 MB more)", told, max(client, worker) < 10)


def _schedules(found: Findings) -> Iterator[Bar]:
    required = ("each tick exactly once while processes are killed", "sent p99 < 150 ms after its tick")
    if not found.ticked:
        yield from (_unknown("schedules", each) for each in required)
        return
    ticks, missing = sum(one.ticks for one in found.ticked), sum(one.missing for one in found.ticked)
    doubled = sum(one.doubled for one in found.ticked)
    told = f"of {ticks:,} {missing} not sent, {doubled} sent twice"
    yield Bar("schedules", required[0], told, not missing and not doubled)
    yield _most("schedules", required[1], max(one.sent.p99 for one in found.ticked), 150, " ms")


def _costs(found: Findings) -> Iterator[Bar]:
    governed = found.governed
    required = "limits, cancel and inspection take < 3 % of the rate"
    yield _least("control", required, median(governed.kept) if governed else None, 0.97)
    required = "by the CPU of worker and broker a job, too"
    yield _least("control", required, 1 / median(governed.cpu) if governed else None, 0.97)
    recorded = {one.engine: median(one.kept) for one in found.watched if one.way == "recorded"}
    for engine in recorded or ("Redis",):
        required = f"{engine}: events and history take <= 10 % of the rate"
        yield _least("events", required, recorded.get(engine), 0.9)
        by_cpu = [median(one.kept_by_cpu) for one in found.watched if (one.engine, one.way) == (engine, "recorded")]
        yield _least("events", f"{engine}: by the CPU of a job, too", min(by_cpu, default=None), 0.9)


def _least(where: str, required: str, kept: float | None, least: float) -> Bar:
    """A part of the rate that must be *kept*."""
    if kept is None:
        return _unknown(where, required)
    return Bar(where, required, f"{kept:.1%} kept", kept >= least)


def _backlog(found: Findings) -> Iterator[Bar]:
    large = found.backlog
    required = "the rate with a million queued within 15 % of that with 10,000"
    yield _least("backlog", required, large.kept if large else None, 0.85)
    grown = large.memory_large - large.memory_small if large else None
    yield _most("backlog", "memory of the worker grows by < 5 MB", grown, 5, " MB")


def _command(found: Findings) -> Iterator[Bar]:
    taken = 1000 * median(found.seconds_of_help) if found.seconds_of_help else None
    yield _most("command", "`umbel --help` < 150 ms", taken, 150, " ms")


def _history(found: Findings) -> Iterator[Bar]:
    if not found.history:
        yield _unknown("history", "a million jobs: what `python -m benchmarks.history` compares")
    for where, words, value, most, unit in found.history:
        yield Bar(where, f"{words} <= {most:g} {unit}", f"{value:,.2f} {unit}", value <= most)
