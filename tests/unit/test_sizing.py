from pathlib import Path

import pytest

from umbel.exceptions import ImproperlyConfigured
from umbel.settings import Settings
from umbel.worker.options import WorkerOptions
from umbel.worker.sizing import Sizing, autoscale_limits, checked_pool, resolve, usable_cpus


def sized(settings: Settings | None = None, **given: int | str) -> Sizing:
    return resolve(WorkerOptions(app="tasks", **given), settings or Settings())  # type: ignore[arg-type]


def test_prefork_makes_one_child_a_slot() -> None:
    assert sized(concurrency=3) == Sizing(processes=3, threads=1, async_slots=100)


def test_prefork_uses_the_cpus_when_nobody_says_how_many() -> None:
    assert sized() == Sizing(processes=usable_cpus(), threads=1, async_slots=100)


def test_threads_makes_one_child_with_all_slots() -> None:
    assert sized(pool="threads", concurrency=8) == Sizing(processes=1, threads=8, async_slots=100)


def test_solo_is_one_slot_whatever_the_settings_say() -> None:
    assert sized(Settings(worker_concurrency=8), pool="solo") == Sizing(processes=1, threads=1, async_slots=100)


def test_solo_with_a_concurrency_on_the_command_line_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="-P threads"):
        sized(pool="solo", concurrency=2)


def test_asyncio_counts_async_slots() -> None:
    assert sized(pool="asyncio", concurrency=500) == Sizing(processes=1, threads=1, async_slots=500)
    assert sized(Settings(worker_async_concurrency=7), pool="asyncio") == Sizing(1, 1, 7)


def test_explicit_numbers_beat_the_concurrency() -> None:
    assert sized(concurrency=8, processes=2, threads=4) == Sizing(processes=2, threads=4, async_slots=100)


def test_settings_fill_what_the_command_line_leaves_out() -> None:
    settings = Settings(worker_concurrency=3, worker_threads=5, worker_async_concurrency=9)
    assert sized(settings) == Sizing(processes=3, threads=5, async_slots=9)
    assert sized(settings, processes=1) == Sizing(processes=1, threads=5, async_slots=9)


def test_a_concurrency_on_the_command_line_beats_the_numbers_of_the_settings() -> None:
    assert sized(Settings(worker_processes=2, worker_threads=5), concurrency=8) == Sizing(8, 1, 100)


@pytest.mark.parametrize(
    ("pool", "instead"), [("gevent", "-P asyncio"), ("Eventlet", "-P asyncio"), ("frok", "prefork")]
)
def test_a_pool_that_does_not_exist_is_refused_with_its_replacement(pool: str, instead: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=instead):
        checked_pool(pool)


def test_processes_is_another_name_of_prefork() -> None:
    assert sized(pool="Processes", concurrency=2) == Sizing(processes=2, threads=1, async_slots=100)


def test_a_size_of_nothing_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="async_slots"):
        sized(Settings(worker_async_concurrency=0))


@pytest.mark.parametrize(
    ("quota", "most"), [("50000 100000", 1), ("100000 100000", 1), ("max 100000", 10_000), ("", 10_000)]
)
def test_the_quota_of_the_control_group_limits_the_cpus(tmp_path: Path, quota: str, most: int) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    assert 1 <= usable_cpus(tmp_path) <= most


def test_without_a_control_group_the_affinity_counts(tmp_path: Path) -> None:
    assert usable_cpus(tmp_path) >= 1


@pytest.mark.parametrize(("text", "limits"), [("10,3", (10, 3)), ("10", (10, 1)), ("10,0", (10, 1))])
def test_autoscale_keeps_one_child_at_least(text: str, limits: tuple[int, int]) -> None:
    assert autoscale_limits(text) == limits


@pytest.mark.parametrize("text", ["3,-1", "-3,-5", "0", "1,2", "many", "3,2,1", ""])
def test_autoscale_with_bounds_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="MAX,MIN"):
        autoscale_limits(text)
