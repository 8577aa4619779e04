from __future__ import annotations

import time
import uuid

import pytest

from umbel.model.ids import MAX_ID_LENGTH, new_id, new_session, valid_id, valid_queue


def test_a_job_id_is_a_uuid_of_version_7() -> None:
    parsed = uuid.UUID(new_id())
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)


def test_a_job_id_carries_the_millisecond_it_was_made_in() -> None:
    before = time.time_ns() // 1_000_000
    moment = uuid.UUID(new_id()).int >> 80
    assert before <= moment <= time.time_ns() // 1_000_000


def test_ten_thousand_job_ids_are_distinct() -> None:
    assert len({new_id() for _ in range(10_000)}) == 10_000


def test_job_ids_sort_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = [1, 2, 1_000, 1_750_000_000_000, 1_750_000_000_001]
    ids: list[str] = []
    for moment in moments:
        monkeypatch.setattr(time, "time_ns", lambda value=moment: value * 1_000_000)
        ids.append(new_id())
    assert ids == sorted(ids)


def test_a_session_is_128_random_bits() -> None:
    sessions = {new_session() for _ in range(1_000)}
    assert len(sessions) == 1_000
    assert {len(bytes.fromhex(session)) for session in sessions} == {16}


@pytest.mark.parametrize("text", ["a", "!", "~", "a:b/c", "x" * MAX_ID_LENGTH, "'; drop", "0"])
def test_printable_text_of_255_characters_may_be_an_id(text: str) -> None:
    assert valid_id(text.replace(" ", "-"))


@pytest.mark.parametrize("text", ["", "x" * 256, "a b", "a#b", "#", "ä", "a\n", "\x00", "\x7f", "a\tb"])
def test_space_hash_control_and_foreign_characters_are_no_id(text: str) -> None:
    assert not valid_id(text)


@pytest.mark.parametrize("text", ["default", "a.b_c@d:e-f", "A", "0", "q" * 128])
def test_a_queue_name_is_letters_digits_and_five_signs(text: str) -> None:
    assert valid_queue(text)


@pytest.mark.parametrize("text", ["", "q" * 129, "a b", "{a}", "a}b", "a/b", "a#b", "ä", "a\n", "*"])
def test_a_queue_name_cannot_reach_keys_of_another_queue(text: str) -> None:
    assert not valid_queue(text)
