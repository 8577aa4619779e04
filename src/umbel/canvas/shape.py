"""Shape: what is in a canvas, as far as others have to know: its steps, whether it is one job, what it gives."""

from __future__ import annotations

from typing import Any

from umbel.canvas.algebra import spliced
from umbel.canvas.mapping import chunks
from umbel.canvas.primitives import chain, chord, group
from umbel.canvas.signatures import Signature


def flat(sig: chain) -> list[Signature[Any]]:
    """The steps of a chain without chains and empty groups among them."""
    steps: list[Signature[Any]] = []
    for step in sig.tasks:
        if isinstance(step, chain):
            steps += flat(chain.of(spliced(step)))
        elif not is_empty(step):
            steps.append(step)
    return steps


def is_empty(sig: Signature[Any]) -> bool:
    """Tell whether there is nothing to run: empty chains and groups, however deep."""
    if isinstance(sig, chain) or (isinstance(sig, group) and not sig.is_stream):
        return all(is_empty(part) for part in sig.tasks)
    return isinstance(sig, chunks) and not sig.kwargs["it"]


def is_loose(sig: Signature[Any]) -> bool:
    """Tell whether *sig* is one job, or nothing."""
    if isinstance(sig, chain):
        steps = flat(sig)
        return not steps or (len(steps) == 1 and is_loose(steps[0]))
    return not isinstance(sig, group | chord | chunks)


def gives_list(sig: Signature[Any]) -> bool:
    """Tell whether what follows *sig* gets the values of several jobs."""
    match sig:
        case group() | chunks():
            return True
        case chain():
            steps = flat(sig)
            return bool(steps) and gives_list(steps[-1])
        case chord():
            return sig.body is not None and gives_list(sig.body)
        case _:
            return False
