"""What others than recorders do with the history, on every database: subclassed for each engine."""

from __future__ import annotations

import pytest

from tests.conformance.history_stage import FILTERS, NOW, PATIENT_SECONDS, HistoryStage, batch, event, life
from umbel.history.retention import Retention, Terms
from umbel.history.views import Order


class ActingSuite(HistoryStage):
    """Actions on many jobs, and groups of errors."""

    # --- actions on many

    def test_jobs_are_counted_exactly_up_to_a_bound(self) -> None:
        self._four_jobs()
        counted = {text: self.history.count(text) for text in FILTERS}
        assert {text: (each.n, each.capped) for text, each in counted.items()} == {
            text: (len(found), False) for text, found in FILTERS.items()
        }
        capped = self.history.count("-state:failed", most=2)
        assert (capped.n, capped.capped) == (2, True)
        self.write(batch(20, event("task-sent", "e"), event("task-sent", "f")))
        assert self.history.count(upto=counted[""].top).n == 4
        assert self.history.count().n == 6

    def test_a_filter_means_the_same_jobs_later_on(self) -> None:
        self._four_jobs()
        counted = self.history.count("until:1h")
        self.clock.now += 86_400
        assert len(self.ids("until:1h", upto=counted.top)) == 4
        assert self.ids("until:1h", upto=counted.top, at=counted.at) == ["a"]

    def test_an_action_is_carried_out_by_one_and_gone_on_with_by_another(self) -> None:
        history, order = self.history, self._order()
        begun = history.bulk_begin(order)
        assert (begun.state, begun.total, begun.cursor, begun.at, begun.filter) == (
            "running",
            9,
            None,
            NOW,
            "state:failed",
        )
        assert history.bulk_take("one", "b1") is not None
        assert history.bulk_step("b1", "one", done=3, failed=1, cursor=40)
        assert history.bulk_begin(order).done == 3
        assert (history.bulk_take("two"), history.bulk_take("two", "b1")) == (None, None)
        assert not history.bulk_step("b1", "two", done=100, failed=0, cursor=1)
        self.clock.now += 31
        taken = history.bulk_take("two")
        assert taken is not None
        assert (taken.id, taken.cursor, taken.done, taken.failed) == ("b1", 40, 3, 1)
        assert not history.bulk_step("b1", "one", done=100, failed=0, cursor=1)
        assert history.bulk_step("b1", "two", done=5, failed=0, cursor=2)
        history.bulk_end("b1", "one", "lost")
        history.bulk_end("b1", "two")
        ended = history.bulk("b1")
        assert ended is not None
        assert (ended.state, ended.done, ended.failed, ended.finished) == ("done", 8, 1, NOW + 31)
        assert history.bulk_take("two", "b1") is None

    def test_an_action_can_be_stopped(self) -> None:
        history = self.history
        history.bulk_begin(self._order())
        history.bulk_begin(self._order("b2"))
        history.bulk_take("one", "b1")
        assert [history.bulk_stop("b1"), history.bulk_stop("b1"), history.bulk_stop("none")] == [True, False, False]
        assert not history.bulk_step("b1", "one", done=2, failed=0, cursor=7)
        history.bulk_end("b1", "one")
        history.bulk_take("one", "b2")
        history.bulk_end("b2", "one", "the broker is away")
        found = {each.id: (each.state, each.done, each.trouble) for each in history.bulks()}
        assert found == {"b1": ("stopped", 2, ""), "b2": ("failed", 0, "the broker is away")}
        assert history.bulk("none") is None

    def test_records_are_deleted_with_all_that_belongs_to_them(self) -> None:
        self._four_jobs()
        before = {table: len(rows) for table, rows in self._contents().items()}
        assert self.history.delete(["b", "a", "nobody"]) == 2
        left = self._contents()
        gone = {table: before[table] - len(left[table]) for table in ("job", "job_body", "attempt", "arg")}
        assert (gone["job"], gone["job_body"], gone["attempt"]) == (2, 2, 2)
        assert gone["arg"] == 5
        assert (self.ids(), self.ids("arg.lang:de")) == (["d", "c"], ["c"])
        assert self.history.delete([]) == 0

    def test_envelopes_of_many_are_read_at_once(self) -> None:
        self.write(batch(1, *life("a"), *life("b"), event("task-sent", "c")))
        assert self.history.envelopes(["a", "b", "c", "d"]) == {"a": b"bytes of a", "b": b"bytes of b"}
        assert self.history.envelopes([]) == {}

    def check_what_is_old(self) -> None:
        """See to it that what the first version wrote is there, and goes on."""
        assert [(row.id, row.task, row.state) for row in self.history.jobs("state:dead").rows] == [("a", "old", "dead")]
        counts = [[group.count for group in self.history.errors(NOW - days * 86_400, NOW)] for days in (0.01, 1, 7)]
        assert counts == [[2], [5], [5]]
        self.write(batch(1, event("task-sent", "a", revived=True), event("task-started", "a", 1, NOW + 9)))
        assert self.ids("state:running attempt:3") == ["a"]
        self.history.bulk_begin(self._order())
        assert [each.id for each in self.history.bulks()] == ["b1"]

    @staticmethod
    def _order(name: str = "b1") -> Order:
        return Order(
            id=name, what="jobs.retry", filter="state:failed", cutoff=50, at=NOW, who="me", origin="::1", total=9
        )

    # --- groups of errors

    def test_a_resolved_group_that_comes_again_is_told_of(self) -> None:
        history = self.history
        self.write(batch(1, event("task-failed", "a", 1, error="E", message="m")))
        (group,) = history.errors(NOW - 60, NOW + 60)
        assert (group.status, group.task, group.sample) == ("open", "shop.buy", "a")
        self.clock.now += 100
        assert history.triage(group.id, "resolved", "me")
        assert not history.triage(999, "resolved", "me")
        self.write(batch(2, event("task-failed", "b", 1, NOW + 50, error="E", message="m")))
        (group,) = history.errors(NOW - 60, NOW + 600)
        assert (group.status, group.triaged_by, group.triaged_at) == ("resolved", "me", NOW + 100)
        self.write(batch(3, event("task-failed", "c", 1, NOW + 150, error="E", message="m")))
        (group,) = history.errors(NOW - 60, NOW + 600, statuses=["regressed"])
        assert (group.total, group.sample) == (3, "c")
        history.triage(group.id, "muted", "me")
        self.write(batch(4, event("task-failed", "d", 1, NOW + 160, error="E", message="m")))
        assert history.errors(NOW - 60, NOW + 600, statuses=["open", "regressed"]) == []
        assert [each.total for each in history.errors(NOW - 60, NOW + 600, statuses=["muted"])] == [4]

    def test_a_group_tells_where_its_errors_are_and_shows_one(self) -> None:
        failed = [event("task-failed", f"j{n}", 1, error="E", message="m", traceback=f"trace {n}",
                        task=f"t{n % 2}", queue="q") for n in range(5)]  # fmt: skip
        self.write(batch(1, *failed, worker="w"))
        (group,) = self.history.errors(NOW - 60, NOW + 60)
        spread = self.history.error_spread(group.id)
        assert (spread.counted, spread.capped) == (5, False)
        assert (spread.tasks, spread.queues, spread.workers) == ({"t0": 3, "t1": 2}, {"q": 5}, {"w": 5})
        sample = self.history.error_sample(group.id)
        assert sample is not None
        assert (sample.job, sample.attempt.traceback) == ("j4", "trace 4")
        self.history.delete(["j4"])
        sample = self.history.error_sample(group.id)
        assert sample is not None
        assert sample.job == "j3"
        self.history.delete([f"j{n}" for n in range(5)])
        assert self.history.error_sample(group.id) is None
        assert self.history.error_spread(999).counted == 0

    def test_errors_are_spread_over_the_releases_that_their_workers_ran(self) -> None:
        failed = [event("task-failed", f"j{n}", 1, NOW + 10 * n, error="E", message="m") for n in range(5)]
        online = [event("worker-online", "w", at=NOW + at, release=name) for at, name in ((-50, "1"), (25, "2"))]
        self.write(batch(1, *online, event("worker-heartbeat", "w", at=NOW + 27, release="2")))
        self.write(batch(2, *failed, worker="w"))
        self.write(batch(3, event("task-failed", "k", 1, error="E", message="m"), worker="v"))
        (group,) = self.history.errors(NOW - 60, NOW + 60)
        assert self.history.error_spread(group.id).releases == {"1": 3, "2": 2, "": 1}
        Retention(self.archive, Terms(1e9, 1e9, 10, 2**40), lambda _: None).prune(NOW + 26 + 1e9)
        assert self.history.error_spread(group.id).releases == {"2": 2}
        kept = self.archive.read(lambda step: step.ask("select release from worker_release", ()), PATIENT_SECONDS)
        assert [tuple(row) for row in kept] == [("2",)]

    @pytest.mark.parametrize("most", [200_000, 0])
    def test_errors_are_counted_over_any_window(self, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
        monkeypatch.setattr("umbel.history.groups.MAX_ROWS", most)
        day = 86_400
        told = [event("task-failed", f"j{n}", 1, NOW - n * day, error="E", message="m") for n in range(10)]
        self.write(batch(1, *told))
        for days, count in ((0.5, 1), (1, 2), (7, 8), (30, 10)):
            (group,) = self.history.errors(NOW - days * day, NOW)
            alone = self.history.error(group.id, NOW - days * day, NOW)
            assert alone is not None
            assert (group.count, alone.count) == (count, count)
            for each in (group, alone):
                assert sum(n for _, n in each.minutes) == count
                assert {at % each.span for at, _ in each.minutes} == {0}
        assert self.history.error(999, NOW - 60, NOW) is None
