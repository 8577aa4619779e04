"""Canvas: calls as data, and what is made of several: chain, group, chord, chunks, map and starmap."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from umbel.canvas.graph import Graph
    from umbel.canvas.mapping import chunks, xmap, xstarmap
    from umbel.canvas.primitives import chain, chord, group
    from umbel.canvas.results import GroupResult, ResultSet
    from umbel.canvas.saving import result_from_tuple
    from umbel.canvas.signatures import Signature, maybe_signature, signature, subtask
    from umbel.canvas.stamping import StampingVisitor

__all__ = [
    "Graph",
    "GroupResult",
    "ResultSet",
    "Signature",
    "StampingVisitor",
    "chain",
    "chord",
    "chunks",
    "group",
    "maybe_signature",
    "result_from_tuple",
    "signature",
    "subtask",
    "xmap",
    "xstarmap",
]

_PLACES: Final = {
    "Graph": "umbel.canvas.graph",
    **dict.fromkeys(("chain", "chord", "group"), "umbel.canvas.primitives"),
    **dict.fromkeys(("chunks", "xmap", "xstarmap"), "umbel.canvas.mapping"),
    **dict.fromkeys(("GroupResult", "ResultSet"), "umbel.canvas.results"),
    "StampingVisitor": "umbel.canvas.stamping",
    "result_from_tuple": "umbel.canvas.saving",
    **dict.fromkeys(("Signature", "maybe_signature", "signature", "subtask"), "umbel.canvas.signatures"),
}


def __getattr__(name: str) -> Any:
    # Tasks know how to make signatures; a program that makes none does not pay for the rest.
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module 'umbel.canvas' has no attribute {name!r}")
    return getattr(import_module(place), name)
