import pytest

from umbel.cli.table import duration, table


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (-3, "0.0s"),
        (0.04, "0.0s"),
        (1.25, "1.2s"),
        (9.96, "10.0s"),
        (59.6, "1m"),
        (75, "1m 15s"),
        (3_600, "1h"),
        (7_530, "2h 5m"),
        (3 * 86_400 + 3_600 + 5, "3d 1h"),
    ],
)
def test_a_duration_is_said_in_at_most_two_units(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_text_stands_left_and_numbers_right() -> None:
    assert table(("QUEUE", "READY", "OLDEST"), [("a", 1, "1.0s"), ("long-name", 1000, "-")]) == [
        "QUEUE      READY  OLDEST",
        "a              1    1.0s",
        "long-name   1000       -",
    ]


def test_an_id_that_begins_with_a_digit_is_text() -> None:
    assert table(("ID", "N"), [("01a2-b", 1), ("-", 2)]) == ["ID      N", "01a2-b  1", "-       2"]


def test_a_table_without_rows_is_its_heads() -> None:
    assert table(("QUEUE", "READY"), []) == ["QUEUE  READY"]
