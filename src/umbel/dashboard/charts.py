"""Charts: what the browser draws, as values. Every chart is a table as well."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, get_args

import msgspec

from umbel.dashboard.wording import count, duration, percent, size
from umbel.history.views import Point, Series

Tone: TypeAlias = Literal["accent", "busy", "warn", "over", "idle", "ok", "bad"]
Unit: TypeAlias = Literal["count", "rate", "seconds", "bytes", "share"]
MAX_ROWS: Final = 60
"""Of its table: pages are shown anew again and again, and should stay small."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line: its *label*, a *value* for each time of the chart (None: not known), and its *tone*.

    *filter* is what finds its jobs, such as ``state:failed``. *filled* shades what is below.
    """

    label: str
    values: tuple[float | None, ...]
    tone: Tone = "accent"
    filter: str = ""
    filled: bool = False


class Deploy(msgspec.Struct, frozen=True):
    """Something that happened *at* a time, shown as a line across: such as a new release."""

    at: float
    label: str


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """Lines over *times* (unix seconds, where a span of *span* seconds begins).

    The last part is dashed while its span is not over, which is told by *unfinished*. A click or a drag leads to the
    jobs of that time, with *filter* beside that of the line; without *link* it does not.
    """

    times: tuple[float, ...]
    lines: tuple[Line, ...]
    span: float
    unit: Unit = "count"
    unfinished: bool = False
    filter: str = ""
    link: str = ""
    marks: tuple[Deploy, ...] = ()

    def rows(self) -> list[tuple[float, list[str]]]:
        """What the table shows: the newest times, those first, with the value of every line in words."""
        say = WORDS[self.unit]
        columns = [line.values for line in self.lines]
        newest = range(len(self.times) - 1, max(-1, len(self.times) - 1 - MAX_ROWS), -1)
        return [(self.times[n], [say(column[n]) for column in columns]) for n in newest]

    def drawn(self) -> str:
        """What the browser is told, as JSON, with no more digits than can be seen."""
        lines = [{"label": each.label, "tone": each.tone, "filter": each.filter, "filled": each.filled,
                  "values": [_seen(value) for value in each.values]} for each in self.lines]  # fmt: skip
        rest = {name: getattr(self, name) for name in self.__struct_fields__ if name != "lines"}
        return msgspec.json.encode({**rest, "lines": lines}).decode()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(value for line in self.lines for value in line.values)


def _seen(value: float | None) -> float | None:
    return value if value is None or value == int(value) else float(f"{value:.4g}")


def rate(number: float | None) -> str:
    """So many a second, in words."""
    if number is None or number >= 100:  # noqa: PLR2004 - three digits are enough
        return count(number) + ("" if number is None else "/s")
    return f"{number:.1f}/s" if number >= 1 or not number else f"{number:.2f}/s"


WORDS: Final[dict[Unit, Callable[[float | None], str]]] = {
    "count": count,
    "rate": rate,
    "seconds": duration,
    "bytes": size,
    "share": percent,
}


def plot(times: Sequence[float], lines: Mapping[str, Sequence[float | None]], unit: Unit = "count") -> Chart:
    """A chart of lists: for each label of *lines* a value for each of *times*."""
    tones = get_args(Tone)
    drawn = tuple(
        Line(label=label, values=tuple(values), tone=tones[n % len(tones)])
        for n, (label, values) in enumerate(lines.items())
    )
    span = times[-1] - times[-2] if len(times) > 1 else 0.0
    return Chart(times=tuple(times), lines=drawn, span=span, unit=unit)


def grid(series: Series) -> list[tuple[float, Point | None]]:
    """Every span of *series* from its start to its end, also those in which nothing happened."""
    points = {point.at: point for point in series.points}
    first, span = series.start - series.start % series.span, series.span
    times = [first + n * span for n in range(int((series.end - first) // span) + 1)]
    return [(at, points.get(at)) for at in times if at < series.end]


def chart(
    series: Series,
    lines: Sequence[tuple[Line, Callable[[Point], float | None]]],
    *,
    blank: float | None = 0,
    **rest: Any,
) -> Chart:
    """*series* as a chart: each of *lines* (its values are put in) with what it shows of a point.

    *blank* is what stands where nothing happened: 0 for counts, None for times. *rest* are fields of `Chart`.
    """
    spans = grid(series)
    filled = tuple(
        msgspec.structs.replace(line, values=tuple(blank if point is None else of(point) for _, point in spans))
        for line, of in lines
    )
    times = tuple(at for at, _ in spans)
    unfinished = bool(times) and times[-1] + series.span > time.time()
    return Chart(times=times, lines=filled, span=series.span, unfinished=unfinished, **rest)
