import os
from typing import Any

import pytest

from umbel.exceptions import ImproperlyConfigured
from umbel.settings import Settings
from umbel.worker.messages import Loaded
from umbel.worker.options import WorkerOptions
from umbel.worker.supervisor.banner import banner
from umbel.worker.supervisor.plan import Plan, make_plan, node_name


def plan(settings: Settings | None = None, **options: Any) -> Plan:
    """What a worker of an app named `shop` with two tasks would do."""
    chosen = settings or Settings(broker_url="sqlite:///shop.db")
    return make_plan(WorkerOptions(app="shop", **options), Loaded("shop", chosen, ["shop.buy", "shop.pay"]))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("umbel@%h", "umbel@box.example.org"),
        ("w1@%n", "w1@box"),
        ("w1@%d", "w1@example.org"),
        pytest.param("w-%p@%h", f"w-{os.getpid()}@box.example.org", id="process id"),
        ("plain", "plain@box.example.org"),
        ("a%%b@c", "a%b@c"),
        ("%x@%", "%x@%"),
    ],
)
def test_a_node_name_is_completed(pattern: str, expected: str) -> None:
    assert node_name(pattern, "box.example.org") == expected


def test_a_worker_serves_the_default_queue() -> None:
    assert plan(Settings(broker_url="sqlite:///x", task_default_queue="mine")).queues == ("mine",)


def test_queues_of_the_command_line_are_served_once_each_and_without_the_excluded() -> None:
    assert plan(queues=("a", "b", "a", "c"), exclude_queues=("b",)).queues == ("a", "c")


def test_a_worker_without_a_queue_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="-X a"):
        plan(queues=("a",), exclude_queues=("a",))


def test_a_queue_name_that_could_reach_other_keys_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="cannot name a queue"):
        plan(queues=("a}:b",))


def test_a_lease_that_leaves_no_time_to_trust_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="worker_lease"):
        plan(Settings(broker_url="sqlite:///x", worker_lease=1.0))


@pytest.mark.parametrize(("lease", "trust"), [(15.0, 13.5), (60.0, 54.0), (3.0, 2.0), (2.0, 1.0)])
def test_trust_ends_before_the_lease(lease: float, trust: float) -> None:
    assert plan(Settings(broker_url="sqlite:///x", worker_lease=lease)).trust == trust


@pytest.mark.parametrize(("typed", "expected"), [(None, 25.0), (3.0, 3.0), (0.0, 0.0)])
def test_the_grace_of_the_command_line_beats_the_setting(typed: float | None, expected: float) -> None:
    assert plan(grace=typed).grace == expected


def test_the_limits_of_the_command_line_beat_the_settings() -> None:
    settings = Settings(
        broker_url="sqlite:///x", task_soft_time_limit=3.0, task_time_limit=9.0, worker_max_memory_per_child=2048
    )
    made = plan(settings, time_limit=5.0, max_tasks_per_child=7)
    assert (made.limits, made.max_tasks, made.max_memory) == ((3.0, 5.0), 7, 2048 * 1024)


def test_a_soft_limit_above_the_hard_one_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"soft_time_limit \(9 s\) is more than time_limit \(5 s\)"):
        plan(soft_time_limit=9.0, time_limit=5.0)


def test_the_banner_shows_what_the_worker_is_and_no_password() -> None:
    url = "redis://me:hunter2@broker/0"
    settings = Settings(broker_url=url, result_backend=url)
    text = banner(plan(settings, hostname="w@h", processes=3, threads=2, queues=("a", "b")), verbose=True)
    assert "hunter2" not in text
    for part in ("w@h", "shop", "redis://me:***@broker/0", "6 (3 processes x 2 threads", "> a", "> b", ". shop.buy"):
        assert part in text


def test_the_banner_names_tasks_only_when_asked() -> None:
    assert "shop.buy" not in banner(plan(), verbose=False)
