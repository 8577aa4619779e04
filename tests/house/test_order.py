"""Long tests run first, and each runs."""

from pathlib import Path

from tests.order import LONG, dealt

ROOT = Path(__file__).parents[2]


def test_every_long_module_is_there() -> None:
    assert [name for name in LONG if not (ROOT / name).exists()] == []


def test_each_process_begins_with_long_tests_and_every_test_runs_once() -> None:
    longest, second, third, *_ = sorted(LONG, key=lambda name: -LONG[name])
    tests = [(f"short {number}", 0) for number in range(100)]
    tests += [(name, number) for name in (third, longest, second) for number in range(5)]
    ordered = dealt(tests, lambda test: test[0], 3)
    assert sorted(ordered) == sorted(tests)
    assert [ordered[place][0] for place in (0, 38, 76)] == [longest, second, third]


def test_more_long_tests_than_a_part_has_room_for_run_as_well() -> None:
    name = next(iter(LONG))
    tests = [(name, number) for number in range(10)] + [("short", number) for number in range(5)]
    assert sorted(dealt(tests, lambda test: test[0], 4)) == sorted(tests)


def test_the_modules_of_a_long_folder_run_in_one_process() -> None:
    folder = next(name for name in LONG if name.endswith("/"))
    tests = [(f"{folder}test_a.py", 0), *((f"short {number}", 0) for number in range(30)), (f"{folder}test_b.py", 0)]
    ordered = dealt(tests, lambda test: test[0], 4)
    assert sorted(ordered) == sorted(tests)
    assert [test[0].rpartition("/")[2] for test in ordered[:2]] == ["test_a.py", "test_b.py"]
