"""Signatures: partials, options, links, Celery's dict form."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from tests.unit.canvas.stage import Stage, text
from umbel import Signature, chain, chord, chunks, group, maybe_signature, signature, subtask, xmap, xstarmap

STAGE = Stage("canvas-signatures")
add, total = STAGE.add, STAGE.total


def test_a_signature_is_celerys_dict() -> None:
    assert add.s(1, y=2) == {
        "task": "add",
        "args": (1,),
        "kwargs": {"y": 2},
        "options": {},
        "subtask_type": None,
        "immutable": False,
    }


def test_its_keys_are_attributes() -> None:
    sig = signature("add", (1,), {"y": 2}, immutable=True, task_id="id", root_id="root", parent_id="parent")
    assert (sig.task, sig.name, sig.args, sig.kwargs, sig.immutable) == ("add", "add", (1,), {"y": 2}, True)
    assert (sig.id, sig.root_id, sig.parent_id, sig.subtask_type) == ("id", "root", "parent", None)
    assert add.s().type is add
    assert add.s().app is STAGE.app


def test_arguments_given_later_come_first_and_keywords_given_later_win() -> None:
    sig = add.s(2, y=1).clone((1,), {"y": 3}, queue="q")
    assert (sig.args, sig.kwargs, sig.options) == ((1, 2), {"y": 3}, {"queue": "q"})


def test_an_immutable_signature_takes_options_and_no_arguments() -> None:
    sig = add.si(2).clone((1,), {"y": 3}, queue="q")
    assert (sig.args, sig.kwargs, sig.options) == ((2,), {}, {"queue": "q"})


def test_options_given_later_win_but_for_the_group_and_none_says_nothing() -> None:
    sig = add.s().set(group_id="first", queue="q").clone(group_id="second", queue="r", priority=None)
    assert sig.options == {"group_id": "first", "queue": "r"}


def test_replace_puts_others_in_their_place() -> None:
    sig = add.s(1, y=2).set(queue="q").replace(args=(3,), kwargs={}, options={"priority": 1})
    assert (sig.args, sig.kwargs, sig.options) == ((3,), {}, {"priority": 1})


@pytest.mark.parametrize("twin", [lambda sig: sig.clone(), copy.copy, copy.deepcopy, signature])
def test_a_copy_shares_nothing_that_can_change(twin: Any) -> None:
    sig = group(add.s(1), chain(add.s(2), add.s(3)))
    sig.tasks[0].link(total.s())
    before = copy.deepcopy(dict(sig))
    other: Any = twin(sig)
    assert other == sig
    assert group is type(other)
    first, second = other.kwargs["tasks"]
    first.set(queue="q")
    first.link(add.s(9))
    second.tasks[0].kwargs["y"] = 1
    assert dict(sig) == before


def test_equal_links_are_kept_once_and_link_answers_the_callback() -> None:
    sig, callback = add.s(1), total.s()
    assert sig.link(callback) is callback
    sig.link(total.s())
    assert sig.options["link"] == [callback]
    assert sig.on_error(total.s()) is sig
    assert sig.flatten_links() == [sig, callback]


def test_a_groups_link_is_an_immutable_callback_of_its_first_member_its_errback_is_of_all() -> None:
    sig = group(add.s(1), add.s(2))
    sig.link(total.s())
    sig.link_error(total.s())
    first, second = sig.tasks
    assert first.options["link"][0].immutable
    assert "link" not in second.options
    assert [len(member.options["link_error"]) for member in sig.tasks] == [1, 1]


def test_set_immutable_means_a_groups_members_and_a_chords_header() -> None:
    header = [add.s(1), add.s(2)]
    chord(header, total.s()).set(immutable=True)
    assert [member.immutable for member in header] == [True, True]


def test_skew_gives_the_members_countdowns() -> None:
    sig = group(add.s(n) for n in range(4)).skew(1, 3)
    assert [member.options["countdown"] for member in sig.tasks] == [1.0, 2.0, 1.0, 2.0]


CANVASES: list[Any] = [
    add.s(1, y=2).set(queue="q", priority=3),
    add.si(1, 2),
    add.s(1) | add.s(2),
    group(add.s(1), add.s(2)),
    chord([add.s(1), chain(add.s(2), group(add.s(3), add.s(4)))], total.s() | add.s(5)),
    chord([group(add.s(1)), chord([add.s(1)], total.s())], group(total.s(), total.s())),
    xmap(add, [1, 2]),
    xstarmap(add, [[1, 2]]),
    chunks(add, [[1, 2], [3, 4]], 1),
]


@pytest.mark.parametrize("sig", CANVASES, ids=repr)
def test_what_was_json_is_the_same_canvas_again(sig: Any) -> None:
    again = signature(json.loads(json.dumps(sig)), app=STAGE.app)
    assert type(again) is type(sig)
    assert text(again) == text(sig)
    assert json.loads(again.to_json()) == json.loads(sig.to_json())
    assert [envelope.task for envelope in STAGE.leaves(again).envelopes] == [
        envelope.task for envelope in STAGE.leaves(sig).envelopes
    ]


def test_a_form_that_celery_wrote_is_read() -> None:
    form = {
        "task": "celery.chain",
        "args": [],
        "kwargs": {
            "tasks": [
                {"task": "add", "args": [2, 2], "kwargs": {}, "options": {"reply_to": "x"}, "immutable": False},
                {
                    "task": "celery.chord",
                    "args": [],
                    "kwargs": {
                        "kwargs": {},
                        "header": {
                            "task": "celery.group",
                            "kwargs": {"tasks": [{"task": "add", "args": [4]}]},
                            "subtask_type": "group",
                        },
                        "body": {"task": "total", "options": {"eta": "2030-01-01T00:00:00+00:00"}},
                    },
                    "options": {"chord_size": None},
                    "subtask_type": "chord",
                },
            ]
        },
        "options": {},
        "subtask_type": "chain",
        "immutable": False,
    }
    sig = signature(form, app=STAGE.app)
    assert text(sig) == "chain(add, C([add] -> total))"
    assert STAGE.leaves(sig).edges == ["0:add->2.0", "2:add1->3.0", "3:total*!->1.0"]


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({}, "names no task"),
        ({"task": 3}, "names no task"),
        ({"task": "a", "args": 3}, "a: args is 3"),
        ({"task": "a", "options": []}, "a: options is"),
        ({"task": "a", "subtask_type": "loop"}, "a: 'loop' is no type of signature"),
        (
            {"task": "g", "subtask_type": "group", "kwargs": {"tasks": [{"task": "a"}, 5]}},
            r"g\[1\] > : 5 is no signature",
        ),
    ],
)
def test_a_wrong_form_is_an_error_that_names_the_place(form: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        signature(form)


def test_a_form_of_ten_thousand_levels_exhausts_no_stack() -> None:
    form: dict[str, Any] = {"task": "a"}
    for _ in range(10_000):
        form = {"task": "celery.group", "subtask_type": "group", "kwargs": {"tasks": [form]}}
    with pytest.raises(ValueError, match="nested deeper than 128 levels"):
        signature(form)


def test_maybe_signature_lets_everything_else_pass() -> None:
    sig = add.s(1)
    assert maybe_signature(None) is None
    assert maybe_signature(5) == 5
    assert maybe_signature(sig) is sig
    assert maybe_signature(sig, clone=True) == sig
    assert isinstance(maybe_signature(dict(sig)), Signature)
    assert subtask is signature


@pytest.mark.parametrize("wrong", [5, None, lambda: 1, object()])
def test_a_signature_of_what_is_no_task_is_an_error(wrong: Any) -> None:
    with pytest.raises(TypeError, match="a signature is made of a task, its name or a dict"):
        signature(wrong)


def test_a_member_that_is_no_signature_is_an_error_that_names_it() -> None:
    with pytest.raises(TypeError, match="member 1 is 5"):
        group(add.s(1), 5)
    with pytest.raises(TypeError, match="link: 5 is no signature"):
        add.s(1).link(5)  # type: ignore[arg-type]


def test_calling_it_calls_the_function_here() -> None:
    assert add.s(2)(1) == 3
    assert add.si(2, 3)(9) == 5


def test_it_is_shown_as_a_call() -> None:
    assert repr(add.s(1, y=2)) == "add(1, y=2)"
    assert repr(add.s(1) | add.s(2)) == "add(1) | add(2)"
    assert repr(chord([add.s(1)], total.s())) == "chord(group([add(1)]), total())"
