"""What is told of sessions: the open ones, each once; and of jobs whose session ended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from umbel.contracts.broker import Ended
from umbel.contracts.powers import SessionInfo


def merged(entries: Iterable[tuple[bytes, bytes, int, Sequence[bytes]]]) -> list[SessionInfo]:
    """Each session of *entries* (name, info, ms left of its lease, ids) once: the shortest lease, the jobs of all."""
    found: dict[str, SessionInfo] = {}
    for session, info, left, ids in entries:
        name = session.decode()
        held = tuple(job_id.decode() for job_id in ids)
        other = found.get(name)
        found[name] = (
            SessionInfo(name, info, left / 1000, held)
            if other is None
            else SessionInfo(name, other.info or info, min(other.lease_left, left / 1000), other.held + held)
        )
    return list(found.values())


def told(end: Ended) -> list[str]:
    """What is known of the jobs of *end*, (id doom)*: an empty doom for one that had started."""
    words = [word for job_id in end.started for word in (job_id, "")]
    return [*words, *(word for doomed in end.doomed for word in doomed)]
