"""Graph: a flow of any shape. Each step names the steps that it waits for."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from umbel.canvas.compiler import GATHER, Compiler, Entry, Handle, More, Target
from umbel.canvas.primitives import chain
from umbel.canvas.seams import Host
from umbel.canvas.send import Start, acarry_out, carry_out, home_of
from umbel.canvas.shape import gives_list, is_empty
from umbel.canvas.signatures import Signature
from umbel.model.flow import ALL, ONE
from umbel.model.ids import new_flow_id
from umbel.options import When, moment


class Step:
    """One step of a `Graph`; once that was sent, *result* is its handle."""

    def __init__(self, graph: Graph, sig: Signature[Any], after: tuple[Step, ...]) -> None:
        """Made by `Graph.add`."""
        self.graph = graph
        self.sig = sig
        self.after = after
        self.result: Any = None


class Graph:
    """Steps and what each waits for: ``flow.add(sig, after=[a, b])``. Sent as one flow.

    A step gets the value of the one that it waits for, or the list of their values, in the order of *after*.
    """

    def __init__(self, app: Host | None = None, expires: When | None = None) -> None:
        """Begin with no step; *app* is by default that of the first step. No job starts after the moment *expires*."""
        self._app = app
        self._expires = expires
        self.steps: list[Step] = []
        self.id = new_flow_id()

    def add(self, sig: Signature[Any], after: Iterable[Step] = ()) -> Step:
        """Add *sig*, a signature or canvas, to run when the steps *after* have succeeded.

        Raises `ValueError` for a step of another graph: steps wait for earlier ones only, so there is no cycle.
        """
        if not isinstance(sig, Signature):
            raise TypeError(f"{sig!r} is no signature: give task.s(…)")
        if is_empty(sig):
            raise ValueError(f"{sig!r} is empty: a step has a value")
        waits = tuple(dict.fromkeys(after))
        for number, step in enumerate(waits):
            if not isinstance(step, Step) or step.graph is not self:
                raise ValueError(f"after {number} is no step of this graph: give what add() answered")
        made = Step(self, sig, waits)
        self.steps.append(made)
        return made

    def send(self) -> list[Any]:
        """Send it, once however often this is called; answers the handles of the steps, in their order."""
        if self._host.conf.task_always_eager:
            return self._here()
        carry_out(self._host, self._compiled())
        return [step.result for step in self.steps]

    async def asend(self) -> list[Any]:
        """The async twin of `send`."""
        if self._host.conf.task_always_eager:
            import asyncio

            return await asyncio.to_thread(self._here)  # as a signature's `aapply_async`
        await acarry_out(self._host, self._compiled())
        return [step.result for step in self.steps]

    @property
    def _host(self) -> Host:
        if not self.steps:
            raise ValueError("the graph has no step")
        return self._app or self.steps[0].sig.app

    def _moment(self) -> float | None:
        return None if self._expires is None else moment(self._expires, "expires", time.time())

    def _here(self) -> list[Any]:
        """Run it in this thread, step by step."""
        from umbel.canvas.eager import Here

        here = Here(self._host, expires=self._moment())
        for step in (each for each in self.steps if each.result is None):
            values = [before.result.get(disable_sync_subtasks=False) for before in step.after]
            args = (values,) if len(values) > 1 else tuple(values)
            step.result = here.run(_one_value(step.sig, self._host), More(args))
        return [step.result for step in self.steps]

    def _compiled(self) -> Start:
        host = self._host
        compiler = Compiler(host, self.id, home_of(self.steps[-1].sig, host), self._moment())
        nodes = {after: compiler.target() for step in self.steps if (after := step.after)}
        fed: dict[Step, list[tuple[Target, int]]] = {}
        for after, node in nodes.items():
            for number, step in enumerate(after):
                fed.setdefault(step, []).append((node, number))
        with compiler.naming():
            for number, step in enumerate(self.steps):
                target = _Each(fed[step]) if step in fed else compiler.end
                entry = Entry()
                if step.after:
                    first: Handle = step.after[0].result
                    takes = ONE if len(step.after) == 1 else ALL
                    entry = Entry(nodes[step.after].key, takes, takes == ALL, first)
                step.result = compiler.step(number, _one_value(step.sig, host), entry, target)
        return Start(compiler.flow(host.conf.result_expires), compiler.jobs)


class _Each(Target):
    """Each of the nodes that wait for one step, with the step's number there."""

    __slots__ = ("fed",)

    def __init__(self, fed: Sequence[tuple[Target, int]]) -> None:
        super().__init__(fed[0][0].key)
        self.fed = fed
        self.keys = tuple(target.key for target, _ in fed)

    def feed(self) -> tuple[tuple[int, int], ...]:
        for target, _ in self.fed:
            target.members += 1
        return tuple((target.key, number) for target, number in self.fed)


def _one_value(sig: Signature[Any], host: Host) -> Signature[Any]:
    """*sig* as a step that has one value: of several jobs their list."""
    return chain.of([sig, Signature(GATHER, app=host)]) if gives_list(sig) else sig
