import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel.history.fields import Wrong, count, duration, moment, scalar
from umbel.history.grammar import And, FilterError, Node, Not, Or, Phrase, Term, Value, parse, shown


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", And()),
        ("   ", And()),
        ("state:failed", Term("state", ":", (Value("failed"),))),
        ("state=failed,dead", Term("state", ":", (Value("failed"), Value("dead")), 0)),
        ("run>=5s", Term("run", ">=", (Value("5s"),))),
        ('arg.lang:"a b"', Term("arg.lang", ":", (Value("a b", quoted=True),))),
        ("word", Phrase("word")),
        (r'"say \"hi\" \\"', Phrase('say "hi" \\')),
        ("-a", Not(Phrase("a", 1))),
        ("NOT a", Not(Phrase("a", 4))),
        ("a b", And((Phrase("a"), Phrase("b", 2)))),
        ("a AND b", And((Phrase("a"), Phrase("b", 6)))),
        ("a b OR c", Or((And((Phrase("a"), Phrase("b", 2))), Phrase("c", 7)))),
        ("(a)", Phrase("a", 1)),
        ("a-b", Phrase("a-b")),
        ("ORDER", Phrase("ORDER")),
    ],
)
def test_a_filter_becomes_its_tree(text: str, tree: Node) -> None:
    assert parse(text) == tree


@pytest.mark.parametrize(
    ("text", "at", "cure"),
    [
        ("(a", 0, "missing"),
        ("a )", 2, "remove it"),
        ("state:", 6, "value"),
        ("state:failed,", 13, "value"),
        ('a "b', 2, "not closed"),
        (r'"a\n"', 0, "not closed"),
        ("- a", 1, "without a space"),
        ("a OR", 4, "missing"),
        ("OR a", 0, "missing"),
        ("AND a", 3, "nothing before"),
        ("()", 1, "missing"),
        ('""', 0, "nothing between"),
        ("NOT", 3, "missing"),
        ("x" * 1_025, 1_024, "shorten"),
        ("a " * 33, 64, "fewer"),
        ("(" * 9 + "a" + ")" * 9, 8, "flatter"),
    ],
)
def test_what_is_no_filter_is_told_with_its_place_and_the_cure(text: str, at: int, cure: str) -> None:
    with pytest.raises(FilterError, match=cure) as caught:
        parse(text)
    assert caught.value.at == at


_texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(lambda text: text.strip())
_bare = st.text(string.ascii_letters + string.digits + "*._<>-é", min_size=1, max_size=8)
_values = st.builds(Value, _texts, st.just(value=True)) | st.builds(Value, _bare)
_terms = st.builds(
    Term,
    st.sampled_from(["state", "arg.a.b", "run", "header.x-y"]),
    st.sampled_from([":", "!=", ">", ">=", "<", "<="]),
    st.lists(_values, min_size=1, max_size=3).map(tuple),
)
_atoms = _terms | st.builds(Phrase, _texts)


def _grown(nodes: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    several = st.lists(nodes, min_size=2, max_size=3).map(tuple)
    return (
        st.builds(Not, nodes.filter(lambda node: not isinstance(node, Not)))
        | st.builds(And, several)
        | st.builds(Or, several)
    )


def _bareless(node: Node) -> Node:
    """*node* without the places of its terms."""
    match node:
        case Term():
            return Term(node.field, node.op, node.values)
        case Phrase():
            return Phrase(node.text)
        case Not():
            return Not(_bareless(node.item))
        case And():
            return And(tuple(_bareless(item) for item in node.items))
        case Or():
            return Or(tuple(_bareless(item) for item in node.items))


@given(st.recursive(_atoms, _grown, max_leaves=8))
def test_a_tree_is_shown_as_a_filter_that_means_the_same(tree: Node) -> None:
    text = shown(tree)
    if len(text) <= 1_024:
        assert _bareless(parse(text)) == _bareless(tree)


@given(st.text(max_size=200))
def test_any_text_is_a_filter_or_is_refused_with_a_place_in_it(text: str) -> None:
    error = _refused(text)
    assert error is None or 0 <= error.at <= len(text)


def _refused(text: str) -> FilterError | None:
    try:
        parse(text)
    except FilterError as error:
        return error
    return None


def test_a_long_text_is_read_in_no_time() -> None:
    start = time.process_time()
    for text in ('"' + "\\" * 1_023, "(" * 1_024, "a:" * 512, 'a:"' * 341):
        _refused(text)
    assert time.process_time() - start < 5


def test_values_mean_what_they_look_like() -> None:
    assert [scalar(Value(text)) for text in ("42", "-1.5", "true", "null", "de")] == [42, -1.5, True, None, "de"]
    assert [scalar(Value(text, quoted=True)) for text in ("42", "true")] == ["42", "true"]
    assert [duration(Value(text)) for text in ("200ms", "5s", "1.5m", "2h", "7d", "1w")] == [
        0.2,
        5,
        90,
        7_200,
        604_800,
        604_800,
    ]
    assert [moment(Value(text), 1_000_000.0) for text in ("1h", "1970-01-02T00:00", "1970-01-02T01:00+01:00")] == [
        996_400.0,
        86_400.0,
        86_400.0,
    ]
    for text, read in (("5", duration), ("-1", count), ("1e9", count), ("9" * 40, count)):
        with pytest.raises(Wrong):
            read(Value(text))
