"""The executor of a process that runs jobs, as the app's settings and the worker's options say."""

from __future__ import annotations

from umbel.app.app import Umbel
from umbel.execution.executor import Executor
from umbel.execution.limits import Limits, Terms
from umbel.worker.options import ChildOptions


def make_executor(app: Umbel, options: ChildOptions) -> Executor:
    """An executor for the tasks of *app*."""
    conf = app.conf
    executor = Executor(
        app.tasks,
        options.worker,
        max_crashes=options.max_crashes,
        max_bytes=conf.message_max_bytes,
        ignore_results=conf.task_ignore_result,
        store_errors=conf.task_store_errors_even_if_ignored,
    )
    executor.terms = Terms(Limits(options.soft_time_limit, options.time_limit))
    for task, soft, hard in options.limits:
        executor.terms.change(task, Limits(soft, hard))
    executor.track_started = conf.task_track_started
    return executor
