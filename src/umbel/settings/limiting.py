"""Settings about limits: a rate, the lengths of queues, options of tasks by their names."""

from __future__ import annotations

from typing import Any, cast

from umbel.exceptions import ImproperlyConfigured
from umbel.options import TASK_OPTIONS, check_names, checked_queue, rate_interval


def check_limits(name: str, value: Any, origin: str) -> None:
    """Raise `ImproperlyConfigured` for a *value* of the setting *name*, from *origin*, that is wrong in itself."""
    try:
        match name:
            case "task_default_rate_limit" if value is not None:
                rate_interval(value, name)
            case "task_annotations":
                for task, options in cast("dict[str, dict[str, Any]]", value).items():
                    check_names(options, TASK_OPTIONS, f"{name}[{task!r}]")
            case "task_queue_max_length" if isinstance(value, dict):
                for queue in cast("dict[str, int]", value):
                    checked_queue(queue)
            case _:
                pass
    except (TypeError, ValueError) as error:
        raise ImproperlyConfigured(f"{name} ({origin}): {error}") from None
