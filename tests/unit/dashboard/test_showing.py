"""Values as pages show them: JSON, tracebacks, states, small lines, charts, times."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Final

import msgspec
import pytest

from umbel.dashboard.charts import Chart, Line, plot
from umbel.dashboard.folded import MAX_PARTS, MAX_TEXT, Node, folded
from umbel.dashboard.looks import LOOKS, UNKNOWN, look
from umbel.dashboard.sparks import HEIGHT, WIDTH, spark
from umbel.dashboard.traces import trace
from umbel.dashboard.wording import DASH, age, key, short, visible
from umbel.history.states import NAMES

STATIC: Final = files("umbel.dashboard") / "static"

SIGN: Final = re.compile(r'icon\("([a-z]+)"\)|sign="([a-z]+)"')

TRACE: Final = """Traceback (most recent call last):
  File "/app/shop.py", line 3, in pay
    charge(1)
  File "/usr/lib/python3.12/site-packages/httpx/_client.py", line 825, in request
    raise X
ValueError: no

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/app/shop.py", line 5, in pay
    raise Refused from error
shop.Refused: order 7
over two lines
"""


def test_numbers_are_shown_as_they_were_written() -> None:
    text = "[12345678901234567890123456789, 1.10, -0.0, 1e400, 10E5, NaN]"
    tree = folded(text)
    assert tree is not None
    assert [part.text for part in tree.parts] == text.strip("[]").split(", ")
    assert {part.kind for part in tree.parts} == {"number"}


def test_a_value_is_folded_by_its_parts() -> None:
    tree = folded('{"a": {"b": ["x", true, null]}, "empty": {}, "none": []}')
    assert tree is not None
    assert (tree.kind, tree.text, [part.key for part in tree.parts]) == ("object", "{3}", ["a", "empty", "none"])
    (inner,) = tree.parts[0].parts
    assert [(part.kind, part.text) for part in inner.parts] == [("text", "x"), ("word", "true"), ("word", "null")]
    assert [part.text for part in tree.parts[1:]] == ["{}", "[]"]


@pytest.mark.parametrize("text", ['{"a": [1, 2, ', "", "None", "[" * 100_000])
def test_what_is_no_json_is_left_as_it_is(text: str) -> None:
    assert folded(text) is None


def test_large_values_are_cut_and_say_so() -> None:
    many = folded(json.dumps(list(range(MAX_PARTS + 5))))
    assert many is not None
    assert many.parts[-1] == Node("…", "word", "5 more")
    long = folded(json.dumps("x" * (MAX_TEXT + 7)))
    assert long is not None
    assert long.text.endswith("… 7 more characters")
    deep = folded("[" * 50 + "1" + "]" * 50)
    assert deep is not None
    assert "[…]" in repr(deep)


def test_a_reader_finds_his_own_code_in_a_traceback() -> None:
    lines = trace(TRACE)
    assert "\n".join(line.text for line in lines) == TRACE.rstrip()
    assert [line.text.strip() for line in lines if line.kind == "frame"] == [
        'File "/app/shop.py", line 3, in pay',
        'File "/app/shop.py", line 5, in pay',
    ]
    assert [line.kind for line in lines if "httpx" in line.text or "raise X" in line.text] == ["library", "library"]
    assert [line.text for line in lines if line.kind == "raised"] == [
        "ValueError: no",
        "shop.Refused: order 7",
        "over two lines",
    ]


def test_every_state_has_a_sign_that_there_is_and_a_tone_that_there_is() -> None:
    signs = set(re.findall(r'<symbol id="([a-z]+)"', (STATIC / "icons.svg").read_text()))
    styles = (STATIC / "umbel.css").read_text()
    assert set(NAMES) <= LOOKS.keys()
    assert {each.icon for each in LOOKS.values()} <= signs
    assert all(each.tone == "idle" or f".state.{each.tone}" in styles for each in LOOKS.values())
    assert look("SUCCEEDED") == LOOKS["succeeded"]
    assert look("state of a later version") == UNKNOWN


def test_every_sign_that_a_template_names_exists() -> None:
    signs = set(re.findall(r'<symbol id="([a-z]+)"', (STATIC / "icons.svg").read_text()))
    pages = [template.read_text() for template in (files("umbel.dashboard") / "templates").iterdir()]
    named = {sign for page in pages for pair in SIGN.findall(page) for sign in pair if sign}
    assert named
    assert named <= signs


def test_a_small_line_stays_in_its_box() -> None:
    line = spark([0, 5, None, 10])
    assert line is not None
    points = [tuple(map(float, point.split(","))) for point in line.points.split()]
    assert len(points) == 4
    assert all(0 <= x <= WIDTH and 0 < y < HEIGHT for x, y in points)
    assert points[3][1] < points[1][1] < points[0][1] == points[2][1]
    assert spark([1]) is None
    assert spark([0, 0]) is not None


def test_a_chart_is_a_table_too_the_newest_first() -> None:
    chart = plot([60.0, 120.0], {"ok": [1.0, 2.0], "bad": [None, 0.5]}, "rate")
    assert chart.rows() == [(120.0, ["2.0/s", "0.50/s"]), (60.0, ["1.0/s", DASH])]
    assert not chart.empty
    assert plot([1.0, 2.0], {"ok": [0, None]}).empty


def test_a_browser_is_told_what_can_be_seen() -> None:
    chart = Chart(times=(1.0, 2.0), span=1, lines=(Line(label="a", values=(1 / 3, None), filter="state:failed"),))
    told = msgspec.json.decode(chart.drawn())
    assert told["lines"][0] == {
        "label": "a",
        "tone": "accent",
        "filter": "state:failed",
        "filled": False,
        "values": [0.3333, None],
    }
    assert told.keys() == set(Chart.__struct_fields__)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-3, "now"),
        (0.4, "now"),
        (59, "59 s ago"),
        (61, "1 min ago"),
        (7_300, "2 h ago"),
        (100_000, "27 h ago"),
        (200_000, "2 d ago"),
    ],
)
def test_how_long_ago_is_said_in_one_unit(seconds: float, said: str) -> None:
    assert age(seconds) == said


def test_what_cannot_be_seen_is_marked() -> None:
    assert visible("a\x1b[31m\x00\u202eb\u2028\u2066\x7f") == "a␛[31m␀<U+202E>b<U+2028><U+2066><U+007F>"
    assert visible("lines\nand\ttabs stay") == "lines\nand\ttabs stay"


def test_an_element_has_the_same_id_each_time_it_is_shown() -> None:
    assert (
        key(("/queues/pause", {"name": "a"}))
        == key(("/queues/pause", {"name": "a"}))
        != key(("/queues/pause", {"name": "b"}))
    )
    assert re.fullmatch(r"k[0-9a-f]{10}", key("\ud800"))
    assert short("01a21afd-dd24-7a38-8b99-724c601da6a1") == "…601da6a1"
    assert short("short") == "short"
