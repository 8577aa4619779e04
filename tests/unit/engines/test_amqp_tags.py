from hypothesis import given
from hypothesis import strategies as st

from umbel.engines.amqp_tags import Tags


def came(last: int) -> Tags:
    tags = Tags()
    for tag in range(1, last + 1):
        tags.came(tag)
    return tags


def test_all_that_is_open_is_answered_as_one() -> None:
    assert came(3).answer([1, 2, 3]) == ([1, 2, 3], [])


def test_what_follows_an_open_one_is_answered_alone() -> None:
    assert came(5).answer([1, 2, 4, 5]) == ([1, 2], [4, 5])


def test_what_was_answered_before_holds_nothing_up() -> None:
    tags = came(4)
    assert tags.answer([2]) == ([], [2])
    assert tags.answer([1, 3]) == ([1, 3], [])


def test_a_tag_that_is_answered_twice_or_was_never_heard_of_takes_no_open_one_with_it() -> None:
    tags = came(3)
    assert tags.answer([1]) == ([1], [])
    assert tags.answer([1, 9]) == ([1], [9])


@given(st.lists(st.sets(st.integers(1, 30), min_size=1), max_size=10))
def test_nothing_is_acknowledged_that_was_not_named(batches: list[set[int]]) -> None:
    tags, named, told = came(30), set[int](), set[int]()
    for batch in batches:
        named |= batch
        first, others = tags.answer(batch)
        told |= set(others)
        if first:
            told |= set(range(1, first[-1] + 1))  # what the server takes it for
        assert told == named
