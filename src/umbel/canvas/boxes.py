"""Boxes: a flow as few of them as it has different jobs, in the order in which they run, and how far each has come.

Jobs that differ in nothing but their number are one box: a chord of 10,000 chains of three tasks is four boxes.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from umbel.canvas.plan import Kind
from umbel.model.flow import Progress

State = Literal["", "waiting", "running", "succeeded", "failed", "ended"]
"""Of the jobs of a box: they were not sent yet, some have not ended, all have. "ended": it is not known whether all
succeeded, because jobs of other boxes are counted with them; "": nothing is known."""

NO_PROGRESS: Final[Mapping[int, Progress]] = {}


class Box(msgspec.Struct, frozen=True):
    """*count* jobs of one *task*. *after* are the places, in the list of boxes, of those whose values they take.

    *ended* and *failed* count jobs; None where jobs of other boxes are counted with them. *layer* is 0 for jobs that
    wait for none, else one more than the last that it waits for.
    """

    task: str
    count: int
    state: State
    ended: int | None
    failed: int | None
    after: tuple[int, ...]
    layer: int

    @property
    def title(self) -> str:
        """The task, and how many jobs of it."""
        # A name may hold anything; one that moves the cursor of a terminal or breaks a document is not shown.
        task = "".join(each if each.isprintable() else "?" for each in self.task)
        return f"{self.count:,} x {task}" if self.count > 1 else task

    @property
    def standing(self) -> str:
        """The state in words, with the numbers that are known."""
        words: list[str] = [self.state] if self.state else []
        if self.state == "running" and self.ended is not None and self.count > 1:
            words.append(f"{self.ended:,} of {self.count:,}")
        if self.failed and self.count > 1:
            words.append(f"{self.failed:,} failed")
        return ", ".join(words)


class _Group(msgspec.Struct):
    """Nodes that are told apart by nothing but their keys, together."""

    members: int = 0
    joined: int = 0
    failed: int = 0
    sent: bool = False
    complete: bool = True
    known: bool = True

    def add(self, node: Progress | None) -> None:
        if node is None:
            self.known = False
            return
        self.members += node.members
        self.joined += node.joined
        self.failed += node.failed
        self.sent = self.sent or node.sent
        self.complete = self.complete and node.sent


def boxes(kinds: Iterable[Kind], progress: Mapping[int, Progress] = NO_PROGRESS) -> list[Box]:
    """The boxes of the plan *kinds*; *progress* are the nodes by their keys."""
    listed = list(kinds)
    order = in_order(listed)
    alike = _alike(listed, order)
    groups: dict[int, _Group] = defaultdict(_Group)
    for node in order:
        groups[alike[node]].add(progress.get(node))
    merged = Counter[tuple[int, str, tuple[int, ...]]]()
    place = {node: number for number, node in enumerate(order)}
    for kind in sorted(listed, key=lambda each: place[each.node]):
        merged[alike[kind.node], kind.task, tuple(dict.fromkeys(alike[node] for node in kind.feeds))] += kind.count
    return _boxes([Kind(*key, count) for key, count in merged.items()], groups)


def _boxes(merged: Sequence[Kind], groups: Mapping[int, _Group]) -> list[Box]:
    feeders: dict[int, list[int]] = defaultdict(list)
    for number, kind in enumerate(merged):
        for group in kind.feeds:
            feeders[group].append(number)
    made: list[Box] = []
    for kind in merged:
        after = tuple(feeders[kind.node])
        layer = 1 + max((made[number].layer for number in after), default=-1)
        own = next((groups[group] for group in kind.feeds if len(feeders[group]) == 1), None)
        if own is None or not own.known:
            made.append(_among_others(kind, groups, after, layer))
            continue
        count = max(kind.count, own.members)  # jobs that were added while it ran count, too
        state = _state(own, sent=groups[kind.node].sent)
        made.append(Box(kind.task, count, state, own.joined, own.failed, after, layer))
    return made


def _state(own: _Group, *, sent: bool) -> State:
    if own.joined >= own.members:
        return "failed" if own.failed else "succeeded"
    return "running" if sent else "waiting"


def _among_others(kind: Kind, groups: Mapping[int, _Group], after: tuple[int, ...], layer: int) -> Box:
    """The box of jobs that are counted with others, as far as it can be told."""
    fed = [groups[group] for group in kind.feeds]
    state: State = "running" if groups[kind.node].sent else "waiting"
    ended, failed = (None, None) if groups[kind.node].sent else (0, 0)
    if not all(each.known for each in (*fed, groups[kind.node])):
        state, ended, failed = "", None, None
    elif any(each.complete for each in fed):
        some_failed = any(each.failed for each in fed)
        state, ended, failed = ("ended", kind.count, None) if some_failed else ("succeeded", kind.count, 0)
    return Box(kind.task, kind.count, state, ended, failed, after, layer)


def in_order(kinds: Iterable[Kind]) -> list[int]:
    """The nodes, each behind those whose jobs it waits for."""
    onward: dict[int, list[int]] = defaultdict(list)
    waits: Counter[int] = Counter()
    for kind in kinds:
        waits[kind.node] += 0
        for node in kind.feeds:
            onward[kind.node].append(node)
            waits[node] += 1
    ready = deque(sorted(node for node, count in waits.items() if not count))
    order: list[int] = []
    while ready:
        order.append(ready.popleft())
        for node in onward[order[-1]]:
            waits[node] -= 1
            if not waits[node]:
                ready.append(node)
    return order


def _alike(kinds: Iterable[Kind], order: Sequence[int]) -> dict[int, int]:
    """The group of each node: equal for nodes that the same leads to and that lead to the same."""
    sends: dict[int, list[Kind]] = defaultdict(list)
    fed_by: dict[int, list[Kind]] = defaultdict(list)
    for kind in kinds:
        sends[kind.node].append(kind)
        for node in kind.feeds:
            fed_by[node].append(kind)
    names: dict[object, int] = {}
    onward: dict[int, int] = {}
    for node in reversed(order):
        what = sorted((each.task, tuple(onward[fed] for fed in each.feeds), each.count) for each in sends[node])
        onward[node] = names.setdefault(("onward", tuple(what)), len(names))
    alike: dict[int, int] = {}
    for node in order:
        back = sorted((alike[each.node], each.task, each.count) for each in fed_by[node])
        alike[node] = names.setdefault((onward[node], tuple(back)), len(names))
    return alike
