"""A canvas run here and now: members in order, each job through the real codec and executor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from umbel.canvas.compiler import CHAIN_OWN, More, merged, of_step, partial, split, to_parts
from umbel.canvas.expiry import expiry, until
from umbel.canvas.links import linked, popped
from umbel.canvas.mapping import chunks
from umbel.canvas.primitives import chain, chord, group
from umbel.canvas.results import GroupResult
from umbel.canvas.seams import Host
from umbel.canvas.shape import flat as flat_steps
from umbel.canvas.signatures import Signature
from umbel.model.ids import new_id
from umbel.options import CallOptions
from umbel.states import IGNORED


def apply(sig: Signature[Any], args: Sequence[Any], kwargs: Mapping[str, Any] | None, options: dict[str, Any]) -> Any:
    """Run *sig*; see `Signature.apply`."""
    given = dict(options)
    throw = given.pop("throw", None)
    expires, rest = expiry(given)
    return Here(sig.app, throw, expires).run(sig, More(tuple(args), kwargs or {}, rest))


class Here:
    """Runs signatures in this thread; none starts after the unix time *expires*."""

    def __init__(self, host: Host, throw: bool | None = None, expires: float | None = None) -> None:
        self._host = host
        self._throw = throw
        self._expires = expires

    def run(self, sig: Signature[Any], more: More) -> Any:
        """Run *sig* with what *more* says; answers its handle."""
        if isinstance(sig, chunks):
            sig = sig.group()
        match sig:
            case chain():
                return self._chain(sig, more)
            case group():
                return self._group(sig, more)
            case chord():
                return self._chord(sig, more)
            case _:
                return self._job(sig, more)

    def _job(self, sig: Signature[Any], more: More) -> Any:
        host = self._host
        args, kwargs = (sig.args, sig.kwargs) if sig.immutable else sig.with_arguments(more.args, more.kwargs)
        options = merged(sig.options, more.options)
        links = popped(options, "link", "link_error")
        task = sig.own_task or host.task_named(sig.task)
        said = linked(task._saying(cast("CallOptions", options)), links, host)  # noqa: SLF001 - what apply does
        said = until(said, self._expires, task.expires)
        job, _ = task._job(host, args, kwargs, said)  # noqa: SLF001 - likewise
        return task._eager(host, job, self._throw)  # noqa: SLF001 - likewise

    def _chain(self, sig: chain, more: More) -> Any:
        own, first = split(merged(sig.options, more.options), CHAIN_OWN)
        steps = flat_steps(sig)
        before: Any = None
        for index, step in enumerate(steps):
            inner = More(options=of_step(own, is_last=index == len(steps) - 1))
            if index == 0:
                inner = More(*partial(sig, more), {**first, **inner.options})
            else:
                inner = msgspec.structs.replace(inner, args=(before.get(disable_sync_subtasks=False),))
            result = self.run(step, inner)
            result.parent = before
            before = result
            if getattr(result, "settled", None) is not None and result.settled.state == IGNORED:
                return result
        return before

    def _group(self, sig: group, more: More) -> GroupResult:
        options = merged(sig.options, more.options)
        group_id = options.pop("task_id", None) or new_id()
        inner = More(*partial(sig, more), {**options, "group_id": group_id})
        results: list[Any] = []
        self._members(sig, inner, results)
        return GroupResult(group_id, results, self._host)

    def _members(self, sig: group, more: More, results: list[Any]) -> None:
        for member in sig.taken():
            if isinstance(member, group):
                self._members(member, More(*partial(member, more), more.options), results)
            elif (result := self.run(member, more)) is not None:
                results.append(result)

    def _chord(self, sig: chord, more: More) -> Any:
        body = sig.known_body()
        to_header, to_body = to_parts(merged(sig.options, more.options))
        header = self._group(sig.header, More(*partial(sig, more), to_header))
        values = header.join(disable_sync_subtasks=False)
        result = self.run(body, More((values,), {}, to_body))
        result.parent = header
        return result
