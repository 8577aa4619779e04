"""Gatherer: what the jobs of flows are given by those before them, fetched for all jobs of a receive at once."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from umbel.clock import clock
from umbel.contracts.broker import Broker
from umbel.contracts.flows import FlowHolder, FlowStore
from umbel.exceptions import BackendError, DecodeError, ImproperlyConfigured
from umbel.execution.executor import Executor, Finished, Run
from umbel.execution.inputs import PAGE, given, hindrance, page_of
from umbel.model.failure import capture
from umbel.model.flow import ALL, Page, Part, Standing
from umbel.model.outcome import Failed
from umbel.worker.child.ledger import Ledger


class Wanted(msgspec.Struct, gc=False):
    """A run with its part, and the inputs that it has so far: their *count*, the *last* member, and their *values*.

    The values of a page are one piece: a body of many members holds no object for each of them.
    """

    run: Run
    part: Part
    values: list[bytes]
    count: int = 0
    last: int = -1


class Gatherer:
    """Asks the flows of *broker*, if it holds any; large values are read over *ledger*."""

    def __init__(self, broker: Broker, ledger: Ledger, executor: Executor) -> None:
        self._flows = broker.flow_store if isinstance(broker, FlowHolder) else None
        self._ledger = ledger
        self._executor = executor

    async def gather(self, runs: Sequence[Run]) -> list[Run | Finished]:
        """*runs*, all of flows, with their inputs; or what they end with as they cannot run. Errors as `Broker`."""
        flows = self._flows
        if flows is None:
            return [self._executor.finished(run, Failed(capture(_no_flows()))) for run in runs]
        ready: list[Run | Finished] = []
        asked = [Wanted(run, part, []) for run in runs if (part := run.envelope.part) is not None]
        while asked:
            standings = await _ask(flows, [_next_page(wanted) for wanted in asked])
            more: list[Wanted] = []
            for wanted, standing in zip(asked, standings, strict=True):
                found = await self._take(wanted, standing)
                if found is None:
                    more.append(wanted)
                else:
                    ready.append(found)
            asked = more
        return ready

    async def _take(self, wanted: Wanted, standing: Standing | None) -> Run | Finished | None:
        """The run with its inputs, or what it ends with; None if more pages are there to be asked for."""
        run, part = wanted.run, wanted.part
        outcome = hindrance(part, standing, time.time())
        if outcome is not None:
            return self._executor.finished(run, outcome, ran=False)
        page = standing.inputs if standing is not None else []
        try:
            if page:
                wanted.values.append(b"".join(await self._ledger.values([each.value for each in page])))
                wanted.count, wanted.last = wanted.count + len(page), page[-1].member
            if part.takes == ALL and len(page) == PAGE:
                return None
            return given(run, part, wanted.count, wanted.values, _due(run, standing))
        except (DecodeError, BackendError) as error:  # damaged or gone: it will not be better the next time
            return self._executor.finished(run, Failed(capture(error), dead=True))


def _due(run: Run, standing: Standing | None) -> float:
    """When *run* became ready, on the clock of this host: with its node, or at a moment of its own after that."""
    if standing is None or standing.age is None:
        return 0.0
    envelope, opened = run.envelope, time.time() - standing.age
    if envelope.delay or envelope.eta is None:
        return opened + envelope.delay
    return max(opened, envelope.eta - clock.ahead)


async def _ask(flows: FlowStore, pages: Sequence[Page]) -> list[Standing | None]:
    """The answers to *pages*, each different one asked for once: the members of a group have one and the same."""
    different = list(dict.fromkeys(pages))
    answers = dict(zip(different, await flows.inputs(different), strict=True))
    return [answers[page] for page in pages]


def _next_page(wanted: Wanted) -> Page:
    return page_of(wanted.part, wanted.last)


def _no_flows() -> ImproperlyConfigured:
    return ImproperlyConfigured("this job is part of a flow, and the broker of this worker holds no flows")
