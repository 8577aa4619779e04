"""The pages of errors: the groups of a window, and one group."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from umbel.dashboard.charts import Chart, Line
from umbel.dashboard.engine import ask
from umbel.dashboard.figures import counts_over
from umbel.dashboard.page import Missing, Page
from umbel.dashboard.pages.jobs import masked
from umbel.dashboard.visit import Visit
from umbel.dashboard.window import FRESH_SECONDS, Window, Windowed
from umbel.history import History
from umbel.history.groups import Status
from umbel.history.views import ErrorGroup, ErrorSample, ErrorSpread, JobRow

Shown: TypeAlias = Literal["unresolved", "open", "regressed", "muted", "resolved", "all"]

SHOWN: Final[dict[Shown, tuple[Status, ...]]] = {
    "unresolved": ("open", "regressed"),
    "open": ("open",),
    "regressed": ("regressed",),
    "muted": ("muted",),
    "resolved": ("resolved",),
    "all": (),
}
"""Which statuses each choice shows; none: all."""
MAX_GROUPS: Final = 100
SHOWN_JOBS: Final = 20
LOOKED_AT: Final = 50
"""Among how many of the newest jobs of each group it is looked where they failed."""
MAX_TRACEBACK: Final = 64 * 1024
"""How many characters of a traceback are shown: its end, which tells more than its beginning."""


class ErrorsAsked(Windowed, frozen=True, kw_only=True):
    """The groups of a window; *status* chooses among them."""

    range: Literal["15m", "1h", "6h", "24h", "7d"] = "24h"
    status: Shown = "unresolved"


class Places(msgspec.Struct, frozen=True):
    """Where the newest jobs of a group failed: *tasks*, *queues*, *releases* of workers, the most frequent first."""

    tasks: tuple[str, ...]
    queues: tuple[str, ...]
    releases: tuple[str, ...]


class Errors(msgspec.Struct, frozen=True):
    """The groups with the most errors in *window*, at most 100, and by their numbers the *places* where they came.

    *trouble* says why the history cannot tell.
    """

    window: Window
    groups: tuple[ErrorGroup, ...]
    places: dict[int, Places] = {}
    trouble: str = ""


class ErrorAsked(Windowed, frozen=True, kw_only=True):
    """The group *n*, with its figures of a window."""

    n: Annotated[int, msgspec.Meta(ge=1, le=2**31)]
    range: Literal["15m", "1h", "6h", "24h", "7d"] = "24h"


class ErrorPage(msgspec.Struct, frozen=True, kw_only=True):
    """One group: how often it came in *window*, where, the newest jobs that have it, and one error as a *sample*.

    *shortened*: only the last 64 Ki characters of its traceback are here; its job has all.
    """

    window: Window
    group: ErrorGroup
    chart: Chart
    spread: ErrorSpread
    jobs: tuple[JobRow, ...]
    sample: ErrorSample | None
    shortened: bool = False


async def show(visit: Visit, asked: ErrorsAsked) -> Errors:
    """The groups of a window."""
    window = asked.window()
    statuses = SHOWN[asked.status]
    read = partial(_listed, visit.history, window, statuses)
    found, trouble = await ask(visit, ("errors", window.key, statuses), FRESH_SECONDS, lambda: visit.read(read))
    return found or Errors(window, (), trouble=trouble)


def _listed(history: History, window: Window, statuses: Sequence[Status]) -> Errors:
    groups = history.errors(window.start, window.end, MAX_GROUPS, statuses=statuses)
    return Errors(
        window, tuple(groups), {each.id: _places(history.error_spread(each.id, LOOKED_AT)) for each in groups}
    )


def _places(spread: ErrorSpread) -> Places:
    return Places(*(tuple(filter(None, each)) for each in (spread.tasks, spread.queues, spread.releases)))


async def show_one(visit: Visit, asked: ErrorAsked) -> ErrorPage:
    """One group."""
    window = asked.window()
    found = await visit.shared(
        ("error", asked.n, window.key), FRESH_SECONDS, lambda: visit.read(_told, visit.history, asked.n, window)
    )
    if found is None:
        raise Missing(f"There is no group of errors {asked.n}.")
    return msgspec.structs.replace(found, jobs=masked(visit, found.jobs))


def _told(history: History, number: int, window: Window) -> ErrorPage | None:
    group = history.error(number, window.start, window.end)
    if group is None:
        return None
    sample = history.error_sample(number)
    return ErrorPage(
        window=window,
        group=group,
        chart=_chart(group, window),
        spread=history.error_spread(number),
        jobs=history.jobs(f"group:{number}", limit=SHOWN_JOBS).rows,
        sample=None if sample is None else _short(sample),
        shortened=sample is not None and len(sample.attempt.traceback) > MAX_TRACEBACK,
    )


def _short(sample: ErrorSample) -> ErrorSample:
    end = sample.attempt.traceback[-MAX_TRACEBACK:]
    return msgspec.structs.replace(sample, attempt=msgspec.structs.replace(sample.attempt, traceback=end))


def _chart(group: ErrorGroup, window: Window) -> Chart:
    counts = counts_over(group, window)
    first = int(window.start) // group.span * group.span
    times = tuple(float(first + place * group.span) for place in range(len(counts)))
    line = Line(label="errors", values=tuple(map(float, counts)), tone="bad", filter=f"group:{group.id}", filled=True)
    return Chart(times=times, lines=(line,), span=group.span, unfinished=bool(window.range), link="/jobs")


PAGE: Final = Page(
    path="/errors",
    title="Errors",
    right="jobs.view",
    template="errors.html",
    show=show,
    asks=ErrorsAsked,
    section="errors",
    topics=("errors",),
)
ONE: Final = Page(
    path="/errors/{n}",
    within="errors",
    title="Error",
    right="jobs.view",
    template="error.html",
    show=show_one,
    asks=ErrorAsked,
    topics=("errors",),
)
