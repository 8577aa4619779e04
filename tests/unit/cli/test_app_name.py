from pathlib import Path

import pytest

from umbel.cli.app_name import app_name
from umbel.exceptions import ImproperlyConfigured


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_command_line_wins() -> None:
    Path("umbel.toml").write_text('app = "other"')
    assert app_name("tasks") == "tasks"


def test_umbel_toml_beats_pyproject() -> None:
    Path("pyproject.toml").write_text('[tool.umbel]\napp = "in_pyproject"')
    assert app_name(None) == "in_pyproject"
    Path("umbel.toml").write_text('app = "in_umbel_toml"')
    assert app_name(None) == "in_umbel_toml"


def test_no_name_anywhere_says_where_to_give_one() -> None:
    Path("pyproject.toml").write_text("[tool.other]")
    with pytest.raises(ImproperlyConfigured, match=r"-A.*UMBEL_APP.*umbel\.toml"):
        app_name(None)


@pytest.mark.parametrize("text", ["app = 3", "app = ["])
def test_a_broken_file_is_named(text: str) -> None:
    Path("umbel.toml").write_text(text)
    with pytest.raises(ImproperlyConfigured, match=r"project file|umbel\.toml"):
        app_name(None)
