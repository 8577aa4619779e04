"""Jobs and handles of many members take no memory of their own."""

from __future__ import annotations

import tempfile
from typing import NoReturn

import pytest

from tests.unit.canvas.stage import Stage
from umbel import AsyncResult, GroupResult, chord, group
from umbel.canvas.handles import Handles
from umbel.canvas.spool import Spool
from umbel.model.ids import member_id, new_flow_id
from umbel.model.job import Job

STAGE = Stage("canvas-spool")
FLOW = new_flow_id()
JOBS = [(number % 3, Job(f"job {number}", "queue", b"\x00" * number, number % 10, 0.5, None)) for number in range(50)]
DUE = (7, Job("due", "queue", b"later", eta=1.5))


def filled(memory_bytes: int) -> Spool:
    spool = Spool(memory_bytes)
    for node, job in (*JOBS, DUE):
        spool.append(node, job)
    return spool


@pytest.mark.parametrize("memory_bytes", [0, 2_000, 1_000_000])
def test_jobs_come_back_in_order_however_many_are_on_disk_and_as_often_as_they_are_read(memory_bytes: int) -> None:
    spool = filled(memory_bytes)
    assert list(spool) == list(spool) == [*JOBS, DUE]
    assert len(spool) == len(JOBS) + 1


def test_where_nothing_can_be_written_jobs_stay_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> NoReturn:
        raise PermissionError

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert list(filled(0)) == [*JOBS, DUE]


def test_handles_come_back_as_they_were_whether_they_are_alike_or_not() -> None:
    before: AsyncResult[int] = AsyncResult("before", STAGE.app)
    given = [
        AsyncResult(member_id(FLOW, 1), STAGE.app, STAGE.add, "queue", flow=FLOW, parent=before),
        AsyncResult(member_id(FLOW, 2), STAGE.app, STAGE.add, "queue", flow=FLOW, parent=before),
        AsyncResult(member_id(FLOW, 9), STAGE.app, STAGE.total, "other", ignored=True),
        AsyncResult("an-id-of-its-own", STAGE.app, STAGE.add, "queue", flow=FLOW),
        AsyncResult(member_id(new_flow_id(), 2), STAGE.app, STAGE.add, "queue", flow=FLOW),
        *(AsyncResult(member_id(FLOW, number), STAGE.app, STAGE.add, f"queue {number}") for number in range(20, 60)),
        AsyncResult(member_id(FLOW, 10), STAGE.app, STAGE.add, "queue", flow=FLOW, parent=before),
        GroupResult("group", [before], STAGE.app),
    ]
    handles = Handles(FLOW)
    for handle in given:
        handles.append(handle)
    assert len(handles) == len(given)
    for index, (made, handle) in enumerate(zip(handles, given, strict=True)):
        assert made == handle
        assert handles[index] == handle
        for name in ("source", "task", "queue", "ignored", "parent", "flow"):
            assert getattr(made, name, None) is getattr(handle, name, None)


def test_a_group_makes_each_of_its_handles_once() -> None:
    result = STAGE.leaves(group(STAGE.add.s(number, number) for number in range(5))).handle
    assert len(result) == 5
    assert result[3] is result.results[3]
    assert result.peeked(-1) is result[-1]


def test_jobs_of_a_large_chord_are_kept_on_disk_until_they_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("umbel.canvas.spool.MEMORY_BYTES", 10_000)
    sent = STAGE.leaves(chord((STAGE.add.s(number, number) for number in range(300)), STAGE.total.s()))
    assert sent.members == {0: 0, 1: 1, 2: 300}
    assert [job.id for job in sent.jobs[:-1]] == [handle.id for handle in sent.handle.parent]
