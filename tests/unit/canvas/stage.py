"""Tasks for tests of the canvas, and a canvas as text."""

from __future__ import annotations

from typing import Any, cast

from umbel import Signature, Umbel, chain, chord, group
from umbel.canvas.compiler import More
from umbel.canvas.seams import Host
from umbel.canvas.send import Start, leaving
from umbel.engines.operation import drive
from umbel.model.flow import Flow
from umbel.model.job import Job
from umbel.task import Task
from umbel.wire.envelope import Envelope, decode


class Stage:
    """An app with a few tasks; nothing is sent."""

    def __init__(self, name: str) -> None:
        self.app = Umbel(name, broker=f"memory://{name}", set_as_current=False)
        self.add: Task[..., int] = self.app.task(name="add")(_add)
        self.total: Task[..., int] = self.app.task(name="total")(sum)

    def step(self, name: str) -> Signature[Any]:
        """A signature whose text is *name*."""
        return Signature(name, app=cast("Host", self.app))

    def leaves(self, sig: Signature[Any], **options: Any) -> Left:
        """What would be sent of *sig*."""
        return Left(sig, cast("Host", self.app), options)


class Left:
    """What leaves when a canvas is sent: the flow, if it is one, its jobs with their envelopes, and the handle."""

    def __init__(self, sig: Signature[Any], host: Host, options: dict[str, Any]) -> None:
        self.flow: Flow | None = None
        self.jobs: list[Job] = []
        self.nodes: list[int] = []
        self.handle: Any = drive(leaving(sig, More(options=options), host), self._take)

    def _take(self, command: Any) -> None:
        if isinstance(command, Start):
            self.flow = command.flow
            self.nodes += [node for node, _ in command.jobs]
            self.jobs += [job for _, job in command.jobs]
        else:
            self.jobs += [made.job for made in command.made]

    @property
    def envelopes(self) -> list[Envelope]:
        """The jobs as they travel, in order."""
        return [decode(job.envelope) for job in self.jobs]

    @property
    def edges(self) -> list[str]:
        """Each job as ``node:task<takes>->fed.number``."""
        shown: list[str] = []
        for envelope in self.envelopes:
            part = envelope.part
            assert part is not None
            marks = ("", "1", "*")[part.takes] + ("!" if part.chord else "")
            fed = ",".join(f"{node}.{number}" for node, number in part.feeds)
            shown.append(f"{part.needs}:{envelope.task}{marks}->{fed}")
        return shown

    @property
    def members(self) -> dict[int, int]:
        """How many members each node has."""
        assert self.flow is not None
        return {node.key: node.members for node in self.flow.nodes}


def text(sig: Any) -> str:
    """A canvas in the notation of the table in docs/canvas.md."""
    match sig:
        case chain():
            return f"chain({', '.join(map(text, sig.tasks))})"
        case group():
            return f"G({', '.join(map(text, sig.tasks))})"
        case chord():
            return f"C([{', '.join(map(text, sig.header.tasks))}] -> {text(sig.body)})"
        case _:
            return str(sig.task)


def _add(x: int, y: int = 0) -> int:
    return x + y
