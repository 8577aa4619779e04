"""A canvas as nodes and jobs. An edge reads ``node:task<takes>->fed.number``: 1 the value, * all, ! of a chord."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.canvas.stage import Stage
from umbel import GroupResult, chain, chord, chunks, group, signature
from umbel.exceptions import EncodeError, NotRegistered
from umbel.model.ids import flow_of, member_id

STAGE = Stage("canvas-compiler")
add, total = STAGE.add, STAGE.total


def edges(sig: Any, **options: Any) -> list[str]:
    return STAGE.leaves(sig, **options).edges


def test_one_signature_is_an_ordinary_job() -> None:
    left = STAGE.leaves(add.s(1, 2))
    assert left.flow is None
    assert [envelope.part for envelope in left.envelopes] == [None]


def test_a_chain_of_one_step_is_an_ordinary_job() -> None:
    assert STAGE.leaves(chain(add.s(1, 2))).flow is None


def test_a_group_of_single_jobs_is_no_flow() -> None:
    left = STAGE.leaves(group(add.s(1, 2), group(add.s(3, 4)), chain(add.s(5, 6)), chain()))
    assert left.flow is None
    assert len(left.jobs) == 3
    assert [result.id for result in left.handle] == [job.id for job in left.jobs]


def test_each_step_of_a_chain_takes_the_value_of_the_one_before() -> None:
    left = STAGE.leaves(add.s(1, 2) | add.s(3) | add.si(4, 5))
    assert left.edges == ["0:add->2.0", "2:add1->3.0", "3:add->1.0"]
    assert left.members == {0: 0, 1: 1, 2: 1, 3: 1}


def test_a_body_takes_all_values_of_its_header() -> None:
    left = STAGE.leaves(chord([add.s(1, 1), add.s(2, 2)], total.s()))
    assert left.edges == ["0:add->2.0", "0:add->2.1", "2:total*!->1.0"]
    assert left.members == {0: 0, 1: 1, 2: 2}


def test_a_group_in_the_middle_of_a_chain_is_a_header() -> None:
    sig = chain.of([add.s(1, 1), group(add.s(1), add.s(2)), total.s()])
    assert edges(sig) == edges(add.s(1, 1) | group(add.s(1), add.s(2)) | total.s())
    assert edges(sig) == ["0:add->2.0", "2:add1->3.0", "2:add1->3.1", "3:total*!->1.0"]


def test_a_chord_in_a_header_counts_by_its_body() -> None:
    inner = chord([add.s(1, 1), add.s(2, 2)], total.s())
    left = STAGE.leaves(chord([inner, add.s(3, 3)], total.s()))
    assert left.edges == ["0:add->3.0", "0:add->3.1", "3:total*!->2.0", "0:add->2.1", "2:total*!->1.0"]


def test_groups_in_a_header_are_flattened_in_the_written_order() -> None:
    left = STAGE.leaves(chord([group(add.s(1, 1), add.s(2, 2)), add.s(3, 3)], total.s()))
    assert left.edges == ["0:add->2.0", "0:add->2.1", "0:add->2.2", "2:total*!->1.0"]


def test_a_chain_that_ends_in_a_group_is_one_member_a_list() -> None:
    left = STAGE.leaves(chord([add.s(0, 0), chain(add.s(1, 1), group(add.s(2), add.s(3)))], total.s()))
    assert left.edges == [
        "0:add->2.0",
        "0:add->4.0",
        "4:add1->3.0",
        "4:add1->3.1",
        "3:umbel.gather*->2.1",
        "2:total*!->1.0",
    ]


def test_the_members_of_a_group_that_is_a_body_fail_with_the_members_own_error() -> None:
    assert edges(chord([add.s(1, 1)], group(total.s(), total.s())))[1:] == ["2:total*->1.0", "2:total*->1.1"]


def test_an_empty_header_gives_an_empty_list_at_once() -> None:
    left = STAGE.leaves(chord([], total.s()))
    assert left.edges == ["0:total->1.0"]
    assert bytes(left.envelopes[0].args) == b"\x91\x90"


def test_empty_chains_and_groups_vanish() -> None:
    assert edges(chain.of([add.s(1, 1), group(), chain(), group(chain()), add.s(2)])) == ["0:add->2.0", "2:add1->1.0"]
    assert STAGE.leaves(chain()).handle is None
    assert STAGE.leaves(group()).handle.results == []


def test_arguments_of_a_canvas_go_to_its_first_jobs_and_the_new_ones_come_first() -> None:
    (envelope, _) = STAGE.leaves((add.s(1) | add.s(2)).clone((9,))).envelopes
    assert bytes(envelope.args) == b"\x92\x09\x01"
    members = STAGE.leaves(group(add.s(1), add.si(2, 3)).clone((9,))).envelopes
    assert [bytes(each.args) for each in members] == [b"\x92\x09\x01", b"\x92\x02\x03"]


def test_of_a_chains_options_links_and_id_go_to_the_last_step_errbacks_to_all_and_the_rest_to_the_first() -> None:
    sig = add.s(1, 1) | add.s(2) | add.s(3)
    left = STAGE.leaves(sig, task_id="last", link=total.s(), link_error=total.s(), priority=5, queue="q")
    assert [job.queue for job in left.jobs] == ["q", "default", "default"]
    assert [job.priority for job in left.jobs] == [5, 0, 0]
    assert left.jobs[2].id == "last"
    assert [len(each.links) for each in left.envelopes] == [0, 0, 1]
    assert [len(each.errbacks) for each in left.envelopes] == [1, 1, 1]


def test_of_a_chords_options_countdown_goes_to_the_header_id_and_links_to_the_body_the_rest_to_both() -> None:
    sig = chord([add.s(1, 1), add.s(2, 2)], total.s())
    left = STAGE.leaves(sig, task_id="body", link=total.s(), link_error=total.s(), priority=5, countdown=9)
    assert [job.priority for job in left.jobs] == [5, 5, 5]
    assert [job.delay for job in left.jobs] == [9, 9, 0]
    assert [each.delay for each in left.envelopes] == [9, 9, 0]
    assert left.jobs[2].id == "body"
    assert [(len(each.links), len(each.errbacks)) for each in left.envelopes] == [(0, 0), (0, 0), (1, 1)]


def test_a_groups_options_go_to_every_member_and_its_id_to_the_group() -> None:
    left = STAGE.leaves(group(add.s(1, 1), add.s(2, 2).set(priority=1)), task_id="whole", priority=5, queue="q")
    assert [(job.queue, job.priority) for job in left.jobs] == [("q", 5), ("q", 5)]
    assert left.handle.id == "whole"
    assert [each.group_id for each in left.envelopes] == ["whole", "whole"]


def test_ids_are_of_the_flow_and_tell_it() -> None:
    left = STAGE.leaves(add.s(1, 1) | add.s(2))
    assert left.flow is not None
    assert [job.id for job in left.jobs] == [member_id(left.flow.id, 1), member_id(left.flow.id, 2)]
    assert flow_of(left.jobs[1].id) == left.flow.id


def test_what_is_frozen_always_gets_the_same_ids() -> None:
    sig = chord([add.s(1, 1), add.s(2, 2)], total.s())
    frozen = sig.freeze()
    first, second = STAGE.leaves(sig), STAGE.leaves(sig)
    assert [job.id for job in first.jobs] == [job.id for job in second.jobs]
    assert frozen.id == first.handle.id == sig.freeze().id


def test_what_is_frozen_tells_its_id() -> None:
    for sig in (add.s(1, 1), add.s(1, 1) | add.s(2), group(add.s(1, 1)), chord([add.s(1, 1)], total.s())):
        assert sig.id is None
        assert sig.freeze().id == sig.id
    assert add.s(1, 1).set(task_id="mine").id == "mine"


def test_parents_lead_back_to_the_first_step_and_children_forward() -> None:
    last = STAGE.leaves(add.s(1, 1) | group(add.s(2), add.s(3)) | total.s()).handle
    header = last.parent
    assert isinstance(header, GroupResult)
    assert len(header) == 2
    first = header.parent
    assert first.parent is None
    assert first.children == [header]
    assert last.children == []


def test_root_and_parent_travel_with_the_steps() -> None:
    left = STAGE.leaves(add.s(1, 1) | add.s(2) | add.s(3))
    ids = [job.id for job in left.jobs]
    assert [envelope.root_id for envelope in left.envelopes] == [None, ids[0], ids[0]]
    assert [envelope.parent_id for envelope in left.envelopes] == [None, ids[0], ids[1]]


def test_the_state_lives_with_the_queue_of_the_last_job() -> None:
    left = STAGE.leaves(add.s(1, 1).set(queue="one") | total.s().set(queue="two"))
    assert left.flow is not None
    assert left.flow.home == "two"
    assert [job.queue for job in left.jobs] == ["one", "two"]


def test_an_envelope_does_not_grow_with_members_or_depth() -> None:
    small, large = (STAGE.leaves(chord([add.s(1, 1)] * count, total.s())) for count in (10, 1000))
    assert max(len(job.envelope) for job in large.jobs) <= max(len(job.envelope) for job in small.jobs) + 4
    assert small.flow is not None
    assert large.flow is not None
    assert len(large.flow.plan) <= len(small.flow.plan) + 4


def test_chunks_are_a_group_of_starmap_jobs() -> None:
    left = STAGE.leaves(chunks(add, [(n, n) for n in range(5)], 2))
    assert left.flow is None
    assert [envelope.task for envelope in left.envelopes] == ["celery.starmap"] * 3


@pytest.mark.parametrize(
    ("sig", "error", "words"),
    [
        (chain(add.s(1, 1), group(add.s(1), add.s(object()))), EncodeError, r"step 1 > member 1: add: argument 'y'"),
        (chord([add.s(1, 1)], total.s(1, 2)), TypeError, r"body: total\(\) takes"),
        (chord([add.s(1, 2, 3)], total.s()), TypeError, r"header > member 0: add\(\) takes"),
        (add.s(1) | add.s(1, 2), TypeError, r"step 1: add\(\) takes"),
        (add.s(1, 1) | add.s(1).set(priority=11), ValueError, "step 1: add: priority is 11"),
        (add.s(1, 1).set(link=group(add.s(1))), TypeError, "link 0: a group cannot be a callback"),
        (add.s(1, 1) | add.s(1).set(link_error=group(add.s(1))), TypeError, "step 1: link_error 0: a group cannot"),
        (add.s(1, 1).set(link=add.s(1, 2, 3)), TypeError, r"^link 0: add\(\) takes"),
        (add.s(1, 1).set(link=[add.s(1), add.si(object(), 1)]), EncodeError, "link 1: add: argument 'x' of type"),
        (add.s(1, 1) | add.s(1).set(link=add.s(1).set(link=add.si(1, 2, 3))), TypeError, "step 1: link 0: link 0: add"),
        (add.s(1, 1).set(link_error=add.s(object())), EncodeError, "link_error 0: add: an argument or option of"),
        (chord([add.s(1, 1)]), TypeError, "this chord has no body yet"),
    ],
)
def test_an_error_names_the_place(sig: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        STAGE.leaves(sig)


@pytest.mark.parametrize(
    ("sig", "words"),
    [
        (chain(add.s(1, 1), group(add.s(1), signature("ad"))), "step 1 > member 1: no task 'ad' .* did you mean 'add'"),
        (chord([add.s(1, 1)], signature("nobody")), "^body: no task 'nobody'"),
        (add.s(1, 1) | add.s(1).set(link=signature("nobody")), "step 1: link 0: no task 'nobody'"),
        (add.s(1, 1).set(link_error=signature("nobody")), "link_error 0: no task 'nobody'"),
    ],
)
def test_an_unknown_task_is_an_error_that_names_the_place_if_the_app_says_so(sig: Any, words: str) -> None:
    STAGE.leaves(sig)
    STAGE.app.conf.task_send_unknown = False
    try:
        with pytest.raises(NotRegistered, match=words):
            STAGE.leaves(sig)
    finally:
        STAGE.app.conf.task_send_unknown = True


def test_a_group_that_contains_itself_is_an_error() -> None:
    sig = group(add.s(1, 1))
    sig.tasks.append(sig)
    for given in (sig, chord(sig, total.s())):
        with pytest.raises(ValueError, match="contains itself"):
            STAGE.leaves(given)


def test_ten_thousand_nested_callbacks_are_an_error() -> None:
    sig = add.s(1)
    for _ in range(10_000):
        sig = add.s(1).set(link=sig)
    with pytest.raises(ValueError, match="nested too deeply"):
        STAGE.leaves(add.s(1, 1).set(link=sig))


def test_a_generator_is_read_when_the_group_is_sent_and_once() -> None:
    read: list[int] = []

    def members() -> Any:
        for number in range(3):
            read.append(number)
            yield add.s(number, number)

    sig = group(members())
    assert read == []
    assert len(STAGE.leaves(sig).jobs) == 3
    with pytest.raises(RuntimeError, match="sent already"):
        STAGE.leaves(sig)


def test_a_generator_that_comes_to_a_chain_is_a_flow_from_there_on() -> None:
    left = STAGE.leaves(group(sig for sig in (add.s(1, 1), add.s(2, 2) | add.s(3))))
    assert left.flow is not None
    assert [result.id for result in left.handle] == [left.jobs[0].id, left.jobs[2].id]


def test_the_deepest_canvas_is_copied_written_read_and_compiled() -> None:
    sig: Any = add.s(1, 1)
    for _ in range(64):
        sig = chord([sig, add.s(1, 1)], total.s())
    again = signature(json.loads(json.dumps(sig.clone())), app=STAGE.app)
    assert len(STAGE.leaves(again).jobs) == 64 * 2 + 1
