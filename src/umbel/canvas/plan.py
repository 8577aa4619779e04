"""Plan: the graph of a flow for whoever shows it, as few lines as it has different jobs, whatever their number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from umbel.exceptions import DecodeError
from umbel.model.flow import Progress

NODES: Final[Mapping[int, Progress]] = {}


class Kind(msgspec.Struct, frozen=True, array_like=True):
    """Jobs of one task that the node *node* sends and that feed *feeds*; *count* is how many."""

    node: int
    task: str
    feeds: int
    count: int


_decoder: Final = msgspec.msgpack.Decoder(list[Kind])


def encode(counts: Mapping[tuple[int, str, int], int]) -> bytes:
    """The plan as the engine keeps it; *counts* is by node, task and fed node."""
    return msgspec.msgpack.encode([(*place, count) for place, count in counts.items()])


def decode(plan: bytes) -> list[Kind]:
    """The jobs of a flow; none if it carries no plan. Raises `DecodeError`."""
    if not plan:
        return []
    try:
        return _decoder.decode(plan)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise DecodeError(f"not the plan of a flow: {error}") from error


def lines(kinds: Iterable[Kind], nodes: Mapping[int, Progress] = NODES) -> list[str]:
    """The graph as text, a line for the jobs of a task, and how many of them have ended."""
    return [f"{_title(kind)}{_arrow(kind)}{_ended(kind, nodes)}" for kind in kinds]


def mermaid(kinds: Iterable[Kind], nodes: Mapping[int, Progress] = NODES) -> str:
    """The graph in Mermaid's language."""
    listed = list(kinds)
    shown = ["graph LR"]
    for number, kind in enumerate(listed):
        label = (_title(kind) + _ended(kind, nodes)).replace('"', "'")
        shown.append(f'  j{number}["{label}"]')
    for number, kind in enumerate(listed):
        shown += [f"  j{number} --> j{other}" for other, next_ in enumerate(listed) if next_.node == kind.feeds]
    return "\n".join(shown)


def _title(kind: Kind) -> str:
    return f"{kind.task} x{kind.count:,}" if kind.count > 1 else kind.task


def _arrow(kind: Kind) -> str:
    return f"  [{kind.node} -> {kind.feeds}]"


def _ended(kind: Kind, nodes: Mapping[int, Any]) -> str:
    progress = nodes.get(kind.feeds)
    if progress is None or progress.members != kind.count:
        return ""
    failed = f", {progress.failed:,} failed" if progress.failed else ""
    return f" ({progress.joined:,} of {progress.members:,}{failed})"
