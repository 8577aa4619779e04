"""How long one goes on trying."""

from __future__ import annotations

import pytest

from umbel.engines.patience import Patience
from umbel.exceptions import BrokerUnavailable

ERROR = ConnectionRefusedError("refused")


def test_the_second_try_comes_at_once_and_later_ones_after_growing_pauses() -> None:
    patience = Patience("redis://host", 60.0)
    pauses = [patience.pause(ERROR) for _ in range(12)]
    assert pauses[0] == 0.0
    assert len({round(pause, 6) for pause in pauses}) > 6, "each client pauses for a time of its own"
    assert all(pause <= min(1.0, 0.05 * 2.0**tries) for tries, pause in enumerate(pauses, 1))


def test_no_pause_reaches_beyond_the_deadline() -> None:
    patience = Patience("redis://host", 0.05)
    patience.tries = 20
    assert patience.pause(ERROR) <= 0.05


def test_after_the_deadline_there_is_no_further_try() -> None:
    patience = Patience("redis://host", 0.0)
    with pytest.raises(BrokerUnavailable, match="redis://host gave no answer: refused") as over:
        patience.pause(ERROR)
    assert over.value.__cause__ is ERROR
    patience.tries = 3
    with pytest.raises(BrokerUnavailable, match="redis://host could not be reached within 0 s: refused"):
        patience.pause(ERROR)


def test_an_error_without_words_is_named_by_its_kind() -> None:
    assert "TimeoutError" in str(Patience("redis://host", 1.0).over(TimeoutError()))


def test_an_answer_starts_the_count_again() -> None:
    patience = Patience("redis://host", 60.0)
    patience.pause(ERROR)
    patience.restart()
    assert patience.tries == 0
    assert patience.pause(ERROR) == 0.0
