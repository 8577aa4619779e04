"""Rights: what a user of the dashboard may do, and the roles that have them."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

Right: TypeAlias = Literal[
    "jobs.view",
    "jobs.view_args",
    "jobs.view_results",
    "jobs.retry",
    "jobs.cancel",
    "jobs.terminate",
    "jobs.delete",
    "queues.pause",
    "queues.purge",
    "dead.retry",
    "dead.delete",
    "flows.cancel",
    "flows.retry",
    "schedules.run",
    "schedules.pause",
    "workers.quiet",
    "workers.stop",
    "errors.triage",
    "audit.view",
]
Role: TypeAlias = Literal["viewer", "operator", "admin"]

RIGHTS: Final[tuple[Right, ...]] = get_args(Right)
_VIEWS: Final[frozenset[Right]] = frozenset({"jobs.view", "jobs.view_args", "jobs.view_results", "audit.view"})
_VIEWER: Final[frozenset[Right]] = frozenset({"jobs.view", "jobs.view_args", "jobs.view_results"})
_OPERATOR: Final[frozenset[Right]] = frozenset(
    {
        *_VIEWER,
        "jobs.retry",
        "jobs.cancel",
        "jobs.terminate",
        "queues.pause",
        "dead.retry",
        "flows.cancel",
        "flows.retry",
        "schedules.run",
        "schedules.pause",
        "workers.quiet",
        "errors.triage",
        "audit.view",
    }
)
ROLES: Final[dict[Role, frozenset[Right]]] = {"viewer": _VIEWER, "operator": _OPERATOR, "admin": frozenset(RIGHTS)}


def rights_of(role: Role, *, read_only: bool = False) -> frozenset[Right]:
    """The rights of *role*; in a dashboard that is *read_only*, those of them that change nothing."""
    return ROLES[role] & _VIEWS if read_only else ROLES[role]
