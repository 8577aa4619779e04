"""Capture: what an app sends is remembered and not run, so that a test can say what should have been sent."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypedDict, Unpack

import msgspec

from umbel.app.app import Umbel
from umbel.engines.memory import Space
from umbel.stores.memory import MemoryStore
from umbel.task import Task
from umbel.testing.durations import Duration, seconds_of
from umbel.testing.placing import placed
from umbel.testing.recorder import Recorder, Sent, arguments_in, bound
from umbel.wire.envelope import Envelope

AnyTask: TypeAlias = "Task[..., Any] | str"
SHOWN: Final = 10
_PLAIN: Final = frozenset({"queue", "priority", "id"})


class Wanted(TypedDict, total=False):
    """What a job must be like. *within*: due no later than that after it was sent."""

    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    queue: str
    priority: int
    within: Duration
    id: str


class Captured:
    """What was sent, in order; see `capture`."""

    def __init__(self, app: Umbel, recorder: Recorder) -> None:
        self._app = app
        self._recorder = recorder

    @property
    def sent(self) -> list[Sent]:
        """All jobs."""
        return list(self._recorder.sent)

    def jobs(self, task: AnyTask) -> list[Sent]:
        """Those of *task*, which may be given by its name."""
        name = _name(task)
        return [each for each in self._recorder.sent if each.task == name]

    def clear(self) -> None:
        """Forget what was sent up to now."""
        self._recorder.sent.clear()

    def assert_sent(self, task: AnyTask, *, times: int | None = None, **wanted: Unpack[Wanted]) -> Sent:
        """A job of *task* was sent that is as *wanted*; answers the first one. What is not named may be anything.

        With *times*, exactly so many were. Raises `AssertionError`, which shows the nearest job and what differs.
        """
        fitting = self._fitting(task, wanted)
        if times is not None and len(fitting) != times:
            raise AssertionError(f"{len(fitting)} jobs fit, not {times}\n{self._told(task, wanted)}")
        if not fitting:
            raise AssertionError(self._told(task, wanted))
        return fitting[0]

    def refute_sent(self, task: AnyTask, **wanted: Unpack[Wanted]) -> None:
        """No job of *task* was sent that is as *wanted*. Raises `AssertionError`, which shows the one that was."""
        fitting = self._fitting(task, wanted)
        if fitting:
            raise AssertionError(f"{len(fitting)} jobs of {_name(task)} were sent, such as\n    {fitting[0]}")

    def _fitting(self, task: AnyTask, wanted: Wanted) -> list[Sent]:
        return [each for each in self.jobs(task) if not self._differences(each, wanted)]

    def _differences(self, sent: Sent, wanted: Wanted) -> list[str]:
        told: list[str] = []
        if "args" in wanted or "kwargs" in wanted:
            told += self._argument_differences(sent, wanted.get("args", ()), wanted.get("kwargs", {}))
        plain = {name: value for name, value in wanted.items() if name in _PLAIN}
        for name, value in plain.items():
            if value != getattr(sent, name):
                told.append(f"{name} is {getattr(sent, name)!r}, not {value!r}")
        if "within" in wanted and sent.delay > seconds_of(wanted["within"]):
            told.append(f"it is due in {sent.delay:g} s, not within {wanted['within']}")
        return told

    def _argument_differences(self, sent: Sent, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[str]:
        task = self._app.tasks.get(sent.task)
        has = bound(task, sent.args, sent.kwargs)
        want = bound(task, *_as_travelled(task, args, kwargs))
        return [
            f"{name} is {has[name]!r}, not {want[name]!r}"
            if name in has and name in want
            else (f"{name} is missing" if name in want else f"{name} is {has[name]!r} and was not expected")
            for name in dict.fromkeys([*want, *has])
            if name not in has or name not in want or has[name] != want[name]
        ]

    def _told(self, task: AnyTask, wanted: Wanted) -> str:
        name = _name(task)
        asked = ", ".join(f"{key}={value!r}" for key, value in wanted.items())
        lines = [f"no job of {name} was sent" + (f" with {asked}" if asked else "")]
        candidates = self.jobs(task)
        if candidates:
            nearest = min(candidates, key=lambda each: len(self._differences(each, wanted)))
            lines += [
                "the nearest is",
                f"    {nearest}",
                *(f"    {text}" for text in self._differences(nearest, wanted)),
            ]
        elif self._recorder.sent:
            lines += ["what was sent:", *(f"    {each}" for each in self._recorder.sent[:SHOWN])]
        else:
            lines.append("nothing was sent at all")
        return "\n".join(lines)


class UnansweredStore(MemoryStore):
    """The results of jobs that nobody runs: waiting for one is a mistake in the test, told at once."""

    def watch(self, job_id: str, queue: str | None, timeout: float | None) -> bytes | None:
        """Refuse."""
        del queue, timeout
        raise RuntimeError(f"job {job_id} is only captured, it will not run: use umbel.testing.virtual or eager")

    async def awatch(self, job_id: str, queue: str | None, timeout: float | None) -> bytes | None:
        """Refuse."""
        return self.watch(job_id, queue, timeout)


@contextlib.contextmanager
def capture(app: Umbel) -> Generator[Captured]:
    """Have what *app* sends remembered instead of run, for the length of the block; no broker is needed.

    Arguments are encoded and checked as ever, and flows are stored: their first jobs are what is sent.
    """
    space = Space()
    recorder = Recorder(space, time.time, app.tasks)
    with placed(app, recorder, UnansweredStore(space)):
        yield Captured(app, recorder)


def _name(task: AnyTask) -> str:
    return task if isinstance(task, str) else task.name


def _as_travelled(
    task: Task[..., Any] | None, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """*args* and *kwargs* as they would arrive: a tuple as the annotation says, a model as a model."""
    if task is None:
        return args, kwargs
    try:
        raw_args, raw_kwargs = task.arguments.encode(args, kwargs)
    except TypeError:
        return args, kwargs  # the first of them comes from the job before it in a flow
    return arguments_in(Envelope(task.name, args=msgspec.Raw(raw_args), kwargs=msgspec.Raw(raw_kwargs)), task)
