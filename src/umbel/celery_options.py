"""Celery's options of tasks and calls that Umbel does not have: what it does anyway, what comes later, what never."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

_DATA: Final = (("json", "msgpack"), "messages are MessagePack, which carries all that JSON does; nothing is pickled")
_TRIED: Final = ((True,), "a send is tried again until broker_send_deadline has passed")
_USUAL: Final[Mapping[str, tuple[Collection[Any], str]]] = {
    "serializer": _DATA,
    "acks_late": ((True,), "a job leaves the broker when its outcome is stored, not before"),
    "reject_on_worker_lost": ((True,), "a job whose process died runs again, three times at most"),
    "acks_on_failure_or_timeout": ((True,), "a job that has failed is over"),
    "retry": _TRIED,
    "delivery_mode": ((2, "persistent"), "jobs are always kept durably"),
}
"""What Umbel does anyway: which values say just that, and what to tell whoever wants it otherwise."""
LATER: Final = frozenset(
    [
        "add_to_parent",
        "compression",
        "shadow",
        "exchange",
        "exchange_type",
        "routing_key",
        "acks_on_failure",
        "acks_on_timeout",
        "retry_on_worker_lost",
        "trail",
        "resultrepr_maxsize",
        "pydantic",
        "pydantic_strict",
        "pydantic_context",
        "pydantic_dump_kwargs",
        "store_eager_result",
    ]
)
_REFUSED: Final = {
    **dict.fromkeys(
        ("producer", "publisher", "connection", "declare", "router"), "the broker is the app's: leave it out"
    ),
    "result_cls": "a task answers an AsyncResult",
    **dict.fromkeys(("chain", "chord", "group_index"), "flows set it themselves"),
    "retries": "the broker counts them",
    "strategy": "hooks such as before_start do that",
    "Strategy": "hooks such as before_start do that",
    "Request": "hooks such as before_start do that",
    "backend": "the app has one result_backend",
}
OF_CLASSES: Final = (*sorted(LATER), "serializer", "acks_late", "reject_on_worker_lost", "acks_on_failure_or_timeout")
"""Those that a class of tasks may have as attributes."""


def is_usual(name: str, value: object) -> bool:
    """Whether *value* of the option *name* asks for what is done anyway, so that it may be left out."""
    return name in _USUAL and value in _USUAL[name][0]


def objection(name: str, value: object) -> str | None:
    """What to say against *value* of Celery's option *name*; None for a name that Celery does not have either."""
    if name in LATER:
        return f"the option {name!r} is not supported yet"
    if name in _USUAL:
        return f"the option {name}={value!r} is not supported: {_USUAL[name][1]}"
    return f"the option {name!r} is not supported: {_REFUSED[name]}" if name in _REFUSED else None
