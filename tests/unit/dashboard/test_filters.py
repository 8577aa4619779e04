"""Links that change one term of a filter, and values of jobs in words."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel.dashboard.filters import chosen, narrowed, widened
from umbel.dashboard.job_wording import call, progress
from umbel.dashboard.python_call import python_call
from umbel.history.grammar import And, Term, parse, shown
from umbel.history.views import JobRow

ROW = JobRow(
    seq=1,
    id="a",
    task="shop.pay",
    queue="orders",
    worker="",
    state="failed",
    attempt=1,
    crashes=0,
    priority=3,
    sent=1.0,
    eta=None,
    started=None,
    finished=None,
    wait=None,
    run=None,
    group=None,
    error="",
    error_text="",
    flow=None,
    retry_of=None,
    progress=None,
    change=1,
    args="",
    kwargs="",
)


@pytest.mark.parametrize(
    ("q", "without", "narrow"),
    [
        ("", "", "task:mail"),
        ("task:a,b", "", "task:mail"),
        ("state:failed task:a* run>5s", "state:failed run>5s", "state:failed run>5s task:mail"),
        ("a OR task:b", '("a" OR task:b)', '("a" OR task:b) task:mail'),
        ("-task:a", "-task:a", "-task:a task:mail"),
        ("task!=a", "task!=a", "task!=a task:mail"),
        ("((", "", "task:mail"),
    ],
)
def test_one_field_of_a_filter_is_changed(q: str, without: str, narrow: str) -> None:
    assert widened(q, "task") == without
    assert narrowed(q, "task", "mail") == narrow


@given(st.text(min_size=1, max_size=60), st.sampled_from(["", "state:failed", "a OR b", "task:x -task:y arg.z:1"]))
def test_whatever_a_task_is_called_its_link_means_that_task_alone(name: str, q: str) -> None:
    link = narrowed(q, "task", name)
    assert chosen(link, "task") == (name,)
    (term,) = [each for each in _items(link) if isinstance(each, Term) and (each.field, each.op) == ("task", ":")]
    assert [value.text for value in term.values] == [name]
    assert all(value.quoted or "*" not in value.text for value in term.values)
    assert parse(widened(link, "task")) == parse(widened(q, "task"))


def _items(q: str) -> tuple[Any, ...]:
    tree = parse(q)
    assert shown(tree) == q or not isinstance(tree, And)
    return tree.items if isinstance(tree, And) else (tree,)


@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        ("[17]", "{}", "17"),
        ('[1,"a"]', '{"b":[1,2],"c":null}', '1,"a", b=[1, 2], c=null'),
        ("", "", ""),
        ('["' + "x" * 500, "{}", '"' + "x" * 158 + "…"),
        ('["\u202e"]', '{"a', '"<U+202E>", **{"a'),
    ],
)
def test_a_call_in_words(args: str, kwargs: str, text: str) -> None:
    assert call(msgspec.structs.replace(ROW, args=args, kwargs=kwargs)) == text


@pytest.mark.parametrize(
    ("told", "text", "share"),
    [
        (("PROGRESS", '{"current":3,"total":4,"text":"rows"}'), "3 of 4, rows", (3.0, 4.0)),
        (("PROGRESS", '{"current":3,"total":null,"text":""}'), "PROGRESS", (3.0, 0.0)),
        (("HALF", '{"pid":1}'), "HALF", (0.0, 0.0)),
        (("HALF", "[1"), "HALF", (0.0, 0.0)),
        (("P", '{"current":true,"total":-1,"text":7}'), "P", (0.0, 0.0)),
    ],
)
def test_progress_in_words(told: tuple[str, str], text: str, share: tuple[float, float]) -> None:
    found = progress(told)
    assert found is not None
    assert (found.text, (found.current, found.total)) == (text, share)
    assert progress(None) is None


def test_a_call_as_python_can_be_run() -> None:
    text = python_call(ROW, '[1,2.5,"a",null,true]', '{"b":{"c":[9223372036854775807]}}')
    told: dict[str, Any] = {}

    class pay:  # noqa: N801 - it stands for a task
        @staticmethod
        def apply_async(*given: Any, **named: Any) -> None:
            told.update(given=given, named=named)

    class shop:  # noqa: N801 - and for its module
        pass

    shop.pay = pay  # type: ignore[attr-defined]
    exec(text, {"shop": shop})  # noqa: S102 - this is what it is copied for
    args: list[Any] = [1, 2.5, "a", None, True]
    assert told["given"] == (args, {"b": {"c": [2**63 - 1]}})
    assert told["named"] == {"queue": "orders", "priority": 3}


@pytest.mark.parametrize(
    ("task", "args", "text"),
    [
        ("pay", "[]", "app.send_task('pay', [], {}, queue='orders', priority=3)"),
        ("a.class", "[]", "app.send_task('a.class', [], {}, queue='orders', priority=3)"),
        ("a.b", '["***"]', "a.b.apply_async(['***'], {}, queue='orders', priority=3)  # *** is hidden"),
        ("a.b", '["shortened', ""),
        ("a.b", "{}", ""),
    ],
)
def test_a_call_that_is_not_known_in_full_is_not_made_up(task: str, args: str, text: str) -> None:
    assert python_call(msgspec.structs.replace(ROW, task=task), args, "{}") == text
