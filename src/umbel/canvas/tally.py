"""Tally: how many jobs of a flow there are, have ended and have failed, from what its nodes were told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from umbel.canvas.plan import Kind
from umbel.model.flow import Progress


class Tally(NamedTuple):
    """How many jobs; *done* of them have ended, well or not, and *failed* of those did not succeed."""

    total: int
    done: int
    failed: int


def tally(kinds: Iterable[Kind], nodes: Mapping[int, Progress]) -> Tally:
    """Count the jobs of a flow with the plan *kinds*.

    A job that several nodes wait for joins all of them at once and counts once. Where none of these waits for its kind
    alone, the nodes cannot tell who has joined: then it may count late, never early.
    """
    if not nodes:
        return Tally(sum(kind.count for kind in kinds), 0, 0)
    listed = list(kinds)
    feeders = Counter(key for kind in listed for key in kind.feeds)
    members, joined, failed = (sum(found) for found in zip(*map(_counts, nodes.values()), strict=True))
    for kind in listed:
        fed = [nodes[key] for key in kind.feeds if key in nodes]
        alone = [node for node in fed if feeders[node.key] == 1]
        more = len(fed) - 1
        if more > 0:
            members -= more * kind.count
            joined -= more * min(kind.count, *(node.joined for node in alone or fed))
            failed -= more * min(kind.count, *(node.failed for node in alone or fed))
    return Tally(members, max(joined, 0), max(failed, 0))


def _counts(node: Progress) -> tuple[int, int, int]:
    return node.members, node.joined, node.failed
