import os
import struct
import time
from collections.abc import Iterator

import pytest

from umbel.worker.board import FULL, NEVER, SLOT_BYTES, Board, boot_seconds

SLOTS = 3


@pytest.fixture
def board() -> Iterator[Board]:
    made = Board.create(SLOTS)
    yield made
    made.close()


@pytest.fixture
def twin(board: Board) -> Iterator[Board]:
    """The same page, as the other process maps it."""
    made = Board.open(os.dup(board.fd), SLOTS)
    yield made
    made.close()


def test_a_job_on_the_board_is_seen_by_the_other_process(board: Board, twin: Board) -> None:
    before = time.time()
    board.take("job-1", "tasks.add")
    (job,) = twin.started()
    assert (job.id, job.task) == ("job-1", "tasks.add")
    assert before <= job.since <= time.time()


def test_a_job_that_has_ended_is_off_the_board(board: Board, twin: Board) -> None:
    first = board.take("job-1", "tasks.add")
    board.take("job-2", "tasks.add")
    board.give(first)
    assert [job.id for job in twin.started()] == ["job-2"]


def test_the_other_process_sees_how_many_jobs_have_ended(board: Board, twin: Board) -> None:
    assert twin.ended == 0
    board.end(3)
    board.end(0)
    board.end(256)
    assert (twin.ended, twin.started()) == (259, [])


def test_a_slot_is_used_again(board: Board, twin: Board) -> None:
    for number in range(10 * SLOTS):
        slot = board.take(f"job-{number}", "tasks.a-rather-long-name" if number % 2 else "t")
        assert [(job.id, job.task) for job in twin.started()] == [
            (f"job-{number}", "tasks.a-rather-long-name" if number % 2 else "t")
        ]
        board.give(slot)


def test_a_full_board_takes_no_more(board: Board) -> None:
    for number in range(SLOTS):
        board.take(f"job-{number}", "t")
    with pytest.raises(IndexError):
        board.take("one too many", "t")


def test_the_longest_id_is_kept_whole_and_the_task_is_cut(board: Board) -> None:
    board.take("i" * 255, "ä" * 255)
    board.take("next", "t")
    jobs = {job.id: job.task for job in board.started()}
    assert jobs.keys() == {"i" * 255, "next"}
    assert jobs["i" * 255].startswith("ä" * 40)


def test_what_was_not_written_to_its_end_has_not_started(board: Board) -> None:
    slot = board.take("job-1", "t")
    board.give(slot)
    # A child killed inside `take`: the text is there, the flag that is written last is not.
    struct.pack_into("=xxH", board._page, slot, 7)
    assert board.started() == []


def test_slots_do_not_touch_each_other_nor_the_words_before_them(board: Board) -> None:
    board.trust = 1.5
    board.fill()
    slots = [board.take("x" * 255, "y" * 255) for _ in range(SLOTS)]
    assert sorted(slots) == [40 + SLOT_BYTES * number for number in range(SLOTS)]
    assert (board.trust, board.heard) == (1.5, FULL)
    assert len(board.started()) == SLOTS


def test_a_new_board_is_trusted_by_nobody(board: Board) -> None:
    assert not board.trusted()


def test_trust_ends_at_the_moment_that_the_other_process_wrote(board: Board, twin: Board) -> None:
    board.trust = boot_seconds() + 60
    assert twin.trusted()
    board.trust = boot_seconds() - 0.001
    assert not twin.trusted()


def test_the_other_process_sees_when_the_broker_answered_last(board: Board, twin: Board) -> None:
    assert twin.heard == 0.0
    before = boot_seconds()
    board.hear()
    assert before <= twin.heard <= boot_seconds()
    assert not twin.trusted()


def test_the_other_process_sees_which_jobs_have_limits_and_when_they_pass(board: Board, twin: Board) -> None:
    board.take("free", "t")
    assert twin.limited() == []
    before = boot_seconds()
    slot = board.take("job", "tasks.add", (10.0, None))
    board.take("apart", "t", (None, 20.0), isolated=True)
    first, second = twin.limited()
    assert (first.id, first.task, first.hard, first.isolated) == ("job", "tasks.add", NEVER, False)
    assert before + 10.0 <= first.soft <= boot_seconds() + 10.0
    assert (second.id, second.soft, second.isolated) == ("apart", NEVER, True)
    assert [job.id for job in twin.started()] == ["free", "job", "apart"]
    board.give(slot)
    assert [job.id for job in twin.limited()] == ["apart"]


def test_a_job_with_a_process_of_its_own_is_told_apart_without_limits_too(board: Board, twin: Board) -> None:
    board.take("apart", "t", isolated=True)
    (job,) = twin.limited()
    assert (job.id, job.soft, job.hard, job.isolated) == ("apart", NEVER, NEVER, True)


def test_the_limits_of_a_job_are_not_those_of_the_one_before_it(board: Board) -> None:
    slot = board.take("job", "t", (1.0, 2.0))
    board.give(slot)
    assert board.take("next", "t") == slot
    assert board.limited() == []
