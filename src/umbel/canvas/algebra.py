"""What ``a | b`` is. The table is in docs/canvas.md, and tests/unit/canvas/test_algebra.py goes through it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from umbel.canvas.links import popped
from umbel.canvas.mapping import chunks
from umbel.canvas.primitives import chain, chord, group
from umbel.canvas.signatures import Signature, listed

Any_: TypeAlias = Signature[Any]


def joined(left: Any_, right: Any_) -> Any_:
    """*left* | *right*; neither is changed."""
    left, right = _plain(left), _plain(right)
    match left:
        case group():
            return _after_group(left, right)
        case chord():
            return _after_chord(left, right)
        case chain():
            return _after_chain(left, right)
        case _:
            steps = [left]
            _append(steps, right)
            return chain.of(steps)


def chained(steps: Sequence[Any_]) -> Any_:
    """``chain(*steps)``: joined from the left, but a group of one member is that member."""
    made: Any_ = chain.of([])
    for step in map(_plain, steps):
        one = _only_member(step)
        if isinstance(made, chain) and not isinstance(one, group | chain) and not _mergeable(made):
            made.tasks.append(one)  # as joined() would, without a copy for each step
            made.depth = max(made.depth, one.depth + 1)
        else:
            made = joined(made, one)
    return made


def _mergeable(made: chain) -> bool:
    return not made.tasks or isinstance(made.tasks[-1], group | chord)


def _plain(one: Any_) -> Any_:
    return one.group() if isinstance(one, chunks) else one


def _after_group(left: group, right: Any_) -> Any_:
    if isinstance(right, group) and not right.tasks:
        return left
    return _chord(left, right)


def _chord(header: group, body: Any_) -> chord:
    made = chord(header, body)
    made.own_app = header.own_app
    return made


def _after_chord(left: chord, right: Any_) -> Any_:
    if isinstance(right, group):
        right = _only_member(right)
        if isinstance(right, group) and not right.tasks:
            return left
    if isinstance(right, chain | group):
        steps: list[Any_] = [left]
        _append(steps, right, merge=False)
        return chain.of(steps)
    return _with_body(left, joined(left.known_body(), right))


def _with_body(left: chord, body: Any_) -> chord:
    made = _chord(left.header, body)
    made["args"], made["options"], made["immutable"] = left.args, dict(left.options), left["immutable"]
    made.kwargs["kwargs"] = dict(left.kwargs["kwargs"])
    return made


def _after_chain(left: chain, right: Any_) -> Any_:
    if not left.tasks and not left.args and not left.options:
        return right if isinstance(right, group | chord | chain) else chain.of([right])
    steps, options = list(left.tasks), dict(left.options)
    own = popped(options, "link", "link_error", "task_id")
    if own:
        steps = _told(steps, own)
    _append(steps, right)
    made = chain.of(steps, like=left)
    made["options"] = options
    return made


def _append(steps: list[Any_], right: Any_, *, merge: bool = True) -> None:
    """Add *right* to the steps of a chain that is being made."""
    right = _only_member(right)
    if isinstance(right, group) and not right.tasks:
        return
    if isinstance(right, chain):
        inner = spliced(right)
        for first in inner[:1]:
            _append(steps, first, merge=merge)
        steps += inner[1:]
        return
    last = steps[-1] if steps else None
    if isinstance(last, group):
        steps[-1] = _chord(last, right)
    elif isinstance(last, chord) and merge and not isinstance(right, group):
        steps[-1] = _with_body(last, joined(last.known_body(), right))
    else:
        steps.append(right)


def _only_member(one: Any_) -> Any_:
    """The member of a group of one, anything else as it is."""
    if not isinstance(one, group) or one.args or len(one.tasks) != 1:
        return one
    options = {name: value for name, value in one.options.items() if name != "task_id"}
    return one.tasks[0].clone(**options) if options else one.tasks[0]


def spliced(inner: chain) -> list[Any_]:
    """The steps of *inner* as steps of another chain: its arguments and options go to the steps that they mean."""
    steps = list(inner.tasks)
    if not steps:
        return steps
    options = dict(inner.options)
    own = popped(options, "link", "link_error", "task_id")
    if own:
        steps = _told(steps, own)
    if options or inner.args:
        steps[0] = steps[0].clone(() if inner.immutable else inner.args, None, **options)
    return steps


def _told(steps: list[Any_], own: dict[str, Any]) -> list[Any_]:
    """*steps* with what a chain's options say of its last step and of every one."""
    steps = list(steps)
    for index, step in enumerate(steps):
        is_last = index == len(steps) - 1
        if not is_last and "link_error" not in own:
            continue
        steps[index] = told = step.clone()
        for errback in listed(own.get("link_error")):
            told.link_error(errback)
        if is_last:
            for callback in listed(own.get("link")):
                told.link(callback)
            if own.get("task_id"):
                told.set(task_id=own["task_id"])
    return steps
