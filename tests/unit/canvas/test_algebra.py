"""What ``a | b`` is: the table of docs/canvas.md, line by line."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.canvas.stage import Stage, text
from umbel import Signature, chain, chord, chunks, group

STAGE = Stage("canvas-algebra")
NAMES: dict[str, Any] = {name: STAGE.step(name) for name in "abcde"}
G = group


def C(header: list[Any], body: Any) -> chord:  # noqa: N802 - as in the table
    return chord(header, body)


TABLE = [
    ("a | b", "chain(a, b)"),
    ("a | (b | c)", "chain(a, b, c)"),
    ("(a | b) | (c | d)", "chain(a, b, c, d)"),
    ("a | G(b, c)", "chain(a, G(b, c))"),
    ("a | G(b)", "chain(a, b)"),
    ("a | G()", "chain(a)"),
    ("(a | b) | G()", "chain(a, b)"),
    ("chain() | a", "chain(a)"),
    ("chain() | G(a, b)", "G(a, b)"),
    ("a | G(b, c) | d", "chain(a, C([b, c] -> d))"),
    ("a | G(b, c) | G(d, e)", "chain(a, C([b, c] -> G(d, e)))"),
    ("a | C([b, c], d)", "chain(a, C([b, c] -> d))"),
    ("a | C([b, c], d) | e", "chain(a, C([b, c] -> chain(d, e)))"),
    ("C([a, b], c) | (d | e)", "chain(C([a, b] -> c), d, e)"),
    ("C([a, b], c) | G(d, e)", "chain(C([a, b] -> c), G(d, e))"),
    ("G(a, b) | c", "C([a, b] -> c)"),
    ("G(a, b) | c | d", "C([a, b] -> chain(c, d))"),
    ("G(a, b) | (c | d)", "C([a, b] -> chain(c, d))"),
    ("G(a, b) | G(c, d)", "C([a, b] -> G(c, d))"),
    ("G(a, b) | G(c, d) | e", "C([a, b] -> C([c, d] -> e))"),
    ("G(a, b) | C([c], d)", "C([a, b] -> C([c] -> d))"),
    ("G(a, b) | G()", "G(a, b)"),
    ("G(a) | c", "C([a] -> c)"),
    ("chain(G(a), c)", "chain(a, c)"),
    ("G() | c", "C([] -> c)"),
    ("C([a], b) | c", "C([a] -> chain(b, c))"),
    ("C([a], b) | G(c)", "C([a] -> chain(b, c))"),
    ("C([a], b) | G()", "C([a] -> b)"),
    ("C([a], b) | C([c], d)", "C([a] -> chain(b, C([c] -> d)))"),
    ("chain(a, b, c)", "chain(a, b, c)"),
    ("chain([a, b])", "chain(a, b)"),
    ("chain(x for x in [a, b])", "chain(a, b)"),
    ("chain(a)", "chain(a)"),
    ("chain(G(a, b))", "chain(G(a, b))"),
    ("chain(G(a, b), c)", "C([a, b] -> c)"),
    ("chain(a, G(b, c), d)", "chain(a, C([b, c] -> d))"),
    ("chain(C([a], b), c, d)", "C([a] -> chain(b, c, d))"),
]


@pytest.mark.parametrize(("expression", "meaning"), TABLE, ids=[expression for expression, _ in TABLE])
def test_the_table(expression: str, meaning: str) -> None:
    before = {name: dict(sig) for name, sig in NAMES.items()}
    assert text(eval(expression, {**NAMES, "G": G, "C": C, "chain": chain})) == meaning  # noqa: S307 - the table's own
    assert {name: dict(sig) for name, sig in NAMES.items()} == before, "an operand was changed"


def test_a_chain_of_joined_tasks_is_a_chain() -> None:
    assert isinstance(NAMES["a"] | NAMES["b"], chain)


def test_options_that_were_set_on_a_chain_survive_a_further_step() -> None:
    made = chain(NAMES["a"], NAMES["b"]).set(queue="slow") | NAMES["c"]
    assert made.options["queue"] == "slow"


def test_the_callback_of_a_chain_that_goes_on_stays_with_its_last_step_and_errbacks_with_every_one() -> None:
    first = chain(NAMES["a"], NAMES["b"])
    first.link(NAMES["d"])
    first.link_error(NAMES["e"])
    steps = (first | NAMES["c"]).tasks
    assert [step.options.get("link") for step in steps] == [None, [NAMES["d"]], None]
    assert [step.options.get("link_error") for step in steps] == [[NAMES["e"]], [NAMES["e"]], None]


def test_chunks_are_the_group_that_they_stand_for() -> None:
    made = chunks(STAGE.add, [(1, 2), (3, 4), (5, 6)], 2) | NAMES["c"]
    assert text(made) == "C([celery.starmap, celery.starmap] -> c)"


@pytest.mark.parametrize("other", [1, "add", None, {"task": "add"}, [NAMES["a"]]])
def test_what_is_no_signature_cannot_be_joined(other: Any) -> None:
    with pytest.raises(TypeError, match="only signatures can be chained"):
        _ = NAMES["a"] | other


def test_a_thousand_steps_are_joined_quickly_and_flat() -> None:
    made: Signature[Any] = NAMES["a"]
    for _ in range(999):
        made = made | NAMES["b"]
    assert len(made.tasks) == 1000  # type: ignore[attr-defined]


def test_ten_thousand_levels_are_an_error_and_exhaust_no_stack() -> None:
    def nested(levels: int) -> Signature[Any]:
        made: Signature[Any] = NAMES["a"]
        for _ in range(levels):
            made = group(made, NAMES["b"])
        return made

    assert nested(128)
    with pytest.raises(ValueError, match="nested deeper than 128 levels"):
        nested(10_000)
