"""The call of a job as a line of Python, to be copied."""

from __future__ import annotations

import json
import keyword
from typing import Final, cast

from umbel.history.views import JobRow
from umbel.security.redaction import HIDDEN, is_cut

MAX_CHARACTERS: Final = 16 * 1024


def python_call(job: JobRow, args: str | None, kwargs: str | None) -> str:
    """How *job* was called: ``tasks.add.apply_async([1, 2], {}, queue="a")``; empty if that is not known in full."""
    try:
        listed, named = json.loads(args or "[]"), json.loads(kwargs or "{}")
    except (ValueError, RecursionError):
        return ""
    if not isinstance(listed, list) or not isinstance(named, dict) or is_cut(args) or is_cut(kwargs):
        return ""
    words = [repr(cast("object", listed)), repr(cast("object", named))]
    words += [f"queue={job.queue!r}"] if job.queue else []
    words += [f"priority={job.priority}"] if job.priority else []
    call = f"{job.task}.apply_async" if _is_dotted(job.task) else f"app.send_task({job.task!r}, "
    text = f"{call}({', '.join(words)})" if _is_dotted(job.task) else f"{call}{', '.join(words)})"
    if len(text) > MAX_CHARACTERS:
        return ""
    return f"{text}  # {HIDDEN} is hidden" if HIDDEN in text else text


def _is_dotted(name: str) -> bool:
    parts = name.split(".")
    return len(parts) > 1 and all(part.isidentifier() and not keyword.iskeyword(part) for part in parts)
