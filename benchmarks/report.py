"""What was measured, as Markdown: for the terminal and for RESULTS.md."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from benchmarks import backlog, bars, control, events, flows, receives, ticks
from benchmarks.contenders import CONTENDERS, LOOP, POSTGRES, RABBITMQ, REDIS, SQLITE, UMBEL, Contender
from benchmarks.findings import Findings, together
from benchmarks.metrics import FLOWS, METRICS, RESULTS_OFF, RESULTS_ON, Book, Summary

BASELINE = "late"  # the variant of Celery that promises the same
PLACE = re.compile(r"((redis|amqp|postgresql)://\S+|(/[\w.+@-]+){2,})")
TITLES = {
    REDIS: "On Redis, results stored",
    SQLITE: "On SQLite, results stored",
    RABBITMQ: "On RabbitMQ, results in Redis",
    POSTGRES: "On PostgreSQL, results stored where the contender can",
}
HEADER = """# Results

Written by `make bench`: every contender at its latest version in an environment of its own, at the fastest settings
that its documentation names (see the head of each file in `peers/`), two worker processes, the same private server, in
turns in one run. Jobs are no-op tasks that return a number; they are counted from inside the task. How many are sent
follows how fast a contender is, so that each measurement takes some seconds. A cell is the median of the rounds and,
where they differ, the least and the most. *late*: a job leaves the broker after it ran, so a crash loses nothing;
*early*: before. `make bench ONLY=flows,events` measures parts again and leaves the others as they were."""


def markdown(parts: Sequence[Findings], missing: Sequence[str]) -> str:
    """The whole report on *parts*; what is *missing* was not measured."""
    found = together(parts)
    told = [HEADER, "\n".join(f"* {line}" for line in [*found.machine, *found.servers])]
    told += [_parts(parts, missing), _versions(found), "## Bars", "\n".join(bars.lines(found))]
    for engine, title in TITLES.items():
        contenders = [contender for contender in CONTENDERS if contender.engine == engine]
        told += _section(title, found.book, contenders, RESULTS_ON)
        told += _section(f"On {engine}, results off", found.book, contenders, RESULTS_OFF)
        told += _ratios(f"How many times better Umbel is, on {engine}", found.book, contenders)
        told += _limit(found.book) if engine == REDIS else []
    told += _others(found)
    if found.book.failures:
        notes = [f"* {what}, {len(errors)}x: {_told(errors[-1])}" for what, errors in found.book.failures.items()]
        told += ["## What went wrong", "\n".join(notes)]
    return "\n\n".join(told) + "\n"


def _others(found: Findings) -> list[str]:
    """What is not a contest of engines."""
    contenders = [contender for contender in CONTENDERS if contender.name in flows.NAMES]
    sizes = f"{found.members:,} members, {found.members // flows.STEPS:,} steps"
    told = _section(f"Flows on Redis: {sizes}", found.book, contenders, FLOWS)
    told += ["Celery's were measured in the first round only: they take it minutes."] if told else []
    told += _ratios("How many times better Umbel's flows are", found.book, contenders, FLOWS)
    if found.held:
        told += ["## Memory of flows", "\n".join(flows.lines(found.held))]
    if found.ticked:
        told += ["## Schedules while processes are killed", "\n".join(ticks.lines(found.ticked))]
    if found.watched:
        told += ["## What watching costs", "\n".join(events.lines(found.watched))]
    if found.governed is not None:
        told += ["## What control costs", "\n".join(control.lines(found.governed))]
    if found.backlog is not None:
        told += ["## With a backlog", "\n".join(backlog.lines(found.backlog))]
    if found.receives is not None:
        told += ["## A receive on PostgreSQL", "\n".join(receives.lines(found.receives))]
    return told


def _parts(parts: Sequence[Findings], missing: Sequence[str]) -> str:
    """When each part was measured, and how much of it."""
    table = [_row("part", "begun, UTC", "took, s", "load of the machine before", "rounds"), _row(*["---"] * 5)]
    for each in parts:
        begun = f"{datetime.fromtimestamp(each.began, UTC):%Y-%m-%d %H:%M}"
        rounds = str(each.done) if each.complete else f"{each.done} of {each.rounds}: **incomplete**"
        table.append(_row(each.part, begun, f"{each.seconds:.0f}", f"{each.load:.1f}", rounds))
    table += [_row(part, "not measured", "", "", "") for part in missing]
    return "\n".join(table)


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


def _ratios(
    title: str, book: Book, contenders: Sequence[Contender], metrics: Sequence[str] = RESULTS_ON + RESULTS_OFF
) -> list[str]:
    """A table: a row a metric, Umbel against Celery and against the best peer; above 1 is better."""
    ours = next((one.name for one in contenders if one.environment == UMBEL and one.name != LOOP), UMBEL)
    peers = [one for one in contenders if one.environment != UMBEL]
    baseline = next((one.name for one in peers if one.environment == "celery" and one.variant == BASELINE), "")
    late = [one.name for one in peers if one.settles == "late"]
    heads = [f"than {baseline}"] if baseline else []
    heads += ["than the best that settles late", "than the best"]
    table = [_row("", *heads), _row(*["---"] * (1 + len(heads)))]
    for name in metrics:
        best = book.best(name, [one.name for one in peers])
        if book.summary(name, ours) is None or best is None:
            continue
        title_cell = METRICS[name].title + (", results off" if name in RESULTS_OFF else "")
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
