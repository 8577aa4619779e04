"""The fixtures of the plugin, as a project uses them."""

from __future__ import annotations

from typing import Any

import pytest

from umbel import Task, Umbel, current_app
from umbel.exceptions import ImproperlyConfigured
from umbel.testing import Captured, VirtualClock, start_worker

pytest_plugins = ["umbel.testing.celery_names"]


@pytest.fixture(scope="session")
def umbel_worker_parameters() -> dict[str, Any]:
    """As a project would override it; the machine may be busy."""
    return {"shutdown_timeout": 60.0}


@pytest.fixture
def double(umbel_app: Umbel) -> Task[[int], int]:
    """A task of this test's app: a shared one would be in the apps of all other tests, too."""

    @umbel_app.task(name="plugin.double")
    def double(number: int) -> int:
        return 2 * number

    return double


def test_each_test_has_an_app_of_its_own_which_is_the_current_one(umbel_app: Umbel, double: Task[[int], int]) -> None:
    assert current_app == umbel_app
    assert double.delay(1).place == "ready"


def test_what_another_test_sent_is_not_there(umbel_app: Umbel, umbel_clock: VirtualClock) -> None:
    assert umbel_clock.run() == 0


@pytest.mark.umbel(task_default_queue="special")
def test_settings_can_be_marked(umbel_app: Umbel) -> None:
    assert umbel_app.conf.task_default_queue == "special"


def test_a_worker_runs_the_jobs_of_the_app(double: Task[[int], int], umbel_worker: object) -> None:
    assert double.delay(21).get(timeout=30) == 42


def test_jobs_are_captured(double: Task[[int], int], umbel_capture: Captured) -> None:
    double.delay(3)
    umbel_capture.assert_sent(double, args=(3,))


def test_time_is_virtual(double: Task[[int], int], umbel_clock: VirtualClock) -> None:
    handle = double.apply_async((4,), countdown=3600)
    umbel_clock.advance("1h")
    assert handle.get() == 8


def test_celerys_names_are_there_when_they_are_asked_for(celery_app: Any, umbel_app: Umbel) -> None:
    assert celery_app is umbel_app


def test_a_trapped_app_may_be_depended_on(umbel_app: Umbel, depends_on_current_app: None) -> None:
    assert current_app == umbel_app


@pytest.mark.parametrize(("pool", "concurrency"), [("prefork", 1), ("solo", 2), ("gevent", 1)])
def test_a_worker_in_a_thread_refuses_what_it_cannot_be(umbel_app: Umbel, pool: str, concurrency: int) -> None:
    with pytest.raises(ImproperlyConfigured, match="threads"), start_worker(umbel_app, concurrency, pool):
        pass
