"""Canvases run by a worker in this process, in memory: values, failures at each place, links, replacement, chords."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from umbel import (
    AsyncResult,
    Context,
    Graph,
    GroupResult,
    Umbel,
    allow_join_result,
    chain,
    chord,
    chunks,
    group,
    signature,
)
from umbel.exceptions import ChordError, IncompleteStream, TaskRevokedError, UnknownResult
from umbel.exceptions import TimeoutError as NotInTime
from umbel.request import Request
from umbel.testing import worker
from umbel.testing.conformance.eventually import eventually

WAIT = 100.0
app = Umbel("canvas", broker="memory://canvas-system", set_as_current=False)
told: list[Any] = []


@app.task
def add(x: int, y: int = 0) -> int:
    return x + y


@app.task
def total(values: list[int]) -> int:
    return sum(values)


@app.task
def same(value: Any = None) -> Any:
    return value


@app.task
def fail(value: Any = None) -> Any:
    raise ValueError(value)


@app.task
def note(value: Any) -> Any:
    told.append(value)
    return value


@app.task
def by_id(task_id: str) -> None:
    told.append(task_id)


@app.task
def note_of(task_id: str, what: str) -> None:
    told.append(what)


@app.task
def by_error(request: Request, exc: Exception, traceback: str) -> None:
    told.append((request.id, request.task, request.args, repr(exc), "Traceback" in traceback))


@app.task(bind=True)
def again_once(self: Context, value: int) -> int:
    if not self.request.retries:
        raise self.retry(countdown=0)
    return value + 100


@app.task(bind=True)
def becomes_one(self: Context, value: int) -> Any:
    return self.replace(add.s(value, 10))


@app.task(bind=True)
def becomes_many(self: Context, value: int) -> Any:
    return self.replace(group(add.s(value, n) for n in range(3)))


@app.task(bind=True)
async def becomes_a_chord(self: Context, value: int) -> Any:
    return await self.areplace(chord([add.s(value, 1), becomes_one.s(value)], total.s()))


@app.task(bind=True)
def becomes_a_failure(self: Context) -> Any:
    return self.replace(same.s(1) | fail.s())


@app.task(bind=True)
def adds_members(self: Context, value: int) -> int:
    self.add_to_chord(add.s(value, 1000))
    return value


@app.task(bind=True)
def tells_itself(self: Context) -> list[Any]:
    request = self.request
    return [request.id, request.root_id, request.parent_id]


@app.task(bind=True)
def shows_its_place(self: Context) -> list[Any]:
    request = self.request
    callbacks, errbacks = request.callbacks or [], request.errbacks or []
    shown = [callbacks[0]["task"], callbacks[0]["args"], errbacks[0]["task"]] if callbacks else []
    return [request.group, request.group_index, request.flow_id, *shown]


@app.task
def sends_and_joins() -> list[int]:
    with allow_join_result():
        return group(add.s(n, n) for n in range(3)).apply_async().get(WAIT)


@pytest.fixture(scope="module", autouse=True)
def _working() -> Iterator[None]:
    with worker(app, threads=4):
        yield


@pytest.fixture(autouse=True)
def _forgotten() -> None:
    told.clear()


def run(sig: Any, **options: Any) -> Any:
    return sig.apply_async(**options).get(WAIT)


VALUES = [
    (add.s(1, 2) | add.s(3) | add.s(4), 10),
    (add.s(1, 2) | add.si(3, 4), 7),
    (group(add.s(n, n) for n in range(4)), [0, 2, 4, 6]),
    (chord([add.s(n, n) for n in range(4)], total.s()), 12),
    (chord((add.s(n, n) for n in range(4)), total.s()), 12),
    (chord([], same.s()), []),
    (add.s(1, 2) | chord([], same.s()), []),
    (group(add.s(1, 1)) | same.s(), [2]),
    (chain(group(add.s(1, 1)), same.s()), 2),
    (add.s(1, 1) | group(add.s(1), add.s(2)), [3, 4]),
    (add.s(1, 1) | group(add.s(1), add.s(2)) | total.s() | add.s(3), 10),
    (group(add.s(1, 1), add.s(2, 2)) | group(total.s(), same.s()), [6, [2, 4]]),
    (group(add.s(1, 1), add.s(2, 2)) | group(total.s(), same.s()) | same.s(), [6, [2, 4]]),
    (chord([chord([add.s(1, 1), add.s(2, 2)], total.s()), add.s(3, 3)], total.s()), 12),
    (chord([add.s(1, 1), chain(add.s(1, 2), group(add.s(3), add.s(4)))], same.s()), [2, [6, 7]]),
    (chord([group(add.s(1, 1), add.s(2, 2)), add.s(3, 3)], same.s()), [2, 4, 6]),
    (chord([add.s(1, 1)], chord([add.s(1, 2), same.s()], same.s())), None),
    (same.map([1, 2, 3]), [1, 2, 3]),
    (add.starmap([(1, 2), (3, 4)]), [3, 7]),
    (add.chunks([(n, n) for n in range(5)], 2), [[0, 2], [4, 6], [8]]),
    (chunks(add, [(n, n) for n in range(4)], 2) | same.s(), [[0, 2], [4, 6]]),
    (again_once.s(1) | add.s(1), 102),
    (chord([again_once.s(1), add.s(1, 1)], total.s()), 103),
    (becomes_one.s(1), 11),
    (becomes_one.s(1) | add.s(5), 16),
    (becomes_many.s(1), [1, 2, 3]),
    (becomes_many.s(1) | total.s(), 6),
    (chord([becomes_one.s(1), becomes_many.s(2), add.s(1, 1)], same.s()), [11, [2, 3, 4], 2]),
    (becomes_a_chord.s(1) | add.s(1), 14),
    (chord([adds_members.s(1), adds_members.s(2)], same.s()), [1, 2, 1001, 1002]),
]
SHAPES = [(sig, value) for sig, value in VALUES if value is not None]


@pytest.mark.parametrize(("sig", "value"), SHAPES, ids=[repr(sig)[:70] for sig, _ in SHAPES])
def test_a_canvas_has_this_value(sig: Any, value: Any) -> None:
    assert run(sig) == value


FAILURES = [
    (add.s(1, 2) | fail.s() | add.s(4), ValueError, "3"),
    (fail.s(1) | group(add.s(1), add.s(2)), ValueError, "1"),
    (fail.s(1) | chord([add.s(1), add.s(2)], total.s()), ChordError, "Dependency .* raised ValueError"),
    (chord([add.s(1, 2), fail.s(7), fail.s(8)], total.s()), ChordError, r"Dependency .* raised ValueError\(7\)"),
    (chord([fail.s(7)], total.s()) | add.s(1), ChordError, r"raised ValueError\(7\)"),
    (chord([fail.s(7)], group(total.s(), same.s())), ValueError, "7"),
    (chord([chord([fail.s(7)], total.s()), add.s(1, 1)], total.s()), ChordError, "raised ChordError"),
    (chord([chain(add.s(1, 1), fail.s()), add.s(1, 1)], total.s()), ChordError, r"raised ValueError\(2\)"),
    (chord([add.s(1, 1)], fail.s()), ValueError, r"\[2\]"),
    (group(add.s(1, 1), fail.s(3)), ValueError, "3"),
    (becomes_a_failure.s(), ValueError, "1"),
    (chord([becomes_a_failure.s(), add.s(1, 1)], total.s()), ChordError, r"raised ValueError\(1\)"),
]


@pytest.mark.parametrize(("sig", "error", "words"), FAILURES, ids=[repr(sig)[:70] for sig, *_ in FAILURES])
def test_a_failure_reaches_the_end_by_celerys_rules(sig: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        run(sig)


def test_the_error_of_a_chord_has_the_members_own_behind_it() -> None:
    result = chord([add.s(1, 2), fail.s(7)], total.s()).apply_async()
    error = result.get(WAIT, propagate=False)
    assert isinstance(error, ChordError)
    member = result.parent.results[1]
    assert str(error) == f"Dependency {member.id} raised ValueError(7)"


def test_every_later_step_of_a_chain_ends_with_the_same_error() -> None:
    last = (add.s(1, 2) | fail.s() | add.s(4) | add.s(5)).apply_async()
    last.get(WAIT, propagate=False)
    assert [handle.state for handle in (last, last.parent, last.parent.parent, last.parent.parent.parent)] == [
        "FAILURE",
        "FAILURE",
        "FAILURE",
        "SUCCESS",
    ]


def test_steps_after_one_that_expired_are_revoked() -> None:
    last = (add.s(1, 2).set(expires=-1) | add.s(3)).apply_async()
    with pytest.raises(TaskRevokedError):
        last.get(WAIT)
    assert (last.state, last.parent.state) == ("REVOKED", "REVOKED")


async def test_no_job_of_a_flow_that_has_expired_starts() -> None:
    body = chord([note.s("never"), note.s("never")], same.s()).apply_async(flow_expires=-1)
    with pytest.raises(TaskRevokedError):
        body.get(WAIT)
    info = app.flows.get(body.id)
    assert info is not None
    assert [(box.ended, box.failed) for box in info.boxes] == [(2, 2), (1, 1)]
    assert told == []


# --- links


async def test_a_link_gets_the_value_and_an_immutable_one_does_not() -> None:
    add.apply_async((1, 2), link=[note.s(), note.si("done")])
    await eventually(lambda: sorted(map(str, told)) == ["3", "done"], WAIT)


async def test_links_of_links_and_canvases_as_links_are_run() -> None:
    callback = note.s()
    callback.link(note.si("then"))
    add.apply_async((1, 2), link=callback)
    add.s(1, 1).set(link=add.s(10) | note.s()).apply_async()
    await eventually(lambda: sorted(map(str, told)) == ["12", "3", "then"], WAIT)


async def test_the_link_of_a_chord_gets_the_bodys_value() -> None:
    chord([add.s(1, 1)], total.s()).apply_async(link=note.s())
    await eventually(lambda: told == [2], WAIT)


async def test_an_errback_with_one_argument_gets_the_id_and_one_with_three_request_error_and_traceback() -> None:
    failed = fail.apply_async((7,), link_error=[by_id.s(), by_error.s()], link=note.s())
    await eventually(lambda: len(told) == 2, WAIT)
    assert failed.id in told
    assert (failed.id, fail.name, [7], "ValueError(7)", True) in told


async def test_two_errbacks_of_the_same_task_are_both_sent() -> None:
    fail.apply_async((7,), link_error=[note_of.s(what="first"), note_of.s(what="second")])
    await eventually(lambda: sorted(told) == ["first", "second"], WAIT)


async def test_of_a_chain_only_the_step_that_failed_tells_the_errback() -> None:
    last = (add.s(1, 2) | fail.s() | add.s(4)).apply_async(link_error=by_id.s())
    last.get(WAIT, propagate=False)
    await eventually(lambda: bool(told), WAIT)
    assert told == [last.parent.id]


async def test_the_errback_of_a_chord_is_told_once_of_the_body() -> None:
    result = chord([fail.s(1), fail.s(2)], total.s()).apply_async(link_error=by_error.s())
    result.get(WAIT, propagate=False)
    await eventually(lambda: bool(told), WAIT)
    assert [(each[0], each[3].startswith("ChordError")) for each in told] == [(result.id, True)]


# --- inside a task


async def test_a_replaced_job_keeps_its_id_its_links_and_its_place() -> None:
    result = becomes_many.apply_async((1,), link=note.s())
    assert await result.aget(WAIT) == [1, 2, 3]
    await eventually(lambda: told == [[1, 2, 3]], WAIT)


def test_adding_to_a_chord_outside_of_one_is_an_error() -> None:
    with pytest.raises(ValueError, match="is no member of a chord"):
        run(adds_members.s(1))
    with pytest.raises(ValueError, match="is no member of a chord"):
        run(adds_members.s(1) | add.s(1))


def test_a_task_may_wait_for_a_group_if_it_says_so() -> None:
    assert run(sends_and_joins.s()) == [0, 2, 4]


def test_steps_know_their_root_and_parent() -> None:
    last = (tells_itself.si() | tells_itself.si()).apply_async()
    first = last.parent
    assert last.get(WAIT) == [last.id, first.id, first.id]
    assert first.get(WAIT) == [first.id, first.id, None]


async def test_a_member_knows_its_group_its_number_its_flow_and_whom_it_tells() -> None:
    member = shows_its_place.si().set(link=note.s(), link_error=by_id.s())
    result = chord([shows_its_place.si(), member], same.s()).apply_async()
    first, second = await result.aget(WAIT)
    header = result.parent
    assert first == [header.id, 0, result.flow]
    assert second == [header.id, 1, result.flow, note.name, [], by_id.name]
    await eventually(lambda: told == [second], WAIT)  # or it would be told to the next test


# --- results


def test_a_group_result_tells_how_far_it_has_come() -> None:
    result = group(add.s(1, 1), fail.s(2), add.s(3, 3)).apply_async()
    assert result.get(WAIT, propagate=False)[::2] == [2, 6]
    assert (result.ready(), result.waiting(), result.successful(), result.failed()) == (True, False, False, True)
    assert (result.completed_count(), len(result), result.state) == (2, 3, "FAILURE")
    assert result[0].get() == 2
    with pytest.raises(ValueError, match="2"):
        result.maybe_throw()


def test_a_group_can_be_joined_in_three_ways() -> None:
    result = group(add.s(n, n) for n in range(5)).apply_async()
    assert sorted(result.iterate(WAIT)) == [0, 2, 4, 6, 8]
    assert result.join_native(WAIT) == result.join(WAIT) == [0, 2, 4, 6, 8]
    seen: list[Any] = []
    assert result.join(WAIT, callback=lambda job_id, value: seen.append((job_id, value))) == []
    assert seen == [(member.id, 2 * n) for n, member in enumerate(result)]
    assert dict(result.iter_native(WAIT))[result[1].id]["result"] == 2


def test_what_is_not_there_in_time_is_a_timeout() -> None:
    result = group(add.s(1, 1), add.s(2, 2).set(countdown=60)).apply_async()
    with pytest.raises(NotInTime):
        result.get(0.05)
    with pytest.raises(NotInTime):
        result.join_native(0.05)
    assert not result.ready()


def test_forgotten_results_are_gone() -> None:
    result = group(add.s(1, 1), add.s(2, 2)).apply_async()
    assert result.get(WAIT) == [2, 4]
    result.forget()
    with pytest.raises(UnknownResult):
        GroupResult(result.id, [AsyncResult(member.id, app) for member in result]).get(WAIT)


def test_the_tree_of_results_can_be_walked() -> None:
    last = (add.s(1, 1) | group(add.s(2), add.s(3)) | total.s()).apply_async()
    last.get(WAIT)
    first = last.parent.parent
    assert [value for _, value in first.collect()] == [2, [4, 5], 4, 5]
    assert first.get_leaf() == 5
    assert last.as_list() == [last.id, *[member.id for member in last.parent], first.id]
    waiting = (add.s(1, 1).set(countdown=60) | add.s(2)).apply_async()
    with pytest.raises(IncompleteStream):
        list(waiting.iterdeps())


def test_a_handle_by_its_id_alone_waits_for_a_step_that_was_not_sent_yet() -> None:
    last = (add.s(1, 1).set(countdown=0.3) | add.s(2)).apply_async()
    assert app.AsyncResult(last.id).get(WAIT) == 4


def test_a_canvas_that_was_frozen_is_sent_once() -> None:
    sig = add.s(1, 1) | note.s()
    frozen = sig.freeze()
    first, second = sig.apply_async(), sig.apply_async()
    assert frozen.id == first.id == second.id
    assert frozen.get(WAIT) == 2
    assert run(add.s(1, 1)) == 2
    assert told == [2]


async def test_the_async_twins_do_the_same() -> None:
    result = await (add.s(1, 1) | group(add.s(1), add.s(2))).adelay()
    assert await result == [3, 4]
    assert await result.aready()
    assert await result.asuccessful()
    assert not await result.afailed()
    assert await result.acompleted_count() == 2
    assert await result.ajoin(WAIT) == [3, 4]
    assert sorted([value async for value in result.aiterate(WAIT)]) == [3, 4]
    assert await (await chord([add.s(1, 1)], total.s()).aapply_async()) == 2


def test_a_signature_that_was_sent_as_an_argument_is_one_again() -> None:
    form = run(same.s(add.s(1) | add.s(2)))
    assert signature(form, app=app).apply_async((1,)).get(WAIT) == 4


def test_a_signature_of_a_task_that_only_workers_know_is_sent_by_name() -> None:
    assert run(signature(add.name, (1, 2), app=app) | signature(add.name, (3,), app=app)) == 6


# --- in place


EAGER = [(sig, value) for sig, value in SHAPES if "adds_members" not in repr(sig) and "…" not in repr(sig)]


@pytest.mark.parametrize(("sig", "value"), EAGER, ids=[repr(sig)[:70] for sig, _ in EAGER])
def test_a_canvas_run_in_place_has_the_same_value(sig: Any, value: Any) -> None:
    assert sig.apply().get() == value


def test_a_chord_run_in_place_raises_the_members_own_error() -> None:
    with pytest.raises(ValueError, match="7"):
        chord([add.s(1, 1), fail.s(7)], total.s()).apply().get()


def test_links_are_run_in_place_as_well() -> None:
    add.apply((1, 2), link=note.s(), link_error=by_id.s())
    failed = fail.apply((5,), link=note.s(), link_error=[by_id.s(), by_error.s()])
    assert told == [3, failed.id, (failed.id, fail.name, [5], "ValueError(5)", True)]


# --- flows


def test_a_graph_runs_each_step_after_those_that_it_waits_for() -> None:
    graph = Graph()
    first, second = graph.add(add.s(1, 1)), graph.add(group(add.s(2, 2), add.s(3, 3)))
    both = graph.add(same.s(), after=[second, first])
    graph.add(add.s(10), after=[first])
    results = graph.send()
    assert [result.get(WAIT) for result in results] == [2, [4, 6], [[4, 6], 2], 12]
    assert both.result.get() == results[2].get()
    graph.send()
    assert len(told) == 0


def test_a_flow_is_listed_shown_and_revoked() -> None:
    last = (add.s(1, 1).set(countdown=60) | note.s()).apply_async()
    info = app.flows.get(last.id)
    assert info is not None
    assert (info.state, info.queue) == ("running", "default")
    assert info.id in [flow.id for flow in app.flows.list()]
    assert [line.split() for line in info.text().splitlines()] == [
        ["1", add.name, "running"],
        ["2", note.name, "waiting", "after", "1"],
    ]
    assert [(box.state, box.ended, box.count) for box in info.boxes] == [("running", 0, 1), ("waiting", 0, 1)]
    assert "j1 --> j2" in info.mermaid()
    assert info.svg().count("<rect") == 2
    assert app.flows.revoke(last.id)
    assert not app.flows.revoke(last.id)
    revoked = app.flows.get(last.id)
    assert revoked is not None
    assert revoked.state == "revoked"
    assert app.flows.get("unknown") is None
