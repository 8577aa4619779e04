from __future__ import annotations

from umbel.worker.figures import MAX_LINES, OTHER, Figures, Line, Timings


def test_lines_of_the_same_pair_are_added_up() -> None:
    figures = Figures()
    for _ in range(2):
        line = Line("add", "q", {"succeeded": 2})
        line.runs.note(0.5)
        figures.add([line])
    (found,) = figures.lines()
    assert (found.task, found.queue, found.jobs) == ("add", "q", {"succeeded": 4})
    assert (sum(found.runs.buckets.values()), found.runs.seconds) == (2, 1.0)


def test_what_was_read_does_not_change_when_more_is_counted() -> None:
    figures = Figures()
    figures.line("add", "q").count("failed")
    before = figures.lines()
    figures.line("add", "q").count("failed")
    assert before[0].jobs == {"failed": 1}


def test_what_was_taken_is_counted_anew() -> None:
    figures = Figures()
    figures.line("add", "q").count("failed")
    assert [line.jobs for line in figures.take()] == [{"failed": 1}]
    assert figures.lines() == []


def test_any_number_of_names_makes_a_bounded_number_of_lines_and_loses_no_count() -> None:
    figures = Figures()
    for number in range(3 * MAX_LINES):
        figures.line(f"task-{number}", "q").count("succeeded")
    lines = figures.lines()
    assert len(lines) == MAX_LINES + 1
    assert sum(line.jobs["succeeded"] for line in lines) == 3 * MAX_LINES
    assert [line.jobs for line in lines if line.task == OTHER] == [{"succeeded": 2 * MAX_LINES}]


def test_a_bucket_that_does_not_exist_counts_as_the_nearest() -> None:
    timings = Timings()
    timings.add(Timings({-5: 1, 10_000: 1}, 3.0))
    assert sorted(timings.buckets) == [0, 111]
