"""What was measured, as Markdown: for the terminal and for RESULTS.md."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import backlog, events, flows, machine, receives, ticks
from benchmarks.backlog import Backlog
from benchmarks.contenders import LOOP, POSTGRES, RABBITMQ, REDIS, SQLITE, UMBEL, Contender
from benchmarks.events import Cost
from benchmarks.flows import Held
from benchmarks.metrics import FLOWS, METRICS, RESULTS_OFF, RESULTS_ON, Book, Summary
from benchmarks.receives import Receives
from benchmarks.ticks import Ticked

BASELINE = "late"  # the variant of Celery that promises the same
PLACE = re.compile(r"((redis|amqp|postgresql)://\S+|(/[\w.+@-]+){2,})")
HEADER = """# Results

Written by `make bench`: every contender at its latest version in an environment of its own, at the fastest settings
that its documentation names (see the head of each file in `peers/`), two worker processes, one private Redis, in turns
in one run. Jobs are no-op tasks that return a number; they are counted from inside the task. A cell is the median of
the rounds and, where there are several, the least and the most. *late*: a job leaves the broker after it ran, so a
crash loses nothing; *early*: before."""


@dataclass(frozen=True)
class Findings:
    """All that a report tells."""

    book: Book
    contenders: Sequence[Contender]
    versions: dict[str, dict[str, str]]
    servers: Sequence[str]
    rounds: int
    backlog: Backlog | None
    receives: Receives | None
    members: int
    held: Sequence[Held]
    ticked: Sequence[Ticked]
    watched: Sequence[Cost]


def markdown(found: Findings) -> str:
    """The whole report."""
    on_redis = [contender for contender in found.contenders if contender.engine == REDIS]
    on_sqlite = [contender for contender in found.contenders if contender.engine == SQLITE]
    on_rabbitmq = [contender for contender in found.contenders if contender.engine == RABBITMQ]
    on_postgres = [contender for contender in found.contenders if contender.engine == POSTGRES]
    parts = [HEADER, "\n".join([*machine.lines(found.servers), f"* rounds: {found.rounds}"]), _versions(found)]
    parts += _section("On Redis, results stored", found.book, on_redis, RESULTS_ON)
    parts += _section("On Redis, results off", found.book, on_redis, RESULTS_OFF)
    parts += _section("On SQLite, results stored", found.book, on_sqlite, RESULTS_ON)
    parts += _section("On RabbitMQ, results in Redis", found.book, on_rabbitmq, RESULTS_ON)
    parts += _section("On PostgreSQL, results stored where the contender can", found.book, on_postgres, RESULTS_ON)
    parts += _ratios("How many times better Umbel is, on Redis", found.book, on_redis)
    parts += _ratios("How many times better Umbel is, on RabbitMQ", found.book, on_rabbitmq)
    parts += _ratios("How many times better Umbel is, on PostgreSQL", found.book, on_postgres)
    parts += _limit(found.book)
    sizes = f"{found.members:,} members, {found.members // flows.STEPS:,} steps"
    parts += _section(f"Flows on Redis: {sizes}", found.book, on_redis, FLOWS)
    if found.held:
        parts += ["## Memory of flows", "\n".join(flows.lines(found.held))]
    if found.ticked:
        parts += ["## Schedules while processes are killed", "\n".join(ticks.lines(found.ticked))]
    if found.watched:
        parts += ["## What watching costs", "\n".join(events.lines(found.watched))]
    if found.backlog is not None:
        parts += ["## With a backlog", "\n".join(backlog.lines(found.backlog))]
    if found.receives is not None:
        parts += ["## A receive on PostgreSQL", "\n".join(receives.lines(found.receives))]
    if found.book.failures:
        notes = [f"* {what}, {len(errors)}x: {_told(errors[-1])}" for what, errors in found.book.failures.items()]
        parts += ["## What went wrong", "\n".join(notes)]
    return "\n\n".join(parts) + "\n"


def _versions(found: Findings) -> str:
    """Versions of each environment."""
    rows = [
        f"| {name} | {', '.join(f'{package} {version}' for package, version in versions.items())} |"
        for name, versions in found.versions.items()
    ]
    return "\n".join(["| environment | versions |", "|---|---|", *rows])


def _section(title: str, book: Book, contenders: Sequence[Contender], metrics: Sequence[str]) -> list[str]:
    """A table: a row a contender, a column a metric that somebody was measured in."""
    rows = [
        contender
        for contender in contenders
        if contender.name != LOOP and any(book.summary(metric, contender.name) for metric in metrics)
    ]
    columns = [metric for metric in metrics if any(book.summary(metric, contender.name) for contender in rows)]
    if not columns:
        return []
    table = [_row("", "settles", *(METRICS[metric].title for metric in columns)), _row(*["---"] * (2 + len(columns)))]
    for contender in rows:
        cells = [_cell(book.summary(metric, contender.name), METRICS[metric].digits) for metric in columns]
        table.append(_row(contender.name, contender.settles, *cells))
    return [f"## {title}", "\n".join(table)]


def _ratios(title: str, book: Book, contenders: Sequence[Contender]) -> list[str]:
    """A table: a row a metric, Umbel against Celery and against the best peer; above 1 is better."""
    ours = next((one.name for one in contenders if one.environment == UMBEL and one.name != LOOP), UMBEL)
    peers = [one for one in contenders if one.environment != UMBEL]
    baseline = next((one.name for one in peers if one.environment == "celery" and one.variant == BASELINE), "")
    late = [one.name for one in peers if one.settles == "late"]
    heads = [f"than {baseline}"] if baseline else []
    heads += ["than the best that settles late", "than the best"]
    table = [_row("", *heads), _row(*["---"] * (1 + len(heads)))]
    for name, metric in METRICS.items():
        best = book.best(name, [one.name for one in peers])
        if book.summary(name, ours) is None or best is None:
            continue
        title_cell = metric.title + (", results off" if name in RESULTS_OFF else "")
        cells = [_versus(book, name, ours, baseline, named=False)] if baseline else []
        cells += [_versus(book, name, ours, other) for other in (book.best(name, late), best)]
        table.append(_row(title_cell, *cells))
    return [f"## {title}", "\n".join(table)] if len(table) > 2 else []


def _versus(book: Book, metric: str, ours: str, other: str | None, *, named: bool = True) -> str:
    """How many times better *ours* is than *other*, with its name."""
    ratio = book.ratio(metric, ours, other) if other else None
    return _cell(ratio, 2) + (f" {other}" if named and ratio else "")


def _limit(book: Book) -> list[str]:
    """How near Umbel comes to its own protocol without a worker round it."""
    bare, ratio = book.summary("def", LOOP), book.ratio("def", UMBEL, LOOP)
    if bare is None:
        return []
    text = f"Two processes that receive and settle batches of 128 and run nothing: {_cell(bare, 0)} jobs/s."
    if ratio is not None:
        text += f" A worker's `def` rate is {ratio.middle:.0%} of it ({ratio.least:.0%} to {ratio.most:.0%})."
    return ["## The protocol alone", text]


def _cell(summary: Summary | None, digits: int) -> str:
    """A median, and the extremes if they differ."""
    if summary is None:
        return "-"
    middle, least, most = (f"{value:,.{digits}f}" for value in (summary.middle, summary.least, summary.most))
    return middle if least == most else f"{middle} ({least} to {most})"


def _told(error: str) -> str:
    """The last line of *error*, without places on this machine."""
    return PLACE.sub("...", error.strip().splitlines()[-1])[:200]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
