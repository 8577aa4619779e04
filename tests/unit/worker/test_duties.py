"""What a worker does when it is ordered to."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from typing import Any, cast

import msgspec
import pytest

from umbel.settings import Settings
from umbel.wire.letters import Doomed
from umbel.worker.messages import Limit, Loaded
from umbel.worker.options import WorkerOptions
from umbel.worker.supervisor.autoscaler import Autoscaler
from umbel.worker.supervisor.children import Children
from umbel.worker.supervisor.duties import Duties, Refused
from umbel.worker.supervisor.plan import make_plan


class Watch:
    """Stands for a watchdog."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def terminate(self, jobs: Iterable[str], number: int = 0, *, at_once: bool = False) -> None:
        self.told.append((list(jobs), number, at_once))

    def withdraw(self, jobs: Iterable[str]) -> None:
        self.told.append(list(jobs))


class Crew:
    """Stands for children: notes what they are told."""

    count = 2

    def __init__(self, options: WorkerOptions) -> None:
        settings = Settings(broker_url="redis://:pa55w0rd@host/0")
        tasks = ["app.add", "app.pay", "celery.chain", "umbel.ping"]
        limited = {"app.pay": "rate_limit=10/s"}
        self.plan = make_plan(options, Loaded("a", settings, tasks, limited=limited))
        self.watchdog = Watch()
        self.told: list[Any] = []

        self.events = True

    def living(self) -> list[Any]:
        return []

    def report(self, *, on: bool) -> bool:
        changed, self.events = self.events != on, on
        return changed

    def quieten(self, *, on: bool) -> bool:
        changed = self.plan.quiet != on
        self.plan = msgspec.structs.replace(self.plan, quiet=on)
        return changed

    def running(self) -> int:
        return 0

    def grow(self, number: int) -> int:
        return self.count + number

    def shrink(self, number: int) -> int:
        if number >= self.count:
            raise ValueError("a worker needs one child")
        return self.count - number

    def serve(self, queues: tuple[str, ...]) -> None:
        self.told.append(queues)

    def limit(self, limit: Limit) -> None:
        self.told.append(limit)

    def renew(self) -> None:
        self.told.append("renewed")


def duties(**options: Any) -> tuple[Duties, Crew, list[str]]:
    given = WorkerOptions(app="a", **options)
    crew, stopped = Crew(given), list[str]()
    return Duties(cast("Children", crew), crew.plan, given, lambda: stopped.append("stopped")), crew, stopped


def test_tasks_are_told_with_their_limits_and_without_the_built_in_ones() -> None:
    made, _, _ = duties()
    assert made.do("registered", {}) == ["app.add", "app.pay [rate_limit=10/s]"]


def test_settings_and_resources_are_told_without_secrets() -> None:
    made, _, _ = duties()
    assert "pa55w0rd" not in f"{made.do('conf', {})}{made.do('stats', {})}{made.do('report', {})}"
    assert "broker redis://:***@host/0, queues default, 4 tasks" in made.do("report", {})["ok"]
    every, given = made.do("conf", {"with_defaults": True}), made.do("conf", {"with_defaults": False})
    assert made.do("conf", {}) == every
    assert set(given) < set(every)
    assert made.do("stats", {})["pool"]["timeouts"] == [0, 0]


def test_queues_are_added_and_taken_away_but_never_the_last() -> None:
    made, crew, _ = duties(queues=("a", "b"))
    made.do("add_consumer", {"queue": "c"})
    made.do("add_consumer", {"queue": "a"})  # it is served already
    made.do("cancel_consumer", {"queue": "b"})
    assert crew.told == [("a", "b", "c"), ("a",)]
    single, _, _ = duties(queues=("a",))
    with pytest.raises(Refused, match="only queue"):
        single.do("cancel_consumer", {"queue": "a"})
    with pytest.raises(Refused, match="not consuming from z"):
        single.do("cancel_consumer", {"queue": "z"})


def test_a_worker_that_was_told_to_be_quiet_says_so_until_it_resumes() -> None:
    made, crew, _ = duties()
    told = [made.do(verb, {})["ok"] for verb in ("resume", "quiet", "quiet")]
    assert told == ["not quiet", "quiet: no jobs are received, 0 are finished", "quiet already"]
    assert (crew.plan.quiet, made.do("stats", {})["quiet"]) == (True, True)
    assert made.do("resume", {}) == {"ok": "jobs are received again"}
    assert (crew.plan.quiet, made.do("stats", {})["quiet"]) == (False, False)


@pytest.mark.parametrize("queue", ["", "a b", None, 3])
def test_what_cannot_name_a_queue_is_refused(queue: object) -> None:
    made, crew, _ = duties()
    with pytest.raises(Refused, match="cannot name a queue"):
        made.do("add_consumer", {"queue": queue})
    assert crew.told == []


@pytest.mark.parametrize("number", [0, -1, "2", True, 2.0, 10**9])
def test_a_senseless_number_of_children_is_refused(number: object) -> None:
    made, _, _ = duties()
    with pytest.raises(Refused, match="whole number"):
        made.do("pool_grow", {"n": number})


def test_other_bounds_are_kept_by_a_worker_that_has_bounds() -> None:
    made, crew, _ = duties(autoscale="4,1")
    made.scaler = Autoscaler(crew, 1, 4, 1)
    assert made.do("autoscale", {"max": 9, "min": 3}) == {"ok": "autoscale now max=9 min=3, 3 children"}
    assert made.do("autoscale", {"max": 1, "min": 1}) == {"ok": "autoscale now max=1 min=1, 1 children"}
    for wrong in ({"max": 1, "min": 2}, {"max": 0, "min": 0}, {"max": "3", "min": 1}, {}):
        with pytest.raises(Refused, match="whole numbers"):
            made.do("autoscale", wrong)
    made.scaler = None
    with pytest.raises(Refused, match="without --autoscale"):
        made.do("autoscale", {"max": 9, "min": 3})


def test_a_worker_that_sees_to_its_size_itself_is_not_resized() -> None:
    made, _, _ = duties(autoscale="4,1")
    with pytest.raises(Refused, match="--autoscale 4,1"):
        made.do("pool_grow", {})
    made, _, _ = duties()
    assert made.do("pool_grow", {"n": 3}) == {"ok": "pool will grow to 5 children"}
    with pytest.raises(Refused, match="needs one child"):
        made.do("pool_shrink", {"n": 2})


def test_limits_are_changed_for_tasks_that_are_known() -> None:
    made, crew, _ = duties()
    made.do("time_limit", {"task_name": "app.add", "soft": 1, "hard": 2.5})
    made.do("time_limit", {"task_name": "app.add"})
    assert crew.told == [Limit("app.add", 1.0, 2.5), Limit("app.add")]
    for wrong in ({"task_name": "app.sub", "hard": 1}, {"task_name": "app.add", "hard": -1}, {"task_name": 3}):
        with pytest.raises(Refused, match=r"unknown task|more than 0"):
            made.do("time_limit", wrong)


def test_events_are_turned_on_and_off_where_the_broker_keeps_any() -> None:
    made, crew, _ = duties()
    assert made.do("disable_events", {}) == {"ok": "task events disabled"}
    assert made.do("disable_events", {}) == {"ok": "task events already disabled"}
    with pytest.raises(Refused, match="keeps no events"):
        made.do("enable_events", {})
    assert not crew.events


def test_a_shutdown_stops_it_as_a_signal_would() -> None:
    made, _, stopped = duties()
    made.do("shutdown", {})
    assert stopped == ["stopped"]


def test_an_order_that_nobody_knows_is_refused() -> None:
    made, _, _ = duties()
    with pytest.raises(Refused, match="does not know the order 'dance'"):
        made.do("dance", {})


def test_revoked_jobs_do_not_begin_and_are_ended_only_if_that_is_asked() -> None:
    made, crew, _ = duties()
    made.doom(Doomed(ids=["one"]))
    made.doom(Doomed(ids=["two"], terminate=True))
    made.doom(Doomed(ids=["three"], terminate=True, signal="SIGKILL"))
    made.doom(Doomed(ids=["four"], terminate=True, signal="nonsense"))
    assert crew.watchdog.told == [
        ["one"],
        (["two"], signal.SIGTERM, False),
        (["three"], signal.SIGKILL, True),
        (["four"], signal.SIGTERM, False),
    ]
