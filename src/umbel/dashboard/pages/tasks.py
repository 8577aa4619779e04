"""The pages of tasks: all that were busy or are registered, and one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, Final, Literal, TypeAlias, cast

import msgspec

from umbel import Task
from umbel.dashboard import figures
from umbel.dashboard.charts import Chart
from umbel.dashboard.engine import ask
from umbel.dashboard.figures import TaskFigures
from umbel.dashboard.filters import narrowed
from umbel.dashboard.page import Missing, Page
from umbel.dashboard.pages.jobs import masked
from umbel.dashboard.visit import Visit
from umbel.dashboard.window import FRESH_SECONDS, Window, Windowed
from umbel.decorators import AnyTask
from umbel.history import History
from umbel.history.pulse import Pulse
from umbel.history.views import JobRow, Series, TaskView, Totals

SHOWN_JOBS: Final = 10
COMPARED: Final = 200
"""Among how many of the slow runs the slowest are looked for."""
BELOW: Final = 0.9
"""A percentile is within 9.1 % of the truth: what is this much less than it may still be above it."""
P95: Final = 1
MAX_DOC: Final = 4_000
SHOWN_IDLE: Final = 200
Order: TypeAlias = Literal["ended", "failed", "failing", "wait", "run"]
ORDERS: Final[dict[Order, Callable[[TaskFigures], float]]] = {
    "ended": lambda task: task.ended,
    "failed": lambda task: task.failed,
    "failing": lambda task: task.failing or 0.0,
    "wait": lambda task: task.wait[P95] or 0.0,
    "run": lambda task: task.run[P95] or 0.0,
}
OPTIONS: Final = (
    "queue",
    "priority",
    "runner",
    "soft_time_limit",
    "time_limit",
    "memory_limit",
    "max_retries",
    "default_retry_delay",
    "retry_backoff",
    "autoretry_for",
    "rate_limit",
    "rate_limit_key",
    "concurrency_limit",
    "concurrency_limit_key",
    "fair_key",
    "unique",
    "unique_key",
    "expires",
    "ignore_result",
)


class Told(msgspec.Struct, frozen=True):
    """What the history says of the tasks of a window."""

    totals: list[Totals]
    pulse: Pulse
    known: list[TaskView]


class TasksAsked(Windowed, frozen=True, kw_only=True):
    """The tasks of a window, by their *order*: those that ended most, failed most, or took longest first.

    *limit* is how many are shown, at most 1,000.
    """

    order: Order = "ended"
    limit: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 50


class Tasks(msgspec.Struct, frozen=True, kw_only=True):
    """The first of the *count* tasks that were busy in *window*, and how busy they were over time.

    *idle* are the names of the others that are known to the history or the app, at most 200. *trouble* says why the
    history cannot tell.
    """

    window: Window
    tasks: tuple[TaskFigures, ...]
    count: int
    pulse: Pulse
    idle: tuple[str, ...]
    trouble: str = ""


class TaskAsked(Windowed, frozen=True, kw_only=True):
    """The task *name*, with its figures of a window."""

    name: str


class Code(msgspec.Struct, frozen=True):
    """What the app says of a task: its *signature*, *doc*, and those *options* that are not the default."""

    signature: str
    doc: str
    options: dict[str, str]


class TaskPage(msgspec.Struct, frozen=True, kw_only=True):
    """One task in *window*. *code* is None where the app has no such task; *parameters* are what a worker told."""

    window: Window
    name: str
    figures: TaskFigures | None
    throughput: Chart
    wait: Chart
    run: Chart
    failures: Chart
    slowest: tuple[JobRow, ...]
    failed: tuple[JobRow, ...]
    parameters: tuple[str, ...] | None
    code: Code | None
    trouble: str = ""


class One(msgspec.Struct, frozen=True):
    """What the history says of one task in a window."""

    series: Series
    totals: Totals | None
    view: TaskView | None
    slowest: tuple[JobRow, ...]
    failed: tuple[JobRow, ...]


async def show(visit: Visit, asked: TasksAsked) -> Tasks:
    """The tasks of a window."""
    window = asked.window()
    told, trouble = await _told(visit, window)
    busy = {each.name for each in told.totals}
    known = {each.name for each in told.known} | _own(visit)
    tasks = sorted(map(figures.task_figures, told.totals), key=ORDERS[asked.order], reverse=True)[: asked.limit]
    lines = {each.name: told.pulse.tasks[each.name] for each in tasks if each.name in told.pulse.tasks}
    return Tasks(
        window=window,
        tasks=tuple(tasks),
        count=len(busy),
        pulse=msgspec.structs.replace(told.pulse, tasks=lines),
        idle=tuple(sorted(known - busy)[:SHOWN_IDLE]),
        trouble=trouble,
    )


async def show_one(visit: Visit, asked: TaskAsked) -> TaskPage:
    """One task."""
    window, name = asked.window(), asked.name
    read = partial(_one, visit.history, name, window)
    found, trouble = await ask(visit, ("task", name, window.key), FRESH_SECONDS, lambda: visit.read(read))
    found = found or One(Series(60, window.start, window.end, ()), None, None, (), ())
    task = visit.app.tasks.get(name)
    if found.totals is None and found.view is None and task is None:
        raise Missing(f"There is no task {name!r}.")
    of_it = {"filter": narrowed("", "task", name)}
    return TaskPage(
        window=window,
        name=name,
        figures=None if found.totals is None else figures.task_figures(found.totals),
        throughput=figures.throughput(found.series, **of_it),
        wait=figures.latency(found.series, "wait", **of_it),
        run=figures.latency(found.series, "run", **of_it),
        failures=figures.failures(found.series, **of_it),
        slowest=masked(visit, found.slowest),
        failed=masked(visit, found.failed),
        parameters=None if found.view is None else found.view.parameters,
        code=None if task is None else code_of(task),
        trouble=trouble,
    )


def code_of(task: AnyTask) -> Code:
    """What the app says of *task*."""
    doc = inspect.getdoc(getattr(task, "__wrapped__", task.run)) or ""
    return Code(f"{task.name}{_signature(task)}", doc[:MAX_DOC], dict(_options(task)))


def _signature(task: AnyTask) -> str:
    try:
        return str(inspect.signature(task.run, eval_str=True))
    except Exception:  # noqa: BLE001 - annotations of users may name what is not there
        return str(inspect.signature(task.run))


def _options(task: AnyTask) -> list[tuple[str, str]]:
    values = ((name, getattr(task, name)) for name in OPTIONS)
    return [(name, _said(value)) for name, value in values if value != getattr(Task, name)]


def _said(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_said, cast("Sequence[Any]", value)))
    return str(getattr(value, "__name__", value))


def _own(visit: Visit) -> set[str]:
    """The tasks of the app, without those of Umbel itself."""
    return {name for name in visit.app.tasks if not name.startswith(("umbel.", "celery."))}


async def _told(visit: Visit, window: Window) -> tuple[Told, str]:
    def read(history: History) -> Told:
        start, end = window.start, window.end
        return Told(history.totals(start, end), history.pulse(start, end), history.tasks())

    found, trouble = await ask(visit, ("tasks", window.key), FRESH_SECONDS, lambda: visit.read(read, visit.history))
    return found or Told([], Pulse(60, window.start, {}), []), trouble


def _one(history: History, name: str, window: Window) -> One:
    jobs, totals = narrowed(window.terms, "task", name), history.total(window.start, window.end, name)
    p95 = None if totals is None else totals.run[P95]
    slow: tuple[JobRow, ...] = ()
    if p95 is not None:
        slow = history.jobs(f"run>={max(0, int(p95 * BELOW * 1_000))}ms {jobs}", limit=COMPARED).rows
    return One(
        history.series(window.start, window.end, task=name, points=figures.POINTS),
        totals,
        next((each for each in history.tasks() if each.name == name), None),
        tuple(sorted(slow, key=lambda job: -(job.run or 0.0))[:SHOWN_JOBS]),
        history.jobs(f"state:failed,dead {jobs}", limit=SHOWN_JOBS).rows,
    )


PAGE: Final = Page(
    path="/tasks",
    title="Tasks",
    right="jobs.view",
    template="tasks.html",
    show=show,
    asks=TasksAsked,
    section="tasks",
    topics=("tasks",),
)
ONE: Final = Page(
    path="/task",
    within="tasks",
    title="Task",
    right="jobs.view",
    template="task.html",
    show=show_one,
    asks=TaskAsked,
    topics=("tasks",),
)
