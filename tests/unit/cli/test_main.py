import subprocess
import sys
from typing import Any

import click
import pytest

from umbel import __version__
from umbel.cli import main as cli
from umbel.cli.command import Command, Frame
from umbel.exceptions import BrokerUnavailable, ImproperlyConfigured, TaskError, TimeoutError, UmbelError


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Frame]:
    """The frames that the command `probe` was called with."""
    frames: list[Frame] = []

    @click.command(cls=Command)
    @click.option("--code", type=int)
    @click.pass_obj
    def probe(frame: Frame, code: int | None) -> int | None:
        frames.append(frame)
        return code

    monkeypatch.setattr(cli, "import_module", lambda _: sys.modules[__name__])
    monkeypatch.setitem(cli.COMMANDS, "probe", ("here:probe", "Probe."))
    monkeypatch.setattr(sys.modules[__name__], "probe", probe, raising=False)
    return frames


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """The error that the command `fail` raises: the first in the list."""
    errors: list[BaseException] = []

    @click.command(cls=Command)
    @click.pass_obj
    def fail(_: Frame) -> None:
        raise errors[0]

    monkeypatch.setattr(cli, "import_module", lambda _: sys.modules[__name__])
    monkeypatch.setitem(cli.COMMANDS, "fail", ("here:fail", "Fail."))
    monkeypatch.setattr(sys.modules[__name__], "fail", fail, raising=False)
    return errors


@pytest.mark.parametrize(
    "words", [["-A", "tasks", "-q", "probe"], ["probe", "-A", "tasks", "-q"], ["-q", "probe", "-Atasks"]]
)
def test_global_options_stand_before_or_after_the_command(seen: list[Frame], words: list[str]) -> None:
    assert cli.main(words) == 0
    assert seen == [Frame(app="tasks", quiet=True)]


def test_a_global_option_after_the_command_wins(seen: list[Frame]) -> None:
    cli.main(["-A", "before", "probe", "-A", "after"])
    assert seen[0].app == "after"


def test_a_variable_gives_what_the_command_line_leaves_out(seen: list[Frame], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UMBEL_APP", "from_variable")
    cli.main(["probe"])
    cli.main(["probe", "-A", "given"])
    assert [frame.app for frame in seen] == ["from_variable", "given"]


def test_a_broker_on_the_command_line_is_handed_on_as_the_variable(
    seen: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {"UMBEL_BROKER_URL": "memory://old"}
    monkeypatch.setattr("os.environ", environment)
    cli.main(["probe", "-b", "memory://new"])
    assert environment["UMBEL_BROKER_URL"] == "memory://new"


def test_what_a_command_answers_is_the_exit_code(seen: list[Frame]) -> None:
    assert cli.main(["probe", "--code", "7"]) == 7


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ImproperlyConfigured("x"), 2),
        (BrokerUnavailable("x"), 69),
        (TimeoutError("x"), 124),
        (TaskError("x"), 1),
        (ValueError("x"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_each_kind_of_error_has_its_exit_code(failing: list[BaseException], error: BaseException, code: int) -> None:
    failing.append(error)
    assert cli.main(["fail"]) == code


class Wordless(UmbelError):
    """An error of a task that is made again without what it had."""

    def __str__(self) -> str:
        raise AttributeError("code")


def test_an_error_that_cannot_be_shown_is_shown_by_its_arguments(
    failing: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    failing.append(Wordless("no such card", 3))
    assert cli.main(["fail"]) == 1
    assert capsys.readouterr().err == "Error: 'no such card', 3\n"


def test_an_error_is_one_sentence_and_its_traceback_is_for_debug(
    failing: list[BaseException], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing.append(BrokerUnavailable("the broker is away: start it"))
    cli.main(["fail"])
    assert capsys.readouterr().err == "Error: the broker is away: start it\n"
    cli.main(["--debug", "fail"])
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setenv("UMBEL_DEBUG", "1")
    cli.main(["fail"])
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["nosuch"], ["status", "--nosuch"], ["worker", "-c", "0"], ["worker", "-P", "gevent"]]
)
def test_wrong_usage_is_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 2
    assert "Error" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", " ", "a,b", "a b", "@here"])
def test_what_cannot_name_a_worker_is_refused(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert cli.main(["-A", "tasks", "worker", "-n", name]) == 2
    assert "cannot name a worker" in capsys.readouterr().err


def test_what_cannot_name_a_queue_is_refused_before_anybody_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["control", "add_consumer", "no name"]) == 2
    assert "'no name' cannot name a queue" in capsys.readouterr().err


def test_every_command_in_the_table_can_be_imported() -> None:
    context = click.Context(cli.group)
    for name, (_, text) in cli.COMMANDS.items():
        command: Any = cli.group.get_command(context, name)
        assert isinstance(command, Command | click.Group)
        assert command.name == name
        assert text.endswith(".")


def test_help_imports_no_command() -> None:
    code = (
        "import sys; from umbel.cli.main import main; main(['--help']); "
        "found = {n for n in sys.modules if n.startswith('umbel.')}; "
        "print(sorted(found - {'umbel.cli', 'umbel.cli.main', 'umbel.cli.command', 'umbel.exceptions'}))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[]"


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"umbel {__version__}\n"


def test_a_command_of_celerys_that_is_not_here_says_what_to_use_instead(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["-A", "tasks", "flower"]) == 2
    assert "there is no command 'flower': use `umbel dashboard`" in capsys.readouterr().err
    assert not cli._CELERYS.keys() & cli.COMMANDS.keys()
