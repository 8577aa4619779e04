"""Names of objects."""

from __future__ import annotations

import string

from umbel.model.ids import new_id
from umbel.stores.objects import LONGEST_NAME, key_of


def test_an_id_that_umbel_made_is_its_own_name() -> None:
    job_id = new_id()
    assert key_of(job_id) == job_id


def test_no_id_leaves_the_folder_or_hides() -> None:
    for job_id in ("../../x", "/etc/passwd", ".", "..", ".lock", "a/b", "%2e%2e", "~", "*"):
        name = key_of(job_id)
        assert set(name) <= set(string.ascii_letters + string.digits + "_-=")


def test_ids_that_differ_have_names_that_differ() -> None:
    ids = [chr(code) for code in range(33, 127)]
    ids += ["=2E", ".", "==", "a" * 200, "a" * 201, "a" * 255, "~" * 255, "~" * 254, "==" + "0" * 64]
    assert len({key_of(each) for each in ids}) == len(set(ids))


def test_no_name_is_too_long_for_a_file() -> None:
    assert all(len(key_of(each * 255)) <= LONGEST_NAME for each in "a~/")
