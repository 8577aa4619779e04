"""Whoever has settled one of the last jobs of a flow looks whether the flow has ended."""

from collections.abc import Iterable, Sequence
from typing import Any, cast

import pytest

from umbel.contracts.flows import FlowStore
from umbel.exceptions import BrokerUnavailable
from umbel.model.flow import END, FlowState, Page, Part, Standing
from umbel.telling import Teller
from umbel.worker.child import ends
from umbel.worker.child.ends import LOOKS, Ends


class Flows:
    """Stands for a store of flows: answers their *states*, or that it is *away*."""

    def __init__(self) -> None:
        self.states: dict[str, FlowState] = {}
        self.away = False
        self.asked: list[list[str]] = []

    def stand(self, names: Iterable[str], state: FlowState) -> None:
        """All flows of *names* are in *state*."""
        for name in names:
            self.states[name] = state

    async def inputs(self, pages: Sequence[Page]) -> list[Standing | None]:
        if self.away:
            raise BrokerUnavailable("away")
        self.asked.append([page.flow for page in pages])
        states: list[FlowState | None] = [self.states.get(page.flow) for page in pages]
        return [None if state is None else Standing(state, None, None, []) for state in states]


class Told:
    """Stands for a journal."""

    words: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def add(self, make: Any, event: Any, at: float, size: int, *, grave: bool) -> None:
        assert grave
        self.events.append((event.id, event.body["state"]))


@pytest.fixture
def flows() -> Flows:
    return Flows()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def found(flows: Flows, told: Told, monkeypatch: pytest.MonkeyPatch) -> Ends:
    monkeypatch.setattr(ends, "LOOK_SECONDS", 0.0)
    teller = Teller.__new__(Teller)
    teller.journal = cast(Any, told)
    return Ends(cast(FlowStore, flows), teller)


def part(flow: str, *nodes: int) -> Part:
    return Part(flow, "home", 0, 0, tuple((node, 0) for node in nodes))


async def test_flows_that_have_ended_are_told_once(flows: Flows, told: Told, found: Ends) -> None:
    flows.states = {"well": "succeeded", "badly": "failed", "over": "revoked"}
    for name in (*flows.states, *flows.states, "forgotten"):
        found.settled(part(name, END))
    await found.look()
    await found.look()
    assert told.events == [("well", "succeeded"), ("badly", "failed"), ("over", "revoked")]
    assert flows.asked == [["well", "badly", "over", "forgotten"]]


async def test_jobs_that_others_follow_make_nobody_look(flows: Flows, found: Ends) -> None:
    found.settled(part("a", END + 1))
    found.settled(part("b"))
    await found.look(last=True)
    assert flows.asked == []


async def test_a_flow_that_runs_is_looked_for_a_few_times_after_each_settle(flows: Flows, found: Ends) -> None:
    flows.states = {"a": "running"}
    for _ in range(2):
        found.settled(part("a", END))
        for _ in range(LOOKS + 2):
            await found.look()
    assert flows.asked == [["a"]] * (2 * LOOKS)


async def test_an_outage_forgets_no_flow(flows: Flows, told: Told, found: Ends) -> None:
    flows.stand("a", "succeeded")
    flows.away = True
    found.settled(part("a", END))
    for _ in range(LOOKS + 2):
        await found.look()
    flows.away = False
    await found.look()
    assert told.events == [("a", "succeeded")]


async def test_many_flows_are_asked_for_in_portions(flows: Flows, told: Told, found: Ends) -> None:
    names = [f"flow {number}" for number in range(2 * ends.AT_ONCE + 1)]
    flows.stand(names, "succeeded")
    for name in names:
        found.settled(part(name, END))
    await found.look()
    assert [len(each) for each in flows.asked] == [ends.AT_ONCE, ends.AT_ONCE, 1]
    assert len(told.events) == len(names)


async def test_no_more_flows_are_looked_after_than_there_is_room_for(
    flows: Flows, told: Told, found: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ends, "MAX_FLOWS", 2)
    flows.stand("abc", "succeeded")
    for name in "abca":
        found.settled(part(name, END))
    await found.look()
    assert [flow for flow, _ in told.events] == ["a", "b"]


async def test_nobody_looks_all_the_time(flows: Flows, found: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ends, "LOOK_SECONDS", 3_600.0)
    flows.states = {"a": "running"}
    found.settled(part("a", END))
    for _ in range(3):
        await found.look()
    assert len(flows.asked) == 1
    await found.look(last=True)
    assert len(flows.asked) == 2
