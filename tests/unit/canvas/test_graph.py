"""Flows of any shape."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.unit.canvas.stage import Stage
from umbel import Graph, group
from umbel.wire.envelope import decode

STAGE = Stage("canvas-graph")
add, total = STAGE.add, STAGE.total


def edges(graph: Graph) -> list[str]:
    start = graph._compiled()
    shown: list[str] = []
    for _, job in start.jobs:
        envelope = decode(job.envelope)
        assert envelope.part is not None
        fed = ",".join(f"{node}.{number}" for node, number in envelope.part.feeds)
        shown.append(f"{envelope.part.needs}:{envelope.task}{('', '1', '*')[envelope.part.takes]}->{fed}")
    return shown


def test_a_step_waits_for_those_it_names_and_feeds_all_that_name_it() -> None:
    graph = Graph()
    first, second = graph.add(add.s(1, 1)), graph.add(add.s(2, 2))
    both = graph.add(total.s(), after=[first, second])
    graph.add(add.s(1), after=[first])
    graph.add(add.s(1), after=[both])
    # Nodes: 2 waits for first and second, 3 for first, 4 for both; 1 is the end.
    assert edges(graph) == ["0:add->2.0,3.0", "0:add->2.1", "2:total*->4.0", "3:add1->1.0", "4:add1->1.1"]


def test_a_group_as_a_step_has_one_value_its_list() -> None:
    graph = Graph()
    members = graph.add(group(add.s(1, 1), add.s(2, 2)))
    graph.add(total.s(), after=[members])
    assert edges(graph) == ["0:add->3.0", "0:add->3.1", "3:umbel.gather*->2.0", "2:total1->1.0"]


def test_a_step_of_another_graph_is_an_error_so_there_is_no_cycle() -> None:
    graph, other = Graph(), Graph()
    graph.add(add.s(1, 1))
    with pytest.raises(ValueError, match="after 0 is no step of this graph"):
        graph.add(add.s(1), after=[other.add(add.s(1, 1))])
    with pytest.raises(ValueError, match="after 1 is no step of this graph"):
        graph.add(add.s(1), after=[graph.steps[0], "first"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="the graph has no step"):
        Graph().send()
    with pytest.raises(TypeError, match="5 is no signature"):
        graph.add(5)  # type: ignore[arg-type]


def test_a_graph_runs_here_and_now_when_all_tasks_do() -> None:
    stage = Stage("canvas-graph-eager")
    stage.app.conf.task_always_eager = True
    graph = Graph()
    numbers = graph.add(group(stage.add.s(1, 1), stage.add.s(2, 2)))
    summed = graph.add(stage.total.s(), after=[numbers])
    more = graph.add(stage.add.s(10), after=[summed])
    last = graph.add(stage.total.s(), after=[summed, more])
    assert [each.get() for each in graph.send()] == [[2, 4], 6, 16, 22]
    assert last.result.get() == 22
    before = [step.result for step in graph.steps]
    assert graph.send() == before  # once, however often it is sent


def test_a_graph_may_expire() -> None:
    graph = Graph(expires=datetime(2030, 1, 1, tzinfo=UTC))
    graph.add(add.s(1, 1))
    assert graph._compiled().flow.expires == 1_893_456_000.0
