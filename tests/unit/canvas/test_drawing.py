"""What is shown of a flow: its plan, the boxes that it becomes, and the drawings of them."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.unit.canvas.stage import Stage
from umbel import Graph, chord, group
from umbel.canvas import drawing, plan
from umbel.canvas.boxes import Box, boxes
from umbel.canvas.plan import Kind
from umbel.exceptions import DecodeError
from umbel.model.flow import Progress

STAGE = Stage("canvas-drawing")
add, total = STAGE.add, STAGE.total
KINDS = [Kind(0, "add", (2,), 3), Kind(2, "total", (1,), 1)]


def shown(sig: Any, *progress: Progress) -> list[Box]:
    flow = STAGE.leaves(sig).flow
    assert flow is not None
    return boxes(plan.decode(flow.plan), {node.key: node for node in progress})


def outline(found: list[Box]) -> list[tuple[str, tuple[int, ...], int]]:
    return [(box.title, box.after, box.layer) for box in found]


def standings(kinds: list[Kind], *progress: Progress) -> list[str]:
    return [box.standing for box in boxes(kinds, {node.key: node for node in progress})]


def test_a_plan_is_what_it_was() -> None:
    counts: dict[plan.Place, int] = {(0, "add", (2,)): 3, (2, "total", (1,)): 1}
    assert plan.decode(plan.encode(counts)) == KINDS
    assert plan.decode(b"") == []


LARGE = plan.encode({(0, "a" * 10_000, (2,)): 3})


@pytest.mark.parametrize("wrong", [b"\xc1", plan.encode({(0, "add", (2,)): 3})[:-3], LARGE[:-3], LARGE[:9] + b"\0"])
def test_a_damaged_plan_is_told(wrong: bytes) -> None:
    with pytest.raises(DecodeError, match="not the plan of a flow"):
        plan.decode(wrong)


def test_a_plan_that_would_fill_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(LARGE) < 1000
    assert plan.decode(LARGE) == [Kind(0, "a" * 10_000, (2,), 3)]
    monkeypatch.setattr(plan, "MAX_BYTES", 1000)
    with pytest.raises(DecodeError, match="too large"):
        plan.decode(LARGE)


def test_a_chord_is_two_boxes_however_many_members_it_has() -> None:
    assert outline(shown(chord([add.s(n, n) for n in range(1000)], total.s()))) == [
        ("1,000 x add", (), 0),
        ("total", (0,), 1),
    ]


def test_chains_that_are_alike_are_drawn_once() -> None:
    branches = [add.s(n, n) | add.s(1) | add.s(2) for n in range(50)]
    assert outline(shown(chord(branches, total.s()))) == [
        ("50 x add", (), 0),
        ("50 x add", (0,), 1),
        ("50 x add", (1,), 2),
        ("total", (2,), 3),
    ]


def test_steps_that_differ_stay_apart() -> None:
    found = shown(add.s(1, 1) | group(add.s(1) | total.si([1]), total.si([2]) | add.s(1)) | total.s())
    assert outline(found) == [
        ("add", (), 0),
        ("add", (0,), 1),
        ("total", (0,), 1),
        ("total", (1,), 2),
        ("add", (2,), 2),
        ("total", (3, 4), 3),
    ]


def test_a_step_that_feeds_several_is_one_box() -> None:
    graph = Graph()
    first, second = graph.add(add.s(1, 1)), graph.add(total.s([1]))
    graph.add(total.s(), after=[first, second])
    graph.add(add.s(1), after=[first])
    found = boxes(plan.decode(graph._compiled().flow.plan))
    assert outline(found) == [("add", (), 0), ("total", (), 0), ("add", (0,), 1), ("total", (0, 1), 1)]


def test_the_state_of_a_box_is_that_of_the_nodes_around_it() -> None:
    start, end = Progress(0, 0, 0, 0, sent=True), Progress(1, 1, 0, 0, sent=False)
    assert standings(KINDS) == ["", ""]
    assert standings(KINDS, start, Progress(2, 3, 0, 0, sent=False), end) == ["running, 0 of 3", "waiting"]
    assert standings(KINDS, start, Progress(2, 3, 2, 1, sent=False), end) == ["running, 2 of 3, 1 failed", "waiting"]
    assert standings(KINDS, start, Progress(2, 3, 3, 1, sent=True), end) == ["failed, 1 failed", "running"]
    done = Progress(1, 1, 1, 0, sent=True)
    assert standings(KINDS, start, Progress(2, 3, 3, 0, sent=True), done) == ["succeeded", "succeeded"]


def test_jobs_that_were_added_count() -> None:
    progress = (Progress(0, 0, 0, 0, sent=True), Progress(2, 5, 1, 0, sent=False))
    assert standings(KINDS, *progress)[0] == "running, 1 of 5"


def test_boxes_that_are_counted_together_tell_no_more_than_is_known() -> None:
    kinds = [Kind(0, "add", (2,), 1), Kind(0, "total", (2,), 1), Kind(2, "note", (1,), 1)]
    start, end = Progress(0, 0, 0, 0, sent=True), Progress(1, 1, 0, 0, sent=False)
    assert standings(kinds, start, Progress(2, 2, 1, 1, sent=False), end) == ["running", "running", "waiting"]
    assert standings(kinds, start, Progress(2, 2, 2, 1, sent=True), end) == ["ended", "ended", "running"]
    assert standings(kinds, start, Progress(2, 2, 2, 0, sent=True), end) == ["succeeded", "succeeded", "running"]


def test_a_flow_as_text() -> None:
    progress = {0: Progress(0, 0, 0, 0, sent=True), 1: Progress(1, 1, 0, 0, sent=False)}
    progress[2] = Progress(2, 3, 2, 1, sent=False)
    assert drawing.text(boxes(KINDS, progress)).splitlines() == [
        "1  3 x add  running, 2 of 3, 1 failed",
        "2  total    waiting                    after 1",
    ]


def test_a_flow_for_mermaid() -> None:
    assert drawing.mermaid(boxes(KINDS)).splitlines() == ["graph LR", '  j1["3 x add"]', '  j2["total"]', "  j1 --> j2"]


def test_a_flow_as_svg_has_a_box_and_an_arrow_for_each() -> None:
    drawn = ET.fromstring(drawing.svg(boxes(KINDS)))  # noqa: S314 - our own
    space = "{http://www.w3.org/2000/svg}"
    assert [each.text for each in drawn.iter(f"{space}text")] == ["3 x add", None, "total", None]
    first, second = drawn.iter(f"{space}rect")
    assert float(first.attrib["x"]) + float(first.attrib["width"]) < float(second.attrib["x"])
    assert len(list(drawn.iter(f"{space}path"))) == 1  # a line with its head
    assert ET.fromstring(drawing.svg([])).tag == f"{space}svg"  # noqa: S314 - likewise


def test_a_name_is_shown_and_never_obeyed() -> None:
    wicked = '<script>"x"]; click j1\x1b[2J&'
    found = boxes([Kind(0, wicked, (1,), 1)])
    drawn = ET.fromstring(drawing.svg(found))  # noqa: S314 - our own
    texts = [each.text for each in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == [wicked.replace("\x1b", "?"), None]
    assert "\x1b" not in drawing.text(found)
    (line,) = [line for line in drawing.mermaid(found).splitlines() if "j1[" in line]
    assert line.count('"') == 2
    assert "<" not in line
    assert ";]" not in line


def test_three_thousand_steps_in_a_row_are_drawn_without_recursion() -> None:
    kinds = [Kind(node, "step", (node + 1,), 1) for node in range(3_000)]
    assert drawing.text(boxes(kinds)).count("\n") == 2_999
