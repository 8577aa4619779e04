import random
import time
from collections.abc import Sequence

import msgspec
import pytest

from umbel.exceptions import DecodeError
from umbel.history.arguments import hashed, leaves
from umbel.history.fingerprint import MAX_MESSAGE, app_frames, fingerprint, template_of
from umbel.history.histogram import add, packed, percentiles, together, unpacked
from umbel.model.event import BUCKETS, bucket_of

TRACEBACK = """Traceback (most recent call last):
  File "/srv/v1/shop/views.py", line 10, in buy
    pay(card)
  File "/venv/lib/python3.12/site-packages/requests/api.py", line 3, in post
    raise E
  File "/srv/v1/shop/pay.py", line 99, in pay
ValueError: no
"""


@pytest.mark.parametrize(
    ("message", "template"),
    [
        ("no user 42 at 1.5", "no user <n> at <n>"),
        ("key 'abc' and \"d e\"", "key <text> and <text>"),
        ("0xDEADBEEF of 01a21afd-dd24-7a38-8b99-724c601da6a1", "<hex> of <uuid>"),
        ("cannot open /srv/a/b-1.txt: no", "cannot open <path>: no"),
        ("first\nsecond", "first"),
        ("", ""),
    ],
)
def test_what_differs_each_time_is_left_out_of_a_message(message: str, template: str) -> None:
    assert template_of(message) == template


def test_errors_are_the_same_on_another_host_and_in_another_version_of_a_line() -> None:
    moved = TRACEBACK.replace("/srv/v1/", "/opt/releases/77/").replace("line 99", "line 101")
    first, second = (fingerprint("ValueError", f"no {n}", text) for n, text in ((1, TRACEBACK), (2, moved)))
    assert first == second
    assert first.frame == "shop/pay.py:pay"
    assert fingerprint("KeyError", "no 1", TRACEBACK).digest != first.digest
    assert app_frames(TRACEBACK) == ["shop/pay.py:pay", "shop/views.py:buy"]


@pytest.mark.parametrize(
    "text", ["'" * 2_000, "/" * 2_000, "0x" * 1_000, "a" * 10**6, "1." * 10**5, '  File "' * 10**5]
)
def test_no_text_takes_long(text: str) -> None:
    start = time.process_time()
    fingerprint(text, text, text)
    assert time.process_time() - start < 5
    assert len(template_of(text)) < 10 * MAX_MESSAGE


def test_percentiles_are_within_a_tenth() -> None:
    chance = random.Random(3)
    times = sorted(chance.lognormvariate(0, 2) for _ in range(10_000))
    counts: dict[int, int] = {}
    for each in times:
        add(counts, {bucket_of(each): 1})
    for share, found in zip((0.5, 0.95, 0.99), percentiles(together([packed(counts)]), (0.5, 0.95, 0.99)), strict=True):
        assert found == pytest.approx(times[int(share * 10_000) - 1], rel=0.1)
    assert (packed({}), unpacked(b"")) == (b"", {})


def test_a_histogram_takes_no_bucket_that_there_is_not() -> None:
    counts: dict[int, int] = {}
    add(counts, {-5: 1, 10**9: 2, 3: 0, 4: -1})
    assert counts == {0: 1, 111: 2}


def test_arguments_are_found_by_name_however_they_were_passed() -> None:
    assert leaves('[7,{"a":[1]}]', '{"lang":"de"}', '{"h":true}', ("id", "more")) == {
        "arg.lang": "de",
        "arg.id": 7,
        "arg.more.a.0": 1,
        "args.0": 7,
        "args.1.a.0": 1,
        "header.h": True,
    }


def test_the_index_of_arguments_is_bounded() -> None:
    many = "[" + ",".join(str(n) for n in range(1_000)) + "]"
    assert len(leaves(many, None, None, ())) == 32
    assert leaves('{"a"', '["***","' + "x" * 200 + '"]', "nonsense", ()) == {}
    assert leaves(None, '{"a":{"b":{"c":{"d":{"e":1}}}},"masked":"***"}', None, ()) == {}
    assert leaves("[" * 5_000 + "]" * 5_000, None, None, ()) == {}


def test_values_of_other_types_are_other_values() -> None:
    found = [hashed(value) for value in (1, "1", True, None, "None", "", 1.5, "1.5", 0, False)]
    assert len(set(found)) == len(found)
    assert hashed(1) == hashed(1.0)
    assert all(0 <= each < 2**63 for each in found)


@pytest.mark.parametrize("most", [1, 15, 16, 4_000, 2**20, 2**50, 2**60])
@pytest.mark.parametrize("buckets", [[0], [0, 111], range(20, 60), range(112), [5, 7, 80]])
def test_histograms_are_added_up_as_they_are_stored(most: int, buckets: Sequence[int]) -> None:
    chance = random.Random(most)
    many = [{bucket: chance.randint(1, most) for bucket in buckets} for _ in range(50)]
    expected = [sum(each.get(bucket, 0) for each in many) for bucket in range(BUCKETS)]
    assert [unpacked(packed(each)) for each in many] == many
    assert together(packed(each) for each in many) == expected


def test_a_lane_never_runs_over() -> None:
    full = packed(dict.fromkeys(range(40), 15))
    assert together([full] * 10_000) == [150_000] * 40 + [0] * (BUCKETS - 40)


def test_histograms_of_before_are_read_and_what_is_none_is_refused() -> None:
    assert unpacked(msgspec.msgpack.encode({7: 2, 9: 1})) == {7: 2, 9: 1}
    for rubbish in (b"\xc1", b"\xc1\x00\x00abc", b"\xc1\x02\x00abc", b"\xc1\x09\x00abc", b"\xff"):
        with pytest.raises(DecodeError):
            unpacked(rubbish)
    assert percentiles(together([b"", b""]), (0.5, 0.99)) == [None, None]
