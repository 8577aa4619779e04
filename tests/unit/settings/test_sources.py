"""Where settings come from, and which source wins."""

import sys
import types
from pathlib import Path

import pytest

from umbel import Settings, Umbel
from umbel.exceptions import ImproperlyConfigured


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new current folder, and no variables of Umbel's."""
    import os

    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("UMBEL_"):
            monkeypatch.delenv(name)
    return tmp_path


def app(**options: object) -> Umbel:
    return Umbel("proj", set_as_current=False, **options)  # type: ignore[arg-type]


def test_environment_beats_program_beats_file_beats_default(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "umbel.toml").write_text("worker_threads = 2\nworker_processes = 2\nworker_lease = 2\n")
    monkeypatch.setenv("UMBEL_WORKER_THREADS", "4")
    conf = app(worker_threads=3, worker_processes=3).conf
    assert (conf.worker_threads, conf.worker_processes, conf.worker_lease, conf.worker_max_crashes) == (4, 3, 2.0, 3)
    assert conf.origin("worker_threads") == "UMBEL_WORKER_THREADS"
    assert conf.origin("worker_processes") == "Umbel('proj')"
    assert conf.origin("worker_lease") == str(folder / "umbel.toml")
    conf.worker_threads = 9
    assert conf.worker_threads == 4


def test_a_constructor_beats_a_config_source_and_a_later_assignment_beats_both() -> None:
    made = app(worker_threads=3)
    made.config_from_object({"worker_threads": 2, "worker_processes": 2})
    assert (made.conf.worker_threads, made.conf.worker_processes) == (3, 2)
    made.conf.worker_threads = 5
    assert made.conf.worker_threads == 5


def test_settings_are_read_at_their_first_use(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = app(broker="memory://")
    monkeypatch.setenv("UMBEL_WORKER_THREADS", "4")
    (folder / "umbel.toml").write_text("worker_lease = 2\n")
    assert (made.conf.worker_threads, made.conf.worker_lease) == (4, 2.0)
    assert list(folder.iterdir()) == [folder / "umbel.toml"]


def test_pyproject_is_read_where_there_is_no_file_of_our_own(folder: Path) -> None:
    (folder / "pyproject.toml").write_text('[tool.umbel]\napp = "tasks"\nworker_lease = 3\n[tool.other]\nx = 1\n')
    assert app().conf.worker_lease == 3.0
    (folder / "umbel.toml").write_text('app = "tasks"\nworker_lease = 2\n')
    assert app().conf.worker_lease == 2.0


def test_a_pyproject_of_others_is_no_concern(folder: Path) -> None:
    (folder / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert app().conf.worker_lease == 15.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("worker_lease = ", "umbel.toml is not TOML"),
        ("worker_leas = 3", r"worker_leas \(.*umbel\.toml\) is not a setting"),
    ],
)
def test_a_wrong_file_is_an_error_that_names_it(folder: Path, text: str, words: str) -> None:
    (folder / "umbel.toml").write_text(text)
    with pytest.raises(ImproperlyConfigured, match=words):
        _ = app().conf


@pytest.mark.parametrize(
    ("variable", "value", "name", "read"),
    [
        ("UMBEL_BROKER_URL", "memory://env", "broker_url", "memory://env"),
        ("UMBEL_WORKER_LEASE", "2.5", "worker_lease", 2.5),
        ("UMBEL_TASK_ALWAYS_EAGER", "true", "task_always_eager", True),
        ("UMBEL_TASK_ALWAYS_EAGER", "0", "task_always_eager", False),
        ("UMBEL_IMPORTS", "a.b, c", "imports", ("a.b", "c")),
        ("UMBEL_WORKER_CONCURRENCY", "8", "worker_concurrency", 8),
    ],
)
def test_a_variable_stands_for_a_setting(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, name: str, read: object
) -> None:
    monkeypatch.setenv(variable, value)
    assert app().conf[name] == read


def test_a_misspelt_variable_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UMBEL_WORKER_CONCURENCY", "8")
    with pytest.raises(ImproperlyConfigured, match=r"\(UMBEL_WORKER_CONCURENCY\).*did you mean 'worker_concurrency'"):
        _ = app().conf


def test_an_ill_typed_variable_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UMBEL_WORKER_CONCURRENCY", "many")
    with pytest.raises(ImproperlyConfigured, match=r"worker_concurrency is 'many' \(UMBEL_WORKER_CONCURRENCY\)"):
        _ = app().conf


def test_variables_of_others_are_no_concern(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UMBEL_APP", "tasks")
    monkeypatch.setenv("UMBEL_LOGLEVEL", "INFO")
    monkeypatch.setenv("UMBELLA_X", "1")
    assert app().conf.worker_lease == 15.0


def test_a_url_that_is_empty_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UMBEL_BROKER_URL", "")
    monkeypatch.setenv("UMBEL_RESULT_BACKEND", "")
    assert app().conf.broker_url == "sqlite:///proj.umbel.db"
    assert app(broker_url="memory://x").conf.result_backend == "memory://x"


def test_a_url_may_be_in_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "secret").write_text("redis://user:pa55@host/1\n")
    monkeypatch.setenv("UMBEL_BROKER_URL_FILE", str(folder / "secret"))
    conf = app().conf
    assert (conf.broker_url, conf.result_backend) == ("redis://user:pa55@host/1",) * 2
    monkeypatch.setenv("UMBEL_BROKER_URL_FILE", str(folder / "nothing"))
    with pytest.raises(ImproperlyConfigured, match=r"UMBEL_BROKER_URL_FILE names .*nothing, which cannot be read"):
        _ = app().conf


def test_a_module_is_a_source_by_object_and_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("proj_settings")
    vars(module).update(worker_lease=3, BROKER_URL="memory://module", os=1, HELLO=2, json=3)
    monkeypatch.setitem(__import__("sys").modules, "proj_settings", module)
    for source in (module, "proj_settings"):
        made = app()
        made.config_from_object(source)
        assert (made.conf.worker_lease, made.conf.broker_url) == (3.0, "memory://module")
        assert made.conf.origin("worker_lease") == "proj_settings"
    module.__dict__["worker_leas"] = 3
    made = app()
    made.config_from_object("proj_settings")
    with pytest.raises(ImproperlyConfigured, match=r"worker_leas \(proj_settings\) is not a setting"):
        _ = made.conf


def test_a_namespace_takes_its_names_and_no_others() -> None:
    class Config:
        UMBEL_WORKER_LEASE = 3
        umbel_worker_threads = 2
        WORKER_PROCESSES = 9
        DEBUG = True

    made = app(config_source=Config, namespace="UMBEL")
    assert (made.conf.worker_lease, made.conf.worker_threads, made.conf.worker_processes) == (3.0, 2, None)
    made = app()
    made.config_from_object({"UMBEL_WORKER_LEAS": 3}, namespace="UMBEL")
    with pytest.raises(ImproperlyConfigured, match="worker_leas"):
        _ = made.conf


def test_a_source_that_comes_late_is_read_at_once() -> None:
    made = app()
    assert made.conf.worker_lease == 15.0
    made.config_from_object({"worker_lease": 3})
    assert made.conf.worker_lease == 3.0


def test_a_missing_module_is_an_error_unless_silent() -> None:
    made = app()
    made.config_from_object("nowhere.settings", silent=True)
    assert made.conf.worker_lease == 15.0
    with pytest.raises(ImproperlyConfigured, match=r"no module 'nowhere\.settings' to take settings from"):
        made.config_from_object("nowhere.settings")


def test_a_source_may_be_an_attribute_of_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    conf = types.ModuleType("some_conf")
    conf.settings = types.SimpleNamespace(CELERY_WORKER_LEASE=3, DEBUG=True)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "some_conf", conf)
    made = app()
    made.config_from_object("some_conf:settings", namespace="CELERY")
    assert made.conf.worker_lease == 3.0
    with pytest.raises(ImproperlyConfigured, match="'some_conf:nothing' names no settings"):
        made.config_from_object("some_conf:nothing")


@pytest.mark.parametrize("name", ["redis_backend_use_ssl", "CELERY_RESULT_BACKEND", "CELERYD_CONCURRENCY"])
def test_a_module_with_a_setting_of_celerys_that_is_not_here_is_refused(name: str) -> None:
    source = types.SimpleNamespace(**{name: "x", "S3_BUCKET": "its own"})
    made = app()
    made.config_from_object(source)
    with pytest.raises(ImproperlyConfigured, match=name):
        _ = made.conf


def test_a_variable_may_name_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    made = app()
    made.config_from_envvar("UMBEL_TEST_CONFIG", silent=True)
    with pytest.raises(ImproperlyConfigured, match="UMBEL_TEST_CONFIG is not set"):
        made.config_from_envvar("UMBEL_TEST_CONFIG")
    module = types.ModuleType("proj_settings")
    vars(module).update(worker_lease=3)
    monkeypatch.setitem(__import__("sys").modules, "proj_settings", module)
    monkeypatch.setenv("UMBEL_TEST_CONFIG", "proj_settings")
    made.config_from_envvar("UMBEL_TEST_CONFIG")
    assert made.conf.worker_lease == 3.0


def test_the_conf_is_the_settings() -> None:
    assert isinstance(app().conf, Settings)
