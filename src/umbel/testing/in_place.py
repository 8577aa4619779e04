"""Eager: calls run in place, through the real codec, executor, retries and flows."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator

from umbel.app.app import Umbel
from umbel.engines.memory import Space
from umbel.exceptions import ImproperlyConfigured
from umbel.testing.capturing import Captured, UnansweredStore
from umbel.testing.placing import placed
from umbel.testing.recorder import Recorder


@contextlib.contextmanager
def eager(app: Umbel, *, propagates: bool = True) -> Generator[Captured]:
    """Run what *app* is called to do in place, at once, for the length of the block; retries follow without waiting.

    With *propagates* the error of a task is raised in the caller. What does not run in place, as `send_task` never
    does, goes nowhere: the block is given what was captured of it. Raises `ImproperlyConfigured` if the environment
    or a command line holds ``task_always_eager`` off.
    """
    conf = app.conf
    before = {"task_always_eager": conf.task_always_eager, "task_eager_propagates": conf.task_eager_propagates}
    space = Space()
    recorder = Recorder(space, time.time, app.tasks)
    conf.update(task_always_eager=True, task_eager_propagates=propagates)
    try:
        if not conf.task_always_eager:
            raise ImproperlyConfigured(f"task_always_eager is held off by {conf.origin('task_always_eager')}")
        with placed(app, recorder, UnansweredStore(space)):
            yield Captured(app, recorder)
    finally:
        conf.update(before)
