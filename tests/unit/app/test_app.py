"""The app: where it keeps jobs and results, and that it opens nothing before it must."""

import os
import threading
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from umbel import Umbel
from umbel.app.connections import default_url, same_engine
from umbel.app.lazy import lazy
from umbel.brokers.memory import MemoryBroker
from umbel.exceptions import ImproperlyConfigured
from umbel.settings import Settings


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def app(*args: Any, **options: Any) -> Umbel:
    return Umbel(*args, set_as_current=False, **options)


def test_without_a_broker_jobs_are_in_a_file_named_after_the_app() -> None:
    made = app("my_tasks")
    assert (made.conf.broker_url, made.conf.result_backend) == ("sqlite:///my_tasks.umbel.db",) * 2
    assert made.same_engine


@pytest.mark.parametrize(
    ("main", "url"),
    [
        ("my_tasks", "sqlite:///my_tasks.umbel.db"),
        ("a/../b c", "sqlite:///a_.._b_c.umbel.db"),
        ("..", "sqlite:///umbel.db"),
        (None, "sqlite:///umbel.db"),
    ],
)
def test_the_name_of_the_file_is_safe(main: str | None, url: str) -> None:
    assert default_url(main) == url


def test_results_follow_the_broker() -> None:
    made = app("m", broker="memory://x")
    assert made.conf.result_backend == "memory://x"
    assert made.same_engine


@pytest.mark.parametrize(
    ("broker", "backend", "same"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0", True),
        ("redis://localhost", "redis://127.0.0.1:6379/0", True),
        ("redis://user:a@host/1", "redis://host/1", True),
        ("redis://host/1", "redis://host?db=1", True),
        ("redis://host/1", "redis://host/2", False),
        ("redis://host/1", "redis://other/1", False),
        ("redis://host:1/0", "redis://host:2/0", False),
        ("redis://host/0", "sqlite:///x.db", False),
        ("sqlite:///x.db", "sqlite:///./x.db", True),
        ("sqlite:///x.db", "sqlite:///y.db", False),
        ("memory://", "memory://", True),
        ("memory://a", "memory://b", False),
        ("memory://a", "disabled://", True),
    ],
)
def test_one_place_is_told_from_two(broker: str, backend: str, same: bool) -> None:
    settings = Settings()
    settings.update(broker_url=broker, result_backend=backend)
    assert same_engine(settings) is same


def test_a_relative_file_is_the_absolute_one(tmp_path: Path) -> None:
    settings = Settings()
    settings.update(broker_url="sqlite:///x.db", result_backend=f"sqlite:///{tmp_path}/x.db")
    assert same_engine(settings)


def test_nothing_is_opened_before_it_is_used(tmp_path: Path) -> None:
    made = app("my_tasks")
    made.task(lambda: 1)
    assert made.conf.worker_lease
    assert list(tmp_path.iterdir()) == []
    made.close()


def test_results_follow_the_jobs_to_another_broker() -> None:
    made = app("m")
    assert made.conf.result_backend == made.conf.broker_url == "sqlite:///m.umbel.db"
    made.conf.broker_url = "redis://one"
    assert made.conf.result_backend == "redis://one"
    made.conf.update(broker_url="redis://two")
    assert made.conf.result_backend == "redis://two"
    made.conf.result_backend = "redis://results"
    made.conf.broker_url = "redis://three"
    assert (made.conf.result_backend, made.conf.origin("result_backend")) == ("redis://results", "app.conf")


def test_results_that_are_turned_off_later_are_ignored_until_they_are_turned_on() -> None:
    made = app("m")
    ignored = [made.conf.task_ignore_result]
    for backend in ("disabled://", "redis://results"):
        made.conf.result_backend = backend
        ignored.append(made.conf.task_ignore_result)
    assert ignored == [False, True, False]


def test_reading_the_same_settings_again_changes_nothing(tmp_path: Path) -> None:
    source = {"broker_url": "redis://one", "worker_lease": 20, "worker_lost_wait": 3}
    made = app("m")
    made.config_from_object(source)
    before = made.conf.table(), made.conf.moot
    for _ in range(2):
        made.config_from_object(source)
        made.conf.update(source)
    assert (made.conf.table(), made.conf.moot) == before
    assert made.conf.result_backend == "redis://one"


def test_an_unknown_scheme_is_an_error_that_names_those_that_are_known() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"no broker knows .* 'sqs' of 'sqs://u:\*\*\*@h': use"):
        _ = app("m", broker="sqs://u:pa55@h").broker


def test_a_broker_may_be_an_instance_and_wants_a_backend_then() -> None:
    from umbel.engines.memory import space

    broker = MemoryBroker(space("memory://instance"))
    made = app("m", broker=broker)
    assert made.broker is broker
    assert made.conf.broker_url == ""
    with pytest.raises(ImproperlyConfigured, match="give backend="):
        _ = made.store
    both = app("m", broker=broker, backend="memory://instance")
    assert both.store is both.store
    assert not both.same_engine


def test_close_gives_back_what_was_opened_and_only_that() -> None:
    closed: list[str] = []

    class Closing:
        def close(self) -> None:
            closed.append("broker")

        async def aclose(self) -> None:
            closed.append("abroker")

    with app("m", broker=Closing(), backend="memory://"):
        pass
    assert closed == ["broker"]


async def test_aclose_gives_back_the_connections_of_the_loop() -> None:
    async with app("m", broker="memory://") as made:
        await made.broker.heartbeat([], ["q"], 1)


def test_moot_settings_are_listed_once_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    made = app("m", broker="memory://")
    made.config_from_object({"worker_lost_wait": 3, "beat_sync_every": 1})
    with caplog.at_level("INFO", "umbel"):
        assert made.conf
        assert made.conf
    assert [record.getMessage() for record in caplog.records] == [
        "settings that tune nothing in Umbel: worker_lost_wait, beat_sync_every"
    ]


def test_a_lazy_attribute_is_made_once_whatever_threads_ask() -> None:
    made: list[int] = []
    together = threading.Barrier(4)

    class Holder:
        @lazy
        def value(self) -> object:
            """A value."""
            made.append(1)
            return object()

    holder = Holder()
    seen: list[object] = []

    def ask() -> None:
        together.wait()
        seen.append(holder.value)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert len({id(value) for value in seen}) == 1
    assert Holder.value.__doc__ == "A value."


def test_a_forked_process_has_a_name_of_its_own() -> None:
    from umbel.calling import process

    assert process.origin == f"gen{os.getpid()}@{os.uname().nodename}"
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, process.origin.encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 1000).decode().startswith(f"gen{pid}@")
    os.close(read)
    os.close(write)


def test_the_apps_repr_has_its_name() -> None:
    assert "my_tasks" in repr(app("my_tasks"))


def test_an_unknown_option_of_the_constructor_is_an_error() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"worker_concurency \(Umbel\('m'\)\).*did you mean"):
        app("m", worker_concurency=3)


def test_what_celerys_app_has_and_umbels_has_not_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(AttributeError, match=r"worker_main of Celery's app is not supported: workers are started by"):
        _ = app("m").worker_main
    assert not hasattr(app("m"), "backend")


def test_the_class_of_tasks_can_be_extended_and_assigned_as_in_celery() -> None:
    made = app("m", broker="memory://m")

    class Counted(made.Task):  # type: ignore[name-defined,misc]
        abstract = True

    made.Task = Counted
    assert isinstance(made.task(lambda: 1, name="one"), Counted)  # type: ignore[call-overload]


def test_several_urls_are_no_broker() -> None:
    with pytest.raises(TypeError, match="broker: give one URL"):
        app("m", broker=["redis://a", "redis://b"])


@pytest.mark.parametrize(
    ("module", "name", "words"),
    [("umbel", "Celery", "from umbel import Umbel as Celery"), ("umbel.exceptions", "CeleryError", "use UmbelError")],
)
def test_a_name_of_celerys_that_is_not_here_is_an_error_that_says_what_to_do(
    module: str, name: str, words: str
) -> None:
    with pytest.raises(ImportError, match=words):
        getattr(import_module(module), name)
