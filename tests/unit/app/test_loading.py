"""What `-A` names is found, and what is not found is told with what was tried."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from umbel import Umbel
from umbel.app.loading import find_app, load_app
from umbel.exceptions import ImproperlyConfigured

APP = "from umbel import Umbel\n{name} = Umbel('{main}', broker='memory://', set_as_current=False)\n"

Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write modules into the current folder, which is a new one; modules are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    path = list(sys.path)

    def write(**files: str) -> None:
        for name, text in files.items():
            file = tmp_path.joinpath(*name.split("__")).with_suffix(".py")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    yield write
    sys.path[:] = path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def app(name: str = "app", main: str = "main") -> str:
    return APP.format(name=name, main=main)


@pytest.mark.parametrize("name", ["mod", "mod:app", "mod.app"])
def test_an_app_is_found_by_module_and_attribute(write: Write, name: str) -> None:
    write(mod=app())
    assert find_app(name).main == "main"


@pytest.mark.parametrize("name", ["pkg.jobs", "pkg.jobs:queue", "pkg.jobs.queue"])
def test_an_app_is_found_in_a_package(write: Write, name: str) -> None:
    write(pkg__init="", pkg__jobs=app("queue"))
    assert find_app(name).main == "main"


@pytest.mark.parametrize("module", ["umbel", "tasks"])
def test_a_package_is_searched_for_its_usual_modules(write: Write, module: str) -> None:
    write(**{"proj____init__": "", f"proj__{module}": app("celery")})
    assert find_app("proj").main == "main"


def test_app_comes_before_other_names(write: Write) -> None:
    write(mod=app("other", "wrong") + app("app", "right"))
    assert find_app("mod").main == "right"


def test_several_apps_are_an_error_that_lists_them(write: Write) -> None:
    write(mod=app("one") + app("two"))
    with pytest.raises(ImproperlyConfigured, match="several apps, name one of mod:one, mod:two"):
        find_app("mod")


def test_one_app_under_two_names_is_one(write: Write) -> None:
    write(mod=app("one") + "two = one\n")
    assert find_app("mod").main == "main"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere", "no app found. Tried: there is no module nowhere. The folder is "),
        ("nowhere.tasks.app", "there is no module nowhere.tasks.app; there is no module nowhere.tasks"),
        ("empty", "empty has no Umbel app in it"),
        ("empty:app", "empty:app is not there"),
        ("empty:wrong", "empty:wrong is int"),
        ("empty:", "names no app"),
        ("", "names no app"),
    ],
)
def test_what_is_not_there_is_told_with_what_was_tried(write: Write, name: str, words: str) -> None:
    write(empty="wrong = 3\n")
    with pytest.raises(ImproperlyConfigured, match=words):
        find_app(name)


@pytest.mark.parametrize("name", ["broken", "broken:app", "broken.app", "pkg.broken"])
def test_an_error_of_the_module_itself_is_the_cause(write: Write, name: str) -> None:
    write(broken="1 / 0\n", pkg__broken="1 / 0\n")
    with pytest.raises(ImproperlyConfigured, match=r"importing it fails: ZeroDivisionError") as caught:
        find_app(name)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_module_that_imports_something_missing_is_not_called_missing_itself(write: Write) -> None:
    write(needy="import not_installed_anywhere\n")
    with pytest.raises(ImproperlyConfigured, match="No module named 'not_installed_anywhere'"):
        find_app("needy")


def test_load_app_imports_what_defines_tasks(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        mod="from umbel import Umbel\n"
        "app = Umbel('m', broker='memory://', include=['first'], imports=['second'])\n"
        "app.autodiscover_tasks(['with_tasks', 'without'])\n"
        "app.autodiscover_tasks(lambda: ['with_jobs'], related_name='jobs')\n",
        first="from mod import app\napp.task(name='first')(lambda: 1)\n",
        second="from umbel import shared_task\nshared_task(name='second')(lambda: 1)\n",
        with_tasks____init__="",
        with_tasks__tasks="from mod import app\napp.task(name='third')(lambda: 1)\n",
        without____init__="",
        with_jobs____init__="",
        with_jobs__jobs="from mod import app\napp.task(name='fourth')(lambda: 1)\n",
    )
    from umbel import chosen, current

    monkeypatch.setattr(chosen, "_default", None)
    monkeypatch.setattr(current, "_shared", [])
    loaded = load_app("mod")
    assert {"first", "second", "third", "fourth"} <= set(loaded.tasks)
    assert current.get_current_app() is loaded


def test_a_package_to_discover_must_be_there() -> None:
    app = Umbel("m", broker="memory://", set_as_current=False)
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        app.autodiscover_tasks(["nowhere"], force=True)


DJANGO = """
import os, sys
sys.path.insert(0, os.getcwd())
os.environ["DJANGO_SETTINGS_MODULE"] = "proj.settings"
from umbel import Umbel as Celery
app = Celery("proj")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.load_tasks()
print(app.conf.task_default_queue, *app.tasks)
"""


def test_a_django_project_moves_by_its_import(tmp_path: Path) -> None:
    for package in ("proj", "shop"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "proj/settings.py").write_text(
        "SECRET_KEY = 'x'\nINSTALLED_APPS = ['django.contrib.contenttypes', 'shop']\n"
        "CELERY_BROKER_URL = 'memory://dj'\nCELERY_TASK_DEFAULT_QUEUE = 'shop'\nCELERY_ACCEPT_CONTENT = ['json']\n"
    )
    (tmp_path / "shop/models.py").write_text(
        "from django.db import models\nclass Order(models.Model):\n    total = models.IntegerField()\n"
    )
    (tmp_path / "shop/tasks.py").write_text(
        "from umbel import shared_task\nfrom shop.models import Order\n@shared_task\ndef pay(): ...\n"
    )
    done = subprocess.run([sys.executable, "-c", DJANGO], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("shop shop.tasks.pay\n", "")


def test_no_packages_are_an_error_outside_of_django(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    with pytest.raises(ImproperlyConfigured, match=r"DJANGO_SETTINGS_MODULE is not set: name the packages"):
        Umbel("m", set_as_current=False).autodiscover_tasks()
