"""What the history keeps on every database: subclassed for each engine."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from msgspec import structs

from tests.conformance.history_stage import FILTERS, NOW, PATIENT_SECONDS, HistoryStage, batch, event, life
from umbel.contracts.history import Transaction
from umbel.exceptions import HistorySlow
from umbel.history.retention import Retention, Terms
from umbel.model.event import Event, Kind, Tally

HOSTILE = (
    "<script>alert(1)</script>",
    "'; drop table job; --",
    "nul\0inside",
    "\u202etxt.exe",
    "\u2028\x1b[31m",
    "%s{0}$1?1",
    "x" * 70_000,
    "a/b?c#d",
    'back\\slash "quoted" {a,b} \\\\"',
    "NULL",
)


class HistorySuite(HistoryStage):
    """The sentences of recording and asking."""

    # --- writing once, in any order

    def test_a_batch_counts_once_however_often_it_comes(self) -> None:
        told = batch(1, *life("a", ends="task-failed"), tallies=[Tally("shop.buy", "orders", NOW, sent=1, runs={8: 1})])
        assert [self.write(told), self.write(told, told), self.write(told)] == [1, 0, 0]
        assert self.history.series(NOW - 60, NOW + 60).points[0].sent == 1
        assert [group.total for group in self.history.errors(NOW - 60, NOW + 60)] == [1]

    def test_events_of_a_job_give_the_same_row_in_any_order(self) -> None:
        whole = [event for job in ("a", "b") for event in life(job, 2)]
        told = [batch(number, each, worker="w") for number, each in enumerate(whole, 1)]
        self.write(*told)
        expected = self._contents()
        chance = random.Random(6)
        for _ in range(3):
            self._empty()
            chance.shuffle(told)
            for each in told:
                self.write(each)
            assert self._contents() == expected

    def test_a_lost_batch_is_a_gap_until_it_comes(self) -> None:
        self.write(batch(1), batch(4), batch(6))
        self.clock.now += 60
        assert [(gap.first, gap.last) for gap in self._gaps()] == [(2, 3), (5, 5)]
        assert self.write(batch(3), batch(5), batch(3)) == 2
        assert [(gap.first, gap.last, gap.opening) for gap in self._gaps()] == [(2, 2, False)]
        assert self.write(batch(2), batch(4)) == 1
        assert self._gaps() == []

    def test_what_is_before_all_that_is_known_of_a_source_is_told_apart(self) -> None:
        self.write(batch(7))
        self.clock.now += 60
        assert [(gap.first, gap.last, gap.opening) for gap in self._gaps()] == [(1, 6, True)]

    def test_a_job_that_has_ended_goes_on_no_more(self) -> None:
        self.write(batch(1, *life("a", 0)))
        self.write(batch(2, event("task-started", "a", 1), event("task-sent", "a"), event("task-received", "a", 1)))
        self.write(batch(3, event("task-failed", "a", 1, NOW + 30, error="E", message="late")))
        row = self.history.jobs().rows[0]
        assert (row.state, row.finished, row.run) == ("succeeded", NOW + 1.25, 0.25)

    def test_a_dead_letter_that_was_revived_can_succeed(self) -> None:
        self.write(batch(1, *life("a", 3, ends="task-dead")))
        assert self.history.jobs().rows[0].state == "dead"
        self.write(batch(2, event("task-succeeded", "a", 1, NOW + 50, run=1.0)))
        assert self.history.jobs().rows[0].state == "succeeded"

    def test_a_dead_letter_that_runs_again_is_seen_on_its_way(self) -> None:
        self.write(batch(1, *life("a", 3, ends="task-dead")))
        for second in (10, 20):
            self.write(batch(second, event("task-sent", "a", at=NOW - 5, revived=True), source="cli"))
            assert [(row.state, row.finished) for row in self.history.jobs().rows] == [("queued", None)]
            again = [
                event("task-started", "a", 1, NOW + second),
                event("task-dead", "a", 1, NOW + second + 1, error="E"),
            ]
            self.write(batch(second + 1, again[0]))
            assert self.history.jobs().rows[0].state == "running"
            self.write(batch(second + 2, again[1], event("task-started", "a", 4, NOW + 4)))
            assert self.history.jobs().rows[0].state == "dead"
        detail = self.history.job("a")
        assert detail is not None
        assert [each.number for each in detail.attempts] == [1, 2, 3, 4, 5, 6]
        self.write(batch(99, event("task-succeeded", "a", 1, NOW + 50)))
        assert self.ids("state:succeeded attempt:7") == []
        assert self.ids("state:succeeded") == ["a"]

    def test_a_dead_letter_that_was_deleted_is_no_dead_letter_any_more(self) -> None:
        self.write(batch(1, *life("a", 1, ends="task-dead")))
        self.write(batch(2, event("task-revoked", "a", 2, NOW + 50, reason="deleted")))
        assert self.ids("state:cancelled") == ["a"]

    def test_an_error_counts_once_an_attempt(self) -> None:
        failed = event("task-retried", "a", 1, error="ValueError", message="no 1", run=0.1)
        self.write(batch(1, failed), batch(1, failed, source="t"))
        self.write(batch(2, event("task-dead", "a", 2, error="ValueError", message="no 2", reason="failed")))
        (group,) = self.history.errors(NOW - 60, NOW + 60)
        assert (group.count, group.total, group.template, group.sample) == (2, 2, "no <n>", "a")

    def test_a_note_is_written_with_its_batch_or_not_at_all(self) -> None:
        self.history.ingest([batch(1)], [("cursor", "7")])
        with pytest.raises(RuntimeError):
            self.archive.write(self._fail_after_a_note)
        assert self.archive.read(lambda step: step.rows("ingest.meta", "cursor"), PATIENT_SECONDS) == [("7",)]

    @staticmethod
    def _fail_after_a_note(transaction: Transaction) -> None:
        transaction.rows("ingest.put_meta", "cursor", "8")
        raise RuntimeError

    # --- what anybody may send

    @pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
    def test_hostile_names_and_values_are_text(self, text: str) -> None:
        told = event("task-sent", "a", args="[1]", kwargs="{}", task=text, queue=text, flow=text, headers={text: text})
        failed = event("task-failed", "a", 1, error=text, message=text, traceback=text, task=text, queue=text)
        self.write(batch(1, told, failed, event("worker-online", text, host=text, tasks={text: [text]}), worker=text))
        self.write(batch(2, event("flow-started", text, name=text), event("schedule-tick", text, job=text)))
        self.write(batch(3, tallies=[Tally(text, text, NOW, sent=1)]))
        detail = self.history.job("a")
        assert detail is not None
        shown = text.replace("\0", "␀")
        assert detail.job.task == shown or (len(detail.job.task) == 255 and detail.job.task[:254] == shown[:254])
        assert self.ids(f'task:"{_quoted(detail.job.task)}"') == ["a"]
        assert len(detail.attempts[0].message) < 5_000
        assert self.history.workers()[0].name == detail.job.task
        assert self.history.totals(NOW - 60, NOW + 60)[0].sent == 1

    @pytest.mark.parametrize("odd", [None, 5, -1.5, float("nan"), float("inf"), 2**63, True, [], {"a": 1}, "x" * 9_999])
    def test_bodies_of_any_kind_do_no_harm(self, odd: Any) -> None:
        names = ("args", "kwargs", "headers", "priority", "eta", "expires", "flow", "root", "parent", "run", "wait",
                 "crashes", "error", "message", "traceback", "reason", "result", "state", "meta", "host", "pid", "cpu",
                 "version", "queues", "slots", "tasks", "jobs", "total", "name", "job", "tick")  # fmt: skip
        body: dict[str, Any] = {name: odd for name in names}  # noqa: C420 - a dict of any name
        kinds: tuple[Kind, ...] = ("task-sent", "task-progress", "task-dead", "worker-online", "worker-heartbeat",
                                   "worker-offline", "flow-started", "flow-ended", "schedule-tick")  # fmt: skip
        told = tuple(Event(kind, NOW, f"{kind}", "t", "q", 1, body) for kind in kinds)
        assert self.write(batch(1, *told)) == 1
        assert len(self.ids()) == 3

    def test_large_values_are_stored_bounded(self) -> None:
        lines = "\n".join(f'  File "/app/x.py", line {n}, in f' for n in range(10_000))
        args = '["' + "y" * 2**20 + '"]'
        self.write(batch(1, event("task-sent", "a", args=args, envelope=b"e" * 300_000)))
        self.write(batch(2, event("task-failed", "a", 1, error="E", message="m" * 2**20, traceback=lines)))
        detail = self.history.job("a")
        assert detail is not None
        assert 10_000 < len(detail.args or "") < 70_000
        assert 10_000 < len(detail.attempts[0].traceback) < 70_000
        assert "line 9999" in detail.attempts[0].traceback
        assert not detail.resendable
        assert len(self.history.jobs().rows[0].args) <= 200

    def test_clocks_that_differ_give_no_negative_time_and_no_future(self) -> None:
        ahead, behind = NOW + 90_000, NOW - 90_000
        self.write(batch(1, event("task-sent", "a", at=ahead)))
        self.write(batch(2, event("task-succeeded", "a", 1, behind, run=-5.0, wait=-3.0)))
        self.write(batch(3, tallies=[Tally("t", "q", ahead, sent=1)]))
        row = self.history.jobs("state:succeeded since:1h").rows[0]
        assert (row.sent, row.wait, row.run) == (NOW, 0.0, 0.0)
        assert self.history.series(NOW - 60, NOW + 60).points[0].sent == 1

    # --- asking

    def test_pages_follow_each_other_without_hole_or_repeat(self) -> None:
        self.write(batch(1, *(event("task-sent", f"j{n:03}") for n in range(120))))
        found: list[str] = []
        cursor = None
        while True:
            page = self.history.jobs("task:shop.*", limit=50, before=cursor)
            found += [row.id for row in page.rows]
            self.write(batch(len(found), event("task-sent", f"new{len(found)}"), source="t"))
            cursor = page.cursor
            if cursor is None:
                break
        assert found == [f"j{n:03}" for n in reversed(range(120))]

    def test_what_came_later_is_left_out_of_a_walk(self) -> None:
        self.write(batch(1, event("task-sent", "a")))
        top = self.history.jobs().top
        self.write(batch(2, event("task-sent", "b")))
        assert (self.ids(), self.ids(upto=top)) == (["b", "a"], ["a"])

    def test_filters_find_what_they_say(self) -> None:
        self._four_jobs()
        assert {text: "".join(self.ids(text)) for text in FILTERS} == FILTERS
        assert {text: self.history.facets(text).total for text in FILTERS} == {
            text: len(found) for text, found in FILTERS.items()
        }

    def test_words_mean_themselves(self) -> None:
        args = {"a": "100%_sure", "b": "100 percent", "c": "Émile"}
        self.write(batch(1, *(event("task-sent", job, args=f'["{text}"]') for job, text in args.items())))
        found = {words: self.ids(words) for words in ("100%", "%sure", "100%_SURE", "1%s", "1__", "_", "Émile", "\\")}
        assert found == {"100%": ["a"], "%sure": [], "100%_SURE": ["a"], "1%s": [], "1__": [], "_": ["a"],
                         "Émile": ["c"], "\\": []}  # fmt: skip

    @pytest.mark.parametrize("text", ["state:queued,running", "arg.n:0,1,2", "queue:q*", "queue:q* crashes:0"])
    def test_what_is_read_from_many_ranges_is_in_order(self, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
        monkeypatch.setattr("umbel.history.search.MANY_ROWS", 0)
        monkeypatch.setattr("umbel.history.search.ENOUGH", 2)
        events = [event("task-sent", f"j{n:02}", kwargs=f'{{"n":{n % 3}}}', queue=f"q{n // 7 % 4}") for n in range(60)]
        self.write(batch(1, *events, *(event("task-started", f"j{n:02}", 1) for n in range(0, 60, 25))))
        for limit in (1, 5, 20):
            page = self.history.jobs(text, limit=limit)
            found = [row.id for row in page.rows]
            while page.cursor is not None:
                page = self.history.jobs(text, limit=limit, before=page.cursor)
                found += [row.id for row in page.rows]
            assert found == [f"j{n:02}" for n in reversed(range(60))]
        monkeypatch.setattr("umbel.history.jobs.MAX_COUNTED", 5)
        assert (self.history.facets(text).total, self.history.facets(text).capped) == (5, True)

    def test_a_filter_that_compares_says_how_far_it_has_looked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("umbel.history.search.MAX_COMPARED", 40)
        monkeypatch.setattr("umbel.history.search.ENOUGH", 20)
        monkeypatch.setattr("umbel.history.search.PATIENCE_SECONDS", 1e9)
        self.write(batch(1, event("task-sent", "old", args="[1]"), *(event("task-sent", f"j{n}") for n in range(50))))
        page = self.history.jobs("args.0:1 OR crashes>0")
        assert (page.rows, page.compared_all, page.cursor) == ((), False, 12)
        page = self.history.jobs("args.0:1 OR crashes>0", before=page.cursor)
        assert ([row.id for row in page.rows], page.compared_all, page.cursor) == (["old"], True, None)

    def test_a_job_is_shown_with_what_belongs_to_it(self) -> None:
        self._four_jobs()
        self.write(batch(50, event("task-sent", "again", retry_of="b", parent="a")))
        detail = self.history.job("b")
        assert detail is not None
        assert [(each.number, each.state, each.error) for each in detail.attempts] == [
            (1, "retrying", "ValueError"),
            (2, "failed", "ValueError"),
        ]
        assert [each.id for each in detail.retries] == ["again"]
        again, first = self.history.job("again"), self.history.job("a")
        assert again is not None
        assert again.origin is not None
        assert again.origin.state == "failed"
        assert first is not None
        assert [each.id for each in first.children] == ["again"]
        assert self.history.job("nobody") is None
        assert (self.history.envelope("a"), self.history.envelope("nobody")) == (b"bytes of a", None)

    def test_charts_are_made_of_what_was_counted(self) -> None:
        hour = [
            Tally("t", "q", NOW - 3_600 + 60 * minute, 2, 1, 1, waits={0: 1, 40: 1}, runs={20: 2})
            for minute in range(60)
        ]
        self.write(batch(1, tallies=hour))
        windows = [self.history.series(NOW - days * 86_400, NOW, task="t") for days in (0.01, 1, 7, 400)]
        assert [sum(point.sent for point in series.points) for series in windows] == [28, 120, 120, 120]
        assert [series.span for series in windows] == [10, 300, 3_600, 86_400 * 7]
        (total,) = self.history.totals(NOW - 3_600, NOW, "queue")
        assert (total.name, total.sent, total.failed) == ("q", 120, 60)
        assert total.wait[0] == pytest.approx(0.001, rel=0.1)
        assert total.wait[1] == pytest.approx(1.024, rel=0.1)
        assert self.history.series(NOW - 60, NOW, task="nobody").points == ()

    def test_what_was_long_ago_is_charted_by_what_is_kept_of_it(self) -> None:
        self.write(batch(1, tallies=[Tally("t", "q", NOW, sent=2, runs={3: 2})]))
        retention = Retention(self.archive, Terms(1e9, 1e9, 10, 2**40), lambda _: None)
        for days, span in ((0, 10), (3, 60), (20, 3_600)):
            self.clock.now = NOW + days * 86_400
            retention.prune(self.clock.now)
            series, totals = self.history.series(NOW - 600, NOW), self.history.totals(NOW - 600, NOW)
            assert (series.span, [each.sent for each in series.points]) == (span, [2])
            assert [(each.name, each.sent) for each in totals] == [("t", 2)]

    def test_totals_of_many_are_made_of_longer_spans(self, monkeypatch: pytest.MonkeyPatch) -> None:
        told = [Tally(f"t{n % 2}", "q", NOW - 60 * n, sent=1, waits={3: 1}) for n in range(50)]
        self.write(batch(1, tallies=told))
        monkeypatch.setattr("umbel.history.charts.MAX_ROWS", 5)
        totals = self.history.totals(NOW - 3_600, NOW)
        assert [self.history.total(NOW - 3_600, NOW, each.name) for each in totals] == totals
        assert self.history.total(NOW - 3_600, NOW, "none") is None
        assert [each.sent for each in totals] == [25, 25]
        assert [each.wait[0] for each in totals] == pytest.approx([0.0015, 0.0015], rel=0.1)

    def test_the_busiest_tasks_are_told_without_the_others(self) -> None:
        told = [Tally(f"t{n}", "q", NOW - 60 * n, n, n, waits={n: n}, runs={20: n}) for n in range(1, 30)]
        self.write(batch(1, tallies=told))
        every = self.history.totals(NOW - 3_600, NOW)
        assert [each.name for each in every[:3]] == ["t29", "t28", "t27"]
        assert self.history.busiest(NOW - 3_600, NOW, 3) == every[:3]
        assert self.history.busiest(NOW - 7_200, NOW - 3_600, 3) == []

    def test_the_pulse_of_a_task_is_how_many_of_its_jobs_ended(self) -> None:
        told = [Tally(f"t{n % 2}", "q", NOW - 60 * n, sent=5, succeeded=n, failed=1) for n in range(10)]
        self.write(batch(1, tallies=told))
        for hours in (1, 24, 168):
            pulse = self.history.pulse(NOW - 3_600 * hours, NOW)
            assert {name: sum(counts) for name, counts in pulse.tasks.items()} == {"t0": 25, "t1": 30}
            assert len(next(iter(pulse.tasks.values()))) < 100

    def test_tasks_are_known_with_their_parameters_and_when_they_were_heard_of(self) -> None:
        self.write(batch(1, event("worker-online", "w", tasks={"told": ["x", "y"]})))
        self.write(batch(2, tallies=[Tally("run", "q", NOW - 7_200, sent=1), Tally("run", "q", NOW, sent=1)]))
        run, told = self.history.tasks()
        assert (run.name, run.parameters, run.first, run.last) == ("run", None, NOW - 7_200, NOW)
        assert (told.name, told.parameters, told.first) == ("told", ("x", "y"), None)

    def test_workers_flows_schedules_and_audits_are_shown(self) -> None:
        self.write(
            batch(
                1,
                event("worker-online", "w@h", host="h", pid=7, version="1", release="2026.11", queues=["q"], slots=4,
                      tasks={"t": ["x"]}),
                event("worker-heartbeat", "w@h", at=NOW + 1, host="h", pid=7, used=2, jobs={"a": NOW}),
                event("worker-offline", "x@h", host="h", pid=8),
                event("flow-started", "f1", name="chord", total=2),
                event("task-sent", "a", flow="f1"),
                event("task-failed", "b", 1, flow="f1", error="E"),
                event("schedule-tick", "nightly", at=NOW + 2, job="a", tick=NOW),
            )
        )  # fmt: skip
        self.write(batch(2, event("flow-ended", "f1", at=NOW + 9, state="FAILURE")))
        self.history.audit("me", "127.0.0.1", "jobs.retry", "state:failed", 3, "done")
        workers = {worker.name: worker for worker in self.history.workers()}
        assert (workers["w@h"].slots, workers["w@h"].used, workers["w@h"].jobs) == (4, 2, {"a": NOW})
        assert workers["x@h"].stopped == NOW
        flow = self.history.flow("f1")
        assert flow is not None
        assert (flow.state, flow.total, flow.states, flow.finished) == (
            "FAILURE",
            2,
            {"queued": 1, "failed": 1},
            NOW + 9,
        )
        assert [each.id for each in self.history.flows()] == ["f1"]
        assert [each.id for each in self.history.flows(state="FAILURE")] == ["f1"]
        assert self.history.flows(state="running") == []
        (run,) = self.history.schedule_runs("nightly")
        assert (run.late, run.job, run.state) == (2.0, "a", "queued")
        assert self.history.schedule_strips(["nightly", "never"]) == {"nightly": [run], "never": []}
        releases = {(each.sort, each.name, each.first) for each in self.history.releases(NOW - 1, NOW + 1)}
        assert releases == {("umbel", "1", NOW), ("app", "2026.11", NOW)}
        assert self.history.releases(NOW + 1, NOW + 2) == []
        assert [(each.who, each.count) for each in self.history.audits()] == [("me", 3)]

    def test_a_flow_is_kept_with_its_jobs_in_pages_and_names_those_that_repeat_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("umbel.history.kept_flows.PAGE", 2)
        jobs = [event("task-succeeded", f"j{n}", 1, flow="f", run=0.1) for n in range(5)]
        kept = [structs.replace(each, envelope=b"bytes" if n else b"") for n, each in enumerate(jobs)]
        self.write(batch(1, event("flow-started", "f", total=5), *kept))
        for number, flow in enumerate(("g", "h"), 2):
            self.write(batch(number, event("task-sent", f"{flow}0", flow=flow, retry_of="j0")))
        self.write(batch(4, event("task-sent", "alone", retry_of="j0")))
        for name in ("f", "j3"):
            found = self.history.kept_flow(name)
            assert found is not None
            assert (found.id, found.total, [job.id for job in found.jobs]) == ("f", 5, [f"j{n}" for n in range(5)])
            assert [job.envelope for job in found.jobs] == [None, *[b"bytes"] * 4]
        whole, repeated = self.history.flow("f"), self.history.flow("g")
        assert whole is not None
        assert repeated is not None
        assert (whole.origin, whole.repeats, repeated.origin, repeated.repeats) == (None, ("h", "g"), "f", ())
        assert self.history.kept_flow("alone") is None

    def test_a_flow_counts_its_jobs_whatever_becomes_of_their_records(self) -> None:
        told = [event("task-sent", f"j{n}", flow="f") for n in range(4)]
        ends = [event("task-succeeded", f"j{n}", 1, flow="f", run=0.1) for n in range(3)]
        self.write(batch(1, *told[:2]), batch(2, *told[2:], event("task-received", "j3", 1), *ends[:2]))
        assert self._states("f") == {"succeeded": 2, "queued": 1, "received": 1}
        self.write(batch(3, ends[2], event("task-sent", "late"), event("task-dead", "j3", 1)))
        self.write(batch(4, event("task-started", "late", 1, flow="f")))
        assert self._states("f") == {"succeeded": 3, "dead": 1, "running": 1}
        self.history.delete(["j0", "j1"])
        assert self._states("f") == {"succeeded": 3, "dead": 1, "running": 1}
        assert [flow.id for flow in self.history.flows(state="running")] == ["f"]
        Retention(self.archive, Terms(1.0, 1.0, 9, 2**40), lambda _: None).prune(NOW + 40 * 86_400)
        assert self.history.flows() == []

    def _states(self, flow: str) -> dict[str, int]:
        found = self.history.flow(flow)
        assert found is not None
        return found.states

    def test_a_read_that_takes_too_long_is_given_up(self) -> None:
        self.write(batch(1, event("task-sent", "a")))
        start = time.monotonic()
        with pytest.raises(HistorySlow):
            self.archive.read(self._forever, 0.1)
        assert time.monotonic() - start < 20
        assert self.ids() == ["a"]

    ENDLESS = ""
    """A statement that takes for ever."""

    def _forever(self, transaction: Transaction) -> None:
        transaction.ask(self.ENDLESS, ())

    def test_a_reader_cannot_write(self) -> None:
        self.write(batch(1))
        with pytest.raises(Exception, match=r"(?i)read"):
            self.archive.read(lambda step: step.rows("ingest.put_meta", "a", "b"), PATIENT_SECONDS)

    # --- keeping it small

    def test_what_is_old_goes_with_all_that_belongs_to_it(self) -> None:
        self.write(batch(1, *life("ok"), *life("bad", 0, ends="task-failed"), event("task-sent", "waits", args="[1]")))
        terms = Terms(succeeded=100.0, failed=1_000.0, jobs=100, bytes=2**40)
        retention = Retention(self.archive, terms, lambda _: None)
        assert (retention.prune(NOW + 50), len(self.ids())) == (0, 3)
        assert (retention.prune(NOW + 200), self.ids()) == (1, ["waits", "bad"])
        assert (retention.prune(NOW + 1_200), self.ids()) == (1, ["waits"])
        left = self._contents()
        assert (len(left["job_body"]), len(left["arg"]), len(left["attempt"])) == (1, 1, 0)
        assert self.write(batch(1, *life("ok"))) == 0

    def test_more_than_so_many_or_so_much_is_not_kept(self) -> None:
        self.write(batch(1, *(each for n in range(30) for each in life(f"j{n:02}", 0))))
        Retention(self.archive, Terms(1e9, 1e9, jobs=10, bytes=2**40), lambda _: None).prune(NOW)
        assert self.ids() == [f"j{n:02}" for n in reversed(range(20, 30))]
        Retention(self.archive, Terms(1e9, 1e9, jobs=10, bytes=1), lambda _: None).prune(NOW)
        assert self.ids() == []

    def test_old_figures_go(self) -> None:
        self.write(batch(1, tallies=[Tally("t", "q", NOW, sent=1)]))
        retention = Retention(self.archive, Terms(1e9, 1e9, 10, 2**40), lambda _: None)
        day = 86_400.0
        spans = {1.0: [10, 60, 3_600, 86_400], 2 * day: [60, 3_600, 86_400], 15 * day: [3_600, 86_400], 402 * day: []}
        for age, left in spans.items():
            retention.prune(NOW + age)
            assert sorted({row["span"] for row in self._contents()["rollup"]}) == left

    # --- by index

    def test_no_list_and_no_figure_reads_a_whole_table(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._four_jobs()
        asked: list[str] = []

        archive, read = self.archive, self.archive.read
        monkeypatch.setattr(
            self.history,
            "_read",
            lambda step: read(lambda inner: step(Spying(inner, self.plans, asked)), PATIENT_SECONDS),
        )
        self._ask_everything()
        assert len(asked) > 60
        assert [plan for plan in asked if self.whole(plan)] == []
        scan = archive.read(
            lambda step: self.plans(step, step.text("search.jobs") + " where j.run_ms = 5", ()), PATIENT_SECONDS
        )
        assert self.whole(scan)

    def whole(self, plan: str) -> bool:
        """Whether *plan* reads all of a table that may be large."""
        raise NotImplementedError

    def _ask_everything(self) -> None:
        history = self.history
        for text in ("", "state:failed since:1h", "task:shop.* state:queued,failed", "queue:orders", "worker:w",
                     "group:1", "flow:f1", "root:r", "parent:p", "id:a", "retry_of:x", "schedule:y", "arg.lang:de",
                     "arg.lang:de arg.user.id:42 state:failed", "run>5s", '"words"', "until:1h has:error"):  # fmt: skip
            history.jobs(text)
            history.facets(text)
            history.count(text)
        history.job("b")
        history.envelope("b")
        for days in (1, 7):
            history.series(NOW - days * 86_400, NOW)
            history.totals(NOW - days * 86_400, NOW)
            history.busiest(NOW - days * 86_400, NOW, 3)
            history.errors(NOW - days * 86_400, NOW)
            history.error(1, NOW - days * 86_400, NOW)
        history.error_spread(1)
        history.error_sample(1)
        history.envelopes(["a", "b"])
        for days in (1, 7):
            history.depths(NOW - days * 86_400, NOW)
            history.pulse(NOW - days * 86_400, NOW)
        history.tasks()
        history.releases(NOW - 86_400, NOW)
        history.schedule_strips(["y"])
        history.flows(state="running")
        history.bulk("x")
        history.bulks()
        history.queue("orders", NOW - 3_600, NOW)
        history.queues()
        history.workers()
        history.schedule_runs("y")
        history.schedule_runs()
        history.flows()
        history.flow("f1")
        history.audits()


class Spying:
    """A transaction that notes how what it is asked would be carried out."""

    def __init__(self, inner: Transaction, plans: Callable[..., str], asked: list[str]) -> None:
        self._inner = inner
        self._plans = plans
        self._asked = asked

    def rows(self, name: str, *values: object) -> list[tuple[Any, ...]]:
        self._asked.append(self._plans(self._inner, self._inner.text(name), values))
        return self._inner.rows(name, *values)

    def among(self, name: str, wanted: Sequence[Any], *values: object) -> list[tuple[Any, ...]]:
        bound = self._inner.bound(list(wanted))
        self._asked.append(self._plans(self._inner, self._inner.text(name), (bound, *values)))
        return self._inner.among(name, wanted, *values)

    def ask(self, text: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        self._asked.append(self._plans(self._inner, text, values))
        return self._inner.ask(text, values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
