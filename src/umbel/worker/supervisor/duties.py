"""Duties: what a worker does when it is ordered to, and what it tells of itself."""

from __future__ import annotations

import logging
import os
import platform
import resource
import signal
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, Final

from umbel.model.ids import valid_queue
from umbel.options import checked_limits, nearest
from umbel.wire.letters import Doomed
from umbel.worker import kernel
from umbel.worker.messages import Limit
from umbel.worker.options import WorkerOptions
from umbel.worker.supervisor.autoscaler import Autoscaler
from umbel.worker.supervisor.bulletin import Bulletin
from umbel.worker.supervisor.children import Children
from umbel.worker.supervisor.plan import Plan
from umbel.worker.supervisor.rates import Rates

MAX_GROWTH: Final = 1_000
"""The most children that one order may add."""
_BUILT_IN: Final = ("celery.", "umbel.")

logger = logging.getLogger("umbel.worker")


class Refused(Exception):
    """An order cannot be obeyed; the message says why, to whoever gave it."""


class Duties:
    """All that can be ordered, by name."""

    scaler: Autoscaler | None = None
    """What sees to the number of children, if anything does."""
    rates: Rates | None = None
    """What knows of rates that were set; None: the broker keeps no limits."""
    bulletin: Bulletin | None = None
    """What tells of this worker; None: the broker keeps no events."""

    def __init__(self, children: Children, plan: Plan, options: WorkerOptions, stop: Callable[[], None]) -> None:
        """*plan* is how the worker began; *stop* ends it as SIGTERM would."""
        self._children = children
        self._plan = plan
        self._options = options
        self._stop = stop
        self._born = time.time()
        self._verbs: dict[str, Callable[[Mapping[str, Any]], Any]] = {
            "active_queues": self._active_queues,
            "add_consumer": self._add_consumer,
            "autoscale": self._autoscale,
            "cancel_consumer": self._cancel_consumer,
            "conf": self._conf,
            "disable_events": self._disable_events,
            "enable_events": self._enable_events,
            "ping": lambda _: {"ok": "pong"},
            "pool_grow": self._grow,
            "pool_restart": self._restart,
            "pool_shrink": self._shrink,
            "quiet": self._quiet,
            "registered": self._registered,
            "report": self._report,
            "resume": self._resume,
            "shutdown": self._shutdown,
            "started": self._started,
            "stats": self._stats,
            "time_limit": self._time_limit,
        }

    def __contains__(self, verb: object) -> bool:
        return verb in self._verbs

    def do(self, verb: str, arguments: Mapping[str, Any]) -> Any:
        """Obey; answers what whoever ordered is told. Raises `Refused`."""
        duty = self._verbs.get(verb)
        if duty is None:
            raise Refused(f"this worker does not know the order {verb!r}")
        return duty(arguments)

    def doom(self, doomed: Doomed) -> None:
        """See to the jobs of *doomed* that are here; the broker has their doom."""
        watchdog = self._children.watchdog
        if not doomed.terminate:
            watchdog.withdraw(doomed.ids)
            return
        number = signal.Signals[doomed.signal] if doomed.signal in signal.Signals.__members__ else signal.SIGTERM
        watchdog.terminate(doomed.ids, number, at_once=number == signal.SIGKILL)

    def look(self) -> None:
        """Read which tasks have another rate; until that is done, jobs may begin as before."""
        if self.rates is not None:
            self.rates.look()

    # --- telling

    def _active_queues(self, _: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [
            {
                "name": queue,
                "exchange": {"name": queue, "type": "direct"},
                "routing_key": queue,
                "durable": True,
                "exclusive": False,
                "auto_delete": False,
                "no_ack": False,
            }
            for queue in self._children.plan.queues
        ]

    def _conf(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        settings = self._plan.settings
        all_of_them = arguments.get("with_defaults", True)
        return {
            name: value for name, value in settings.table().items() if all_of_them or settings.origin(name) != "default"
        }

    def _registered(self, _: Mapping[str, Any]) -> list[str]:
        plan = self._children.plan
        limited = {task: f"{task} [{text}]" for task, text in plan.limited.items()}
        return [limited.get(task, task) for task in plan.tasks if not task.startswith(_BUILT_IN)]

    def _report(self, _: Mapping[str, Any]) -> dict[str, str]:
        plan, settings = self._children.plan, self._plan.settings
        changed = {name: value for name, value in settings.table().items() if settings.origin(name) != "default"}
        head = f"umbel {version('umbel')}, Python {platform.python_version()}, {platform.platform()}"
        lines = [head, f"broker {plan.broker}, queues {', '.join(plan.queues)}, {len(plan.tasks)} tasks"]
        return {"ok": "\n".join([*lines, *(f"{name} = {value!r}" for name, value in changed.items())])}

    def _started(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """The process of each session, and the jobs that it has started and not ended, with the time of it."""
        return {
            child.session: {"pid": child.pid, "jobs": {job.id: job.since for job in child.running()}}
            for child in self._children.living()
        }

    def _stats(self, _: Mapping[str, Any]) -> dict[str, Any]:
        plan, children = self._children.plan, self._children.living()
        used = resource.getrusage(resource.RUSAGE_SELF)
        slots = {"threads": plan.sizing.threads, "async": plan.sizing.async_slots}
        return {
            "pid": os.getpid(),
            "host": plan.host,
            "uptime": time.time() - self._born,
            "quiet": plan.quiet,
            "rusage": {"utime": used.ru_utime, "stime": used.ru_stime, "maxrss": kernel.peak()},
            "broker": {"transport": plan.broker.partition(":")[0], "url": plan.broker},
            "prefetch_count": plan.slots * self._children.count,
            "running": self._children.running(),
            "pool": {
                "max-concurrency": plan.sizing.threads * self._children.count,
                "processes": [child.pid for child in children],
                "slots": slots,
                "max-tasks-per-child": plan.max_tasks,
                "timeouts": [plan.settings.task_time_limit or 0, plan.settings.task_soft_time_limit or 0],
                "autoscale": self._options.autoscale,
            },
        }

    # --- doing

    def _grow(self, arguments: Mapping[str, Any]) -> dict[str, str]:
        number = self._number(arguments)
        return {"ok": f"pool will grow to {self._children.grow(number)} children"}

    def _shrink(self, arguments: Mapping[str, Any]) -> dict[str, str]:
        number = self._number(arguments)
        try:
            return {"ok": f"pool will shrink to {self._children.shrink(number)} children"}
        except ValueError as error:
            raise Refused(str(error)) from None

    def _number(self, arguments: Mapping[str, Any]) -> int:
        if self._options.autoscale:
            raise Refused(f"this worker has --autoscale {self._options.autoscale}: it sees to its size itself")
        number = arguments.get("n", 1)
        if type(number) is not int or not 1 <= number <= MAX_GROWTH:
            raise Refused(f"n is {number!r}: give a whole number from 1 to {MAX_GROWTH}")
        return number

    def _autoscale(self, arguments: Mapping[str, Any]) -> dict[str, str]:
        if self.scaler is None:
            raise Refused("this worker was started without --autoscale: pool_grow and pool_shrink say how many")
        most, least = arguments.get("max"), arguments.get("min")
        if type(most) is not int or type(least) is not int or not 1 <= least <= most <= MAX_GROWTH:
            raise Refused(f"max is {most!r} and min {least!r}: give whole numbers from 1 to {MAX_GROWTH}, max first")
        number = self.scaler.keep(most, least)
        return {"ok": f"autoscale now max={most} min={least}, {number} children"}

    def _restart(self, _: Mapping[str, Any]) -> dict[str, str]:
        self._children.renew()
        return {"ok": "children are replaced when what they run has ended"}

    def _enable_events(self, _: Mapping[str, Any]) -> dict[str, str]:
        if self.bulletin is None:
            raise Refused(f"{self._plan.broker} keeps no events")
        self.bulletin.begin()
        return {"ok": f"task events {'' if self._children.report(on=True) else 'already '}enabled"}

    def _disable_events(self, _: Mapping[str, Any]) -> dict[str, str]:
        return {"ok": f"task events {'' if self._children.report(on=False) else 'already '}disabled"}

    def _time_limit(self, arguments: Mapping[str, Any]) -> dict[str, str]:
        task = arguments.get("task_name")
        if task not in self._children.plan.tasks:
            raise Refused(f"unknown task {task!r}{nearest(str(task), self._children.plan.tasks)}")
        try:
            soft, hard = checked_limits(arguments.get("soft"), arguments.get("hard"))
        except (TypeError, ValueError) as error:
            raise Refused(str(error)) from None
        self._children.limit(Limit(task, soft, hard))
        return {"ok": "time limits set successfully" if soft or hard else "the limits are the task's own again"}

    def _add_consumer(self, arguments: Mapping[str, Any]) -> dict[str, str]:
        queue, queues = self._queue(arguments), self._children.plan.queues
        if queue in queues:
            return {"ok": f"already consuming from {queue}"}
        self._children.serve((*queues, queue))
        return {"ok": f"add consumer {queue}"}

    def _cancel_consumer(self, arguments: Mapping[str, Any]) -> dict[str, str]:
        queue, queues = self._queue(arguments), self._children.plan.queues
        if queue not in queues:
            raise Refused(f"not consuming from {queue}")
        if len(queues) == 1:
            raise Refused(f"{queue} is the only queue of this worker: quiet it, shut it down, or pause the queue")
        self._children.serve(tuple(each for each in queues if each != queue))
        return {"ok": f"no longer consuming from {queue}"}

    def _queue(self, arguments: Mapping[str, Any]) -> str:
        queue = arguments.get("queue")
        if not isinstance(queue, str) or not valid_queue(queue):
            raise Refused(f"{queue!r} cannot name a queue: 1-128 of A-Z a-z 0-9 . _ @ : -")
        return queue

    def _quiet(self, _: Mapping[str, Any]) -> dict[str, str]:
        if not self._children.quieten(on=True):
            return {"ok": "quiet already"}
        logger.warning("Told to be quiet: no jobs are received until resume, and what runs goes on")
        return {"ok": f"quiet: no jobs are received, {self._children.running()} are finished"}

    def _resume(self, _: Mapping[str, Any]) -> dict[str, str]:
        if not self._children.quieten(on=False):
            return {"ok": "not quiet"}
        logger.warning("Told to resume: jobs are received again")
        return {"ok": "jobs are received again"}

    def _shutdown(self, _: Mapping[str, Any]) -> dict[str, str]:
        logger.warning("Told to shut down")
        self._stop()
        return {"ok": "shutting down"}
