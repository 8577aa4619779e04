"""Flows of any shape, and what is shown of a flow."""

from __future__ import annotations

import pytest

from tests.unit.canvas.stage import Stage
from umbel import Graph, group
from umbel.canvas import plan
from umbel.exceptions import DecodeError
from umbel.model.flow import Progress
from umbel.wire.envelope import decode

STAGE = Stage("canvas-graph")
add, total = STAGE.add, STAGE.total
KINDS = [plan.Kind(0, "add", 2, 3), plan.Kind(2, "total", 1, 1)]


def edges(graph: Graph) -> list[str]:
    _, start = graph._compiled()
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
    with pytest.raises(ValueError, match="the graph has no step"):
        Graph().send()
    with pytest.raises(TypeError, match="5 is no signature"):
        graph.add(5)  # type: ignore[arg-type]


def test_a_plan_is_what_it_was() -> None:
    assert plan.decode(plan.encode({(0, "add", 2): 3, (2, "total", 1): 1})) == KINDS
    assert plan.decode(b"") == []
    with pytest.raises(DecodeError, match="not the plan of a flow"):
        plan.decode(b"\xc1")


def test_a_graph_is_shown_as_text_and_for_mermaid() -> None:
    progress = {2: Progress(2, 3, 2, 1, sent=False)}
    assert plan.lines(KINDS, progress) == ["add x3  [0 -> 2] (2 of 3, 1 failed)", "total  [2 -> 1]"]
    assert plan.mermaid(KINDS).splitlines() == ["graph LR", '  j0["add x3"]', '  j1["total"]', "  j0 --> j1"]
