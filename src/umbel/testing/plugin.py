"""The pytest plugin: fixtures with an app in memory, a worker in a thread, captured jobs and virtual time.

Named as Celery's, with ``umbel_`` for ``celery_``; `umbel.testing.celery_names` has them under Celery's own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # a run of tests that uses none of the fixtures does not import Umbel
    from umbel.app.app import Umbel
    from umbel.testing.capturing import Captured
    from umbel.testing.thread_worker import ThreadWorker
    from umbel.testing.virtual_time import VirtualClock

MARKER = "umbel(**settings): settings of the app that the fixture umbel_app makes for this test"


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line("markers", MARKER)


# --- what a project overrides


@pytest.fixture(scope="session")
def umbel_config() -> Mapping[str, Any]:
    """Settings of the apps; override it."""
    return {}


@pytest.fixture(scope="session")
def umbel_parameters() -> Mapping[str, Any]:
    """Arguments of the apps' constructor, beside settings; override it."""
    return {}


@pytest.fixture(scope="session")
def umbel_includes() -> Sequence[str]:
    """Modules with tasks that the apps import; override it."""
    return ()


@pytest.fixture(scope="session")
def umbel_class_tasks() -> Sequence[Any]:
    """Class-based tasks that the apps register; override it."""
    return ()


@pytest.fixture(scope="session")
def umbel_worker_parameters() -> Mapping[str, Any]:
    """Arguments of `umbel.testing.start_worker`; override it."""
    return {}


@pytest.fixture(scope="session")
def umbel_worker_pool() -> str:
    """The pool of the workers, ``solo``, ``threads`` or ``asyncio``; override it."""
    return "solo"


@pytest.fixture(scope="session")
def use_umbel_app_trap() -> bool:
    """Override it with True to make it an error that code uses the current app without `depends_on_current_app`."""
    return False


# --- apps


@pytest.fixture
def umbel_app(
    request: pytest.FixtureRequest,
    umbel_config: Mapping[str, Any],
    umbel_parameters: Mapping[str, Any],
    umbel_includes: Sequence[str],
    umbel_class_tasks: Sequence[Any],
    use_umbel_app_trap: bool,
) -> Iterator[Umbel]:
    """An app of this test alone: jobs and results are in memory, and it is the current one unless that is trapped."""
    settings = dict(umbel_config)
    for marker in reversed(list(request.node.iter_markers("umbel"))):
        settings.update(marker.kwargs)
    with _app(settings, umbel_parameters, umbel_includes, trap=use_umbel_app_trap) as app:
        for each in umbel_class_tasks:
            app.register_task(each)
        yield app


@pytest.fixture(scope="session")
def umbel_session_app(
    umbel_config: Mapping[str, Any],
    umbel_parameters: Mapping[str, Any],
    umbel_includes: Sequence[str],
    umbel_class_tasks: Sequence[Any],
    use_umbel_app_trap: bool,
) -> Iterator[Umbel]:
    """The same, one for all tests."""
    with _app(dict(umbel_config), umbel_parameters, umbel_includes, trap=use_umbel_app_trap) as app:
        for each in umbel_class_tasks:
            app.register_task(each)
        yield app


@pytest.fixture
def depends_on_current_app(umbel_app: Umbel) -> Iterator[None]:
    """Lets the code under test use the current app, which is `umbel_app`, although that is trapped."""
    from umbel.chosen import choose_default

    before = choose_default(umbel_app)
    yield
    choose_default(before)


# --- what runs their jobs


@pytest.fixture
def umbel_worker(
    umbel_app: Umbel, umbel_worker_pool: str, umbel_worker_parameters: Mapping[str, Any]
) -> Iterator[ThreadWorker]:
    """A worker of `umbel_app` in a thread of this process."""
    from umbel.testing.thread_worker import start_worker

    arguments: dict[str, Any] = {"pool": umbel_worker_pool, **umbel_worker_parameters}
    with start_worker(umbel_app, **arguments) as worker:
        yield worker


@pytest.fixture(scope="session")
def umbel_session_worker(
    umbel_session_app: Umbel, umbel_worker_pool: str, umbel_worker_parameters: Mapping[str, Any]
) -> Iterator[ThreadWorker]:
    """A worker of `umbel_session_app`, one for all tests."""
    from umbel.testing.thread_worker import start_worker

    arguments: dict[str, Any] = {"pool": umbel_worker_pool, **umbel_worker_parameters}
    with start_worker(umbel_session_app, **arguments) as worker:
        yield worker


@pytest.fixture
def umbel_capture(umbel_app: Umbel) -> Iterator[Captured]:
    """What `umbel_app` sends is captured, see `umbel.testing.capture`."""
    from umbel.testing.capturing import capture

    with capture(umbel_app) as sent:
        yield sent


@pytest.fixture
def umbel_clock(umbel_app: Umbel) -> Iterator[VirtualClock]:
    """The jobs of `umbel_app` run in virtual time, see `umbel.testing.virtual`."""
    from umbel.testing.virtual_time import virtual

    with virtual(umbel_app) as clock:
        yield clock


class _Trap:
    """Stands for the current app where a test must not use one."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(
            f"the current app was asked for {name!r} although use_umbel_app_trap is on: name an app, "
            "or take the fixture depends_on_current_app"
        )


@contextlib.contextmanager
def _app(
    settings: Mapping[str, Any], parameters: Mapping[str, Any], includes: Sequence[str], *, trap: bool
) -> Generator[Umbel]:
    from umbel.app.app import Umbel
    from umbel.app.registry import import_all
    from umbel.brokers.memory import MemoryBroker
    from umbel.chosen import choose_default
    from umbel.engines.memory import Space
    from umbel.stores.memory import MemoryStore
    from umbel.testing.placing import placed

    arguments: dict[str, Any] = {"main": "umbel.tests", "set_as_current": False, **parameters, **settings}
    space = Space()
    places = contextlib.ExitStack()
    if not {"broker", "broker_url"} & arguments.keys():
        arguments["broker_url"] = "memory://"
        places.enter_context(placed(app := Umbel(**arguments), MemoryBroker(space), MemoryStore(space)))
    else:
        app = Umbel(**arguments)
    before = choose_default(_Trap() if trap else app)
    try:
        import_all(includes)
        yield app
    finally:
        choose_default(before)
        app.close()
        places.close()
