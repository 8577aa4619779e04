"""Switch: whether events tell of the jobs of a child. It may be turned while they run."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from umbel.app.watching import Telling
from umbel.execution.executor import Executor, Finished
from umbel.model.job import Delivery
from umbel.worker.child.notebook import Notebook
from umbel.worker.child.reporter import Reporter, reporter_of
from umbel.worker.options import ChildOptions


class Switch:
    """Turns the reporter of a child on and off. As long as it is off, events cost nothing."""

    def __init__(self, app: Telling, options: ChildOptions, executor: Executor, notebook: Notebook) -> None:
        """Tell nothing yet."""
        self._app = app
        self._options = options
        self._executor = executor
        self._notebook = notebook
        self._wanted = options.events
        self._reporter: Reporter | None = None
        self._telling: Reporter | None = None
        self._turned = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None

    def start(self, held: Mapping[str, Delivery], gate: object) -> None:
        """Tell from now on if that is wanted; *held* and *gate* as for a `Reporter`."""
        self._turn_on(held, gate)
        self._keeping = asyncio.ensure_future(self._keep(held, gate))

    def turn(self, *, on: bool) -> None:
        """Tell from now on, or no longer."""
        self._wanted = on
        self._turned.set()

    def settled(self, batch: Sequence[Finished], answers: Sequence[bool]) -> None:
        """The broker has answered to the outcomes of *batch*."""
        if self._telling is not None:
            self._telling.settled(batch, answers)

    async def aclose(self) -> None:
        """Send what is left, if the log takes it within a moment, and tell nothing more."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait((self._keeping,))
        await self._turn_off()

    async def _keep(self, held: Mapping[str, Delivery], gate: object) -> None:
        while True:
            await self._turned.wait()
            self._turned.clear()
            if not self._wanted:
                await self._turn_off()
            self._turn_on(held, gate)

    def _turn_on(self, held: Mapping[str, Delivery], gate: object) -> None:
        if not self._wanted or self._telling is not None:
            return
        if self._reporter is None:  # always the same one: its source counts its batches
            self._reporter = reporter_of(self._app, self._options, held, gate)
        if self._reporter is None:
            return
        self._reporter.start()
        self._telling = self._reporter
        self._executor.watched, self._notebook.told = True, self._reporter.progressed

    async def _turn_off(self) -> None:
        reporter, self._telling = self._telling, None
        if reporter is not None:
            self._executor.watched, self._notebook.told = self._options.counted, None
            await reporter.aclose()
