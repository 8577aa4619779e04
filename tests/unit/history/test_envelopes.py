"""How envelopes are kept."""

import pytest

from umbel.history.envelopes import SMALL_BYTES, packed, unpacked


@pytest.mark.parametrize(
    "envelope", [b"\x81", b"\x00", b"x", b"x\x01", b"x" * 10_000, b"\x85" * (SMALL_BYTES - 1), b"\x85" * SMALL_BYTES]
)
def test_an_envelope_comes_back_as_it_was(envelope: bytes) -> None:
    assert unpacked(packed(envelope)) == envelope


def test_small_ones_are_kept_as_they_are_and_large_ones_in_less() -> None:
    assert packed(b"\x85" * (SMALL_BYTES - 1)) == b"\x85" * (SMALL_BYTES - 1)
    assert len(packed(b"\x85" * SMALL_BYTES)) < SMALL_BYTES / 2
