"""What the benchmarks find is kept, put together and judged as it was measured."""

from __future__ import annotations

from pathlib import Path

from benchmarks import findings
from benchmarks.backlog import Backlog
from benchmarks.bars import Bar, bars
from benchmarks.control import Governed
from benchmarks.findings import Findings
from benchmarks.metrics import Book, Summary
from benchmarks.report import markdown
from benchmarks.ticks import Late, Ticked

QUICK = Late(1.0, 20.0, 30.0)


def contest(**rates: float) -> Findings:
    """A part in which these ran so many `def` jobs a second, in three rounds."""
    book = Book()
    for contender, rate in rates.items():
        for turn in (1, 2, 3):
            book.enter(contender.replace("_", "-"), turn, {"def": rate * turn})
    return Findings("redis", rounds=3, done=3, complete=True, book=book, machine=["a machine"])


def bar(found: Findings, required: str) -> Bar:
    """The one whose requirement begins so."""
    return next(each for each in bars(found) if each.required.startswith(required))


def test_what_is_kept_is_read_again_as_it_was(tmp_path: Path) -> None:
    found = contest(umbel=1200.0, celery_late=100.0)
    found.book.fail("rq", "`def`, results on", "it stopped")
    found.backlog = Backlog(10, 10, Summary(3.0, 1.0, 5.0), 2.9, 70.0, 71.0)
    found.ticked = [Ticked("5 workers", 60, 7200, 0, 0, 3, QUICK, QUICK)]
    findings.save(found, tmp_path)
    assert findings.load(tmp_path, ["sqlite", "redis"]) == [found]
    findings.clear(tmp_path, ["redis", "sqlite"])
    assert findings.load(tmp_path, ["redis"]) == []


def test_a_bar_is_met_from_the_required_ratio_on() -> None:
    assert bar(contest(umbel=1200.0, celery=99.0, celery_late=100.0), "run `def` >= 12x").met
    below = bar(contest(umbel=1200.0, celery=99.0, celery_solo=101.0), "run `def` >= 12x")
    assert below.met is False
    assert "11.9x celery-solo" in below.measured


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    assert {each.met for each in bars(Findings())} == {None}


def test_one_tick_that_was_sent_twice_is_too_many() -> None:
    found = Findings(ticked=[Ticked("5 workers", 60, 7200, 0, doubled, 3, QUICK, QUICK) for doubled in (0, 1)])
    assert bar(found, "each tick exactly once").met is False
    found.ticked.pop()
    assert bar(found, "each tick exactly once").met


def test_parts_are_told_together_and_what_is_incomplete_or_missing_is_said() -> None:
    redis, rabbitmq = contest(umbel=1200.0, celery_late=100.0), contest(umbel_rabbitmq=300.0, celery_rabbitmq=200.0)
    rabbitmq.part, rabbitmq.done, rabbitmq.complete = "rabbitmq", 2, False
    text = markdown([redis, rabbitmq], ["flows"])
    assert "| 2 of 3: **incomplete** |" in text
    assert "| flows | not measured |" in text
    assert "| umbel | late | 2,400 (1,200 to 3,600) |" in text
    assert "| umbel-rabbitmq | late | 600 (300 to 900) |" in text


def test_what_control_costs_is_judged_by_the_rate_and_by_the_cpu_of_a_job() -> None:
    kept = Findings(governed=Governed([0.98, 0.8, 0.99], [1.01, 1.2, 1.02]))
    lost = Findings(governed=Governed([0.96, 0.8, 0.99], [1.04, 1.2, 1.02]))
    for required in ("limits, cancel and inspection take", "by the CPU of worker and broker"):
        assert (bar(kept, required).met, bar(lost, required).met) == (True, False)
