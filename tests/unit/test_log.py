import io
import json
import logging
from collections.abc import Iterator
from contextlib import redirect_stderr
from pathlib import Path
from typing import NoReturn

import pytest

from umbel import log
from umbel.exceptions import ImproperlyConfigured
from umbel.model.failure import capture
from umbel.model.job import Counts, Delivery
from umbel.model.outcome import Failed, Ignored, Outcome, Parked, Released, Retried, Revoked, Succeeded
from umbel.request import Request, running
from umbel.wire.envelope import Envelope


class Stderr(io.StringIO):
    """The stderr of a process without pytest, which adds its own handlers to the root logger for each test."""

    def set_up(self, loglevel: str, logformat: str = "auto", logfile: str = "", *, color: bool | None = None) -> None:
        """Set up with this stream as stderr."""
        root = logging.getLogger()
        root.handlers = [each for each in root.handlers if each.name == "umbel"]
        with redirect_stderr(self):
            log.setup(loglevel, logformat, logfile, color)


@pytest.fixture
def stderr() -> Iterator[Stderr]:
    """An empty stderr; the levels and handlers are restored at the end."""
    root, ours = logging.getLogger(), logging.getLogger("umbel")
    kept = root.handlers[:], root.level, ours.level
    yield Stderr()
    root.handlers, level, our_level = kept
    root.setLevel(level)
    ours.setLevel(our_level)


class Add:
    name = "tasks.add"
    app: object = None

    def encode_result(self, value: object) -> bytes:
        raise NotImplementedError


@pytest.fixture
def inside_a_job() -> Iterator[None]:
    """The context of a job that was retried twice."""
    delivery = Delivery("id-1", "mail", 9, 1, b"", Counts(retries=2))
    token = running.set(Request(Add(), delivery, Envelope("tasks.add"), [], {}, "umbel@here"))
    yield
    running.reset(token)


def failed(message: str) -> Failed:
    try:
        break_with(message)
    except ValueError as error:
        return Failed(capture(error), 0.5)


def break_with(message: str) -> NoReturn:
    raise ValueError(message)


def lines(stderr: Stderr) -> list[dict[str, object]]:
    return [json.loads(line) for line in stderr.getvalue().splitlines()]


def test_a_configured_root_logger_is_left_alone(stderr: Stderr) -> None:
    root = logging.getLogger()
    own = logging.StreamHandler(io.StringIO())
    root.handlers = [own]
    root.setLevel(logging.ERROR)
    log.setup("debug")
    assert own in root.handlers
    assert not any(each.name == "umbel" for each in root.handlers)
    assert root.level == logging.ERROR
    assert logging.getLogger("umbel").level == logging.DEBUG


def test_without_a_terminal_the_log_is_json(stderr: Stderr) -> None:
    stderr.set_up("INFO")
    logging.getLogger("mine").info("hello %s", "you", extra={"color": "red", "odd": object})
    line = lines(stderr)[0]
    assert line["message"] == "hello you"
    assert line["level"] == "INFO"
    assert line["logger"] == "mine"
    assert line["color"] == "red"
    assert "object" in str(line["odd"])
    assert str(line["time"]).endswith("Z")


def test_setting_up_twice_shows_each_record_once(stderr: Stderr) -> None:
    stderr.set_up("INFO", "json")
    stderr.set_up("WARNING", "json")
    logging.getLogger("mine").info("not shown")
    logging.getLogger("mine").warning("shown")
    assert [line["message"] for line in lines(stderr)] == ["shown"]


@pytest.mark.usefixtures("inside_a_job")
def test_every_record_inside_a_job_carries_the_job(stderr: Stderr) -> None:
    stderr.set_up("INFO", "json")
    logging.getLogger("some.library").info("working")
    line = lines(stderr)[0]
    assert {name: line[name] for name in ("task_id", "task_name", "queue", "attempt")} == {
        "task_id": "id-1", "task_name": "tasks.add", "queue": "mail", "attempt": 3,
    }  # fmt: skip


@pytest.mark.usefixtures("inside_a_job")
def test_a_field_of_the_callers_own_stays(stderr: Stderr) -> None:
    stderr.set_up("INFO", "json")
    logging.getLogger("mine").info("working", extra={"queue": "at the baker's"})
    assert lines(stderr)[0]["queue"] == "at the baker's"


@pytest.mark.usefixtures("inside_a_job")
def test_a_task_logger_carries_the_job_into_foreign_handlers(stderr: Stderr) -> None:
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(logging.Formatter("%(task_id)s %(message)s"))
    logger = log.get_task_logger("a.task.logger")
    assert log.get_task_logger("a.task.logger") is logger
    assert len(logger.filters) == 1
    logger.addHandler(handler)
    logger.warning("hello")
    logger.removeHandler(handler)
    assert text.getvalue() == "id-1 hello\n"


@pytest.mark.usefixtures("inside_a_job")
def test_text_names_the_job_before_a_tasks_own_message(stderr: Stderr) -> None:
    stderr.set_up("INFO", "text")
    logging.getLogger("mine").info("working")
    log.ended("tasks.add", "id-1", Succeeded(b"", 0.012))
    own, ours = stderr.getvalue().splitlines()
    assert own.endswith("] tasks.add[id-1]: working")
    assert ours.endswith("] Task tasks.add[id-1] succeeded in 0.012s")
    assert ": INFO/" in ours


def test_colour_is_for_terminals_unless_it_is_asked_for(stderr: Stderr, monkeypatch: pytest.MonkeyPatch) -> None:
    stderr.set_up("INFO", "text")
    logging.getLogger("mine").error("plain")
    stderr.set_up("INFO", "text", color=True)
    logging.getLogger("mine").error("red")
    monkeypatch.setattr(stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    stderr.set_up("INFO")
    logging.getLogger("mine").error("plain again")
    plain, red, again = stderr.getvalue().splitlines()
    assert "\033[31m" in red
    assert "\033" not in plain + again


def test_a_traceback_is_part_of_the_record(stderr: Stderr) -> None:
    stderr.set_up("INFO", "json")
    try:
        break_with("broken")
    except ValueError:
        logging.getLogger("mine").exception("oh")
    assert "ValueError: broken" in str(lines(stderr)[0]["exception"])


@pytest.mark.parametrize(
    ("outcome", "level", "text"),
    [
        (Succeeded(b"", 1.5), "INFO", "Task t[i] succeeded in 1.500s"),
        (Retried(failed("away").failure, 2.0), "INFO", "Task t[i] retry: Retry in 2s: ValueError: away"),
        (Retried(None, 0.25), "INFO", "Task t[i] retry: Retry in 0.25s"),
        (Revoked("expired"), "INFO", "Task t[i] revoked: expired"),
        (Ignored(), "INFO", "Task t[i] ignored"),
        (Released(), "DEBUG", "Task t[i] was not started and goes back to its queue"),
        (Parked("t"), "ERROR", "Task t[i] is not registered here: the job waits for a worker that knows it"),
    ],
)
def test_each_outcome_has_a_line_in_celerys_words(stderr: Stderr, outcome: Outcome, level: str, text: str) -> None:
    stderr.set_up("DEBUG", "json")
    log.ended("t", "i", outcome)
    line = lines(stderr)[0]
    assert (line["level"], line["message"], line["task_id"], line["task_name"]) == (level, text, "i", "t")


def test_a_failure_is_logged_with_its_traceback(stderr: Stderr) -> None:
    stderr.set_up("INFO", "json")
    log.ended("t", "i", failed("broken"))
    message = str(lines(stderr)[0]["message"])
    assert message.startswith("Task t[i] raised unexpected: ValueError: broken\nTraceback (most recent call last):")
    assert lines(stderr)[0]["run"] == 0.5


def test_what_nobody_reads_makes_no_record(stderr: Stderr, monkeypatch: pytest.MonkeyPatch) -> None:
    stderr.set_up("WARNING", "json")
    monkeypatch.setattr(log, "_job", lambda *_: pytest.fail("a line was prepared"))
    log.received("t", "i")
    log.ended("t", "i", Succeeded(b"", 0.1))
    log.ended("t", "i", Retried(None, 1.0))
    assert not stderr.getvalue()


@pytest.mark.parametrize("name", ["info", "INFO", "Critical", "fatal"])
def test_levels_are_known_in_any_case(name: str) -> None:
    assert log.level_of(name) >= logging.INFO


def test_an_unknown_level_or_format_is_refused_with_those_that_exist(stderr: Stderr) -> None:
    with pytest.raises(ImproperlyConfigured, match="DEBUG, INFO"):
        stderr.set_up("loud")
    with pytest.raises(ImproperlyConfigured, match="text, json"):
        stderr.set_up("INFO", "xml")


def test_a_log_file_that_cannot_be_written_is_named(stderr: Stderr, tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"no/such/folder.*-f"):
        stderr.set_up("INFO", logfile=str(tmp_path / "no/such/folder"))


def test_the_log_file_is_appended_to(stderr: Stderr, tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    path.write_text("before\n")
    stderr.set_up("INFO", "text", str(path))
    logging.getLogger("mine").info("after")
    logging.getLogger().handlers[0].close()
    assert path.read_text().startswith("before\n[")
    assert not stderr.getvalue()
