"""Figures: the charts and numbers that several pages show, made of what the history says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from umbel.dashboard.charts import Chart, Line, Tone, chart, grid, rate
from umbel.dashboard.window import Window
from umbel.history.depths import Depth, Depths
from umbel.history.views import ErrorGroup, Point, QueueSample, Series, Totals

Percentiles = tuple[float | None, float | None, float | None]
P95: Final = 1
POINTS: Final = 200
"""How many points a chart may have: more could not be told apart on half a screen."""
SHARES: Final[tuple[tuple[str, Tone], ...]] = (("p50", "idle"), ("p95", "accent"), ("p99", "warn"))


class TaskFigures(msgspec.Struct, frozen=True):
    """A task in a window: how many of its jobs *ended* and *failed* (*failing* is the share of 1), and times.

    *wait* and *run* are the seconds below which 50, 95 and 99 % were.
    """

    name: str
    ended: int
    failed: int
    failing: float | None
    wait: Percentiles
    run: Percentiles


def task_figures(totals: Totals) -> TaskFigures:
    """What a list shows of a task."""
    failed = totals.failed + totals.dead
    ended = totals.succeeded + failed
    return TaskFigures(totals.name, ended, failed, failed / ended if ended else None, totals.wait, totals.run)


def throughput(series: Series, **rest: Any) -> Chart:
    """How many jobs a second succeeded, failed and are tried again; *rest* as for `charts.chart`."""
    span = series.span
    lines: list[tuple[Line, Callable[[Point], float | None]]] = [
        (
            Line(label="succeeded", values=(), tone="ok", filter="state:succeeded", filled=True),
            lambda point: point.succeeded / span,
        ),
        (
            Line(label="failed", values=(), tone="bad", filter="state:failed,dead"),
            lambda point: (point.failed + point.dead) / span,
        ),
        (Line(label="retried", values=(), tone="warn", filter="retries>0"), lambda point: point.retried / span),
    ]
    return chart(series, lines, unit="rate", link="/jobs", **rest)


def in_and_out(series: Series, **rest: Any) -> Chart:
    """How many jobs a second were sent to a queue, and how many of it ended; *rest* as for `charts.chart`."""
    span = series.span
    lines: list[tuple[Line, Callable[[Point], float | None]]] = [
        (Line(label="in", values=(), tone="accent"), lambda point: point.sent / span),
        (
            Line(label="out", values=(), tone="ok", filled=True),
            lambda point: (point.succeeded + point.failed + point.revoked + point.dead) / span,
        ),
    ]
    return chart(series, lines, unit="rate", **rest)


def failures(series: Series, **rest: Any) -> Chart:
    """How many jobs failed, and were tried again."""
    lines: list[tuple[Line, Callable[[Point], float | None]]] = [
        (
            Line(label="failed", values=(), tone="bad", filter="state:failed,dead", filled=True),
            lambda point: point.failed + point.dead,
        ),
        (Line(label="retried", values=(), tone="warn", filter="retries>0"), lambda point: point.retried),
    ]
    return chart(series, lines, link="/jobs", **rest)


def latency(series: Series, of: Literal["wait", "run"], **rest: Any) -> Chart:
    """The seconds below which half, 95 % and 99 % of waits or runs were; *rest* as for `charts.chart`."""
    lines = [(Line(label=name, values=(), tone=tone), _share(of, place)) for place, (name, tone) in enumerate(SHARES)]
    return chart(series, lines, blank=None, unit="seconds", link="/jobs", **rest)


def wait_and_age(series: Series, depths: Depths, **rest: Any) -> Chart:
    """The wait of 95 %, and over it the age of the oldest ready job: waits fall silent when nothing starts."""
    line = Line(label="wait p95", values=(), tone="accent")
    made = chart(series, [(line, _share("wait", P95))], blank=None, unit="seconds", link="/jobs", **rest)
    oldest = Line(
        label="oldest ready", values=_over(depths, made.times, lambda depth: depth.oldest or 0.0), tone="warn"
    )
    return msgspec.structs.replace(made, lines=(*made.lines, oldest))


def depth(series: Series, depths: Depths, **rest: Any) -> Chart:
    """How many jobs all queues held."""
    times = tuple(at for at, _ in grid(series))
    kinds: tuple[tuple[str, Tone, str], ...] = (
        ("ready", "accent", "state:queued"),
        ("running", "busy", "state:running"),
        ("delayed", "idle", "state:scheduled"),
        ("held", "warn", ""),
    )
    lines = tuple(
        Line(
            label=label,
            values=_over(depths, times, lambda depth, label=label: getattr(depth, label)),  # type: ignore[misc]
            tone=tone,
            filter=filter,
            filled=label == "ready",
        )
        for label, tone, filter in kinds
    )
    return Chart(times=times, lines=lines, span=series.span, **rest)


def counts_over(group: ErrorGroup, window: Window) -> tuple[int, ...]:
    """How often *group* came in each step of *window*, also where it did not."""
    first = int(window.start) // group.span * group.span
    found = dict(group.minutes)
    return tuple(found.get(at, 0) for at in range(first, int(window.end) + 1, group.span))


def ages(samples: Sequence[QueueSample]) -> list[float | None]:
    """How old the oldest ready job was: 0 where none was ready, None where nobody knows."""
    return [0.0 if each.oldest is None and not each.ready else each.oldest for each in samples]


FILTERS: Final[dict[str, Callable[..., Any]]] = {"ages": ages, "counts_over": counts_over, "rate": rate}
"""Filters of templates."""


def _over(depths: Depths, times: tuple[float, ...], of: Callable[[Depth], float | None]) -> tuple[float | None, ...]:
    found: Mapping[float, float | None] = {point.at: of(point) for point in depths.points}
    return tuple(found.get(at) for at in times)


def _share(of: Literal["wait", "run"], place: int) -> Callable[[Point], float | None]:
    return lambda point: (point.wait if of == "wait" else point.run)[place]
