"""Engines that keep limits, through any sequence of verbs; and what is lost without each protection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.conformance.limit_machine import LimitMachine
from tests.conformance.test_model import ENOUGH, SIZE
from tests.patient import PATIENT
from tests.servers import Server
from tests.servers.postgres import Admin
from tests.servers.redis import flush
from umbel.brokers.memory import MemoryBroker
from umbel.brokers.postgres import PostgresBroker
from umbel.brokers.redis import RedisBroker
from umbel.brokers.sqlite import SqliteBroker
from umbel.brokers.sqlite.gates import LIMITS
from umbel.contracts.broker import Broker
from umbel.engines.memory import Space
from umbel.engines.memory_limits import Gate, Limits
from umbel.engines.sqlite_file import File
from umbel.testing import Clock
from umbel.testing.conformance.limiting import LimitingConformance

FEW = settings(SIZE, max_examples=6)


class OnMemory(LimitMachine):
    def make(self, clock: Callable[[], float]) -> Broker:
        return MemoryBroker(Space(), clock)


class OnSqlite(LimitMachine):
    def make(self, clock: Callable[[], float]) -> Broker:
        self.folder = TemporaryDirectory()
        return SqliteBroker(File(f"sqlite:///{self.folder.name}/umbel.db", "broker_url", 30.0), clock)

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


class OnRedis(LimitMachine):
    server: ClassVar[Server]

    def make(self, clock: Callable[[], float]) -> Broker:
        flush(self.server.port)
        return RedisBroker(self.server.url, PATIENT, clock)


class OnPostgres(LimitMachine):
    url: ClassVar[str]
    admin: ClassVar[Admin]

    def make(self, clock: Callable[[], float]) -> Broker:
        self.admin.empty()
        return PostgresBroker(self.url, PATIENT, clock)


def test_memory_keeps_limits_and_loses_nothing() -> None:
    run_state_machine_as_test(OnMemory, settings=settings(FEW, max_examples=20))


def test_sqlite_keeps_limits_and_loses_nothing() -> None:
    run_state_machine_as_test(OnSqlite, settings=FEW)


def test_redis_keeps_limits_and_loses_nothing(redis_server: Server) -> None:
    redis_server.ensure_running()
    run_state_machine_as_test(type("Machine", (OnRedis,), {"server": redis_server}), settings=FEW)


def test_postgresql_keeps_limits_and_loses_nothing(postgres_url: str, postgres_admin: Admin) -> None:
    machine = type("Machine", (OnPostgres,), {"url": postgres_url, "admin": postgres_admin})
    run_state_machine_as_test(machine, settings=settings(FEW, max_examples=3))


# --- each protection, taken away: the machine must notice


def _no_room_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gate, "has_room", lambda *_: True)


def _nothing_waits_for_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gate, "is_due", lambda *_: True)


def _places_are_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Limits, "leave", lambda *_: None)


@pytest.mark.parametrize("damage", [_no_room_is_needed, _nothing_waits_for_its_time, _places_are_kept_for_ever])
def test_the_machine_notices_a_protection_that_is_missing(
    damage: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(monkeypatch)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(OnMemory, settings=settings(SIZE, max_examples=ENOUGH, phases=[Phase.generate]))


# --- each protection in the statements of SQLite, taken away: the suite must notice


class Suite(LimitingConformance):
    """The suite of limits on a file, to be run test by test."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._made = []
        self.clock = Clock()
        self.broker = self.client()

    def make(self, clock: Callable[[], float]) -> Broker:
        return SqliteBroker(File(f"sqlite:///{self.path}", "broker_url", 30.0), clock)


@pytest.fixture
def suite(tmp_path: Path) -> Iterator[Suite]:
    found = Suite(tmp_path / "umbel.db")
    yield found
    for each in found._made:
        each.close()


ALIVE = "and not exists (select 1 from job where job.id = ?2 and job.queue = ?1 and state in (0, 1))"
HELD_COUNT = "+ (select count(*) from (select 1 from job where queue = ?1 and state = 5 limit ?2))"
TWINS = [
    ("prune", "state in (0, 1)", "state = 1", "a_job_whose_session_died_keeps_its_place", ()),
    ("prune", "and state in (0, 1)", "", "a_job_that_is_over_leaves_its_place_if_nobody_tells_so", ("park",)),
    ("leave", ALIVE, "", "a_job_that_still_runs_does_not_leave", ()),
    ("leave", ALIVE, "", "whoever_leaves_late_takes_no_place_from_a_job_that_runs_again", ()),
    ("job", "number = ?4", "?4 > 0", "whoever_lost_a_job_is_told_so", ()),
    ("job", "session = ?3", "?3 > 0", "whoever_lost_a_job_is_told_so", ()),
    ("job", "state = 1 and session = ?3 and number = ?4", "coalesce(?3, ?4)", "a_dead_session_enters_nothing", ()),
    ("job", " retries,", " 0,", "a_retried_job_waits_for_an_interval", ()),
    ("served", "waits = name is null", "waits = 1", "each_turn_has_one_job_ready_at_a_time", ()),
    ("next", "waits = 1 order by position", "waits = 1 order by key", "turns_follow_each_other_round_and_round", ()),
    ("hold", "marked = 0", "marked = 1", "a_job_that_was_held_is_charged_nothing", ()),
    ("next", "order by level, position", "order by position", "within_a_turn_the_level_counts", ()),
    ("keeper", "and state <> 2", "", "a_key_is_free_when_its_job_is_over", ("dead",)),
    ("keeper", "until > ?3", "?3 > 0", "after_the_time_the_next_one_is_accepted_though_the_first_still_waits", ()),
    ("keeper", "where queue", "where 0 and queue", "many_producers_that_race_for_a_key_get_one_job_accepted", ()),
    ("length", HELD_COUNT, "", "jobs_count_wherever_they_wait_or_run", ()),
]


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin[3])
async def test_each_guard_of_a_statement_is_needed(
    suite: Suite, monkeypatch: pytest.MonkeyPatch, twin: tuple[str, str, str, str, tuple[str, ...]]
) -> None:
    statement, guard, without, sentence, arguments = twin
    assert guard in LIMITS[statement]
    monkeypatch.setitem(LIMITS, statement, LIMITS[statement].replace(guard, without))
    with pytest.raises(AssertionError):
        await getattr(suite, f"test_{sentence}")(*arguments)
