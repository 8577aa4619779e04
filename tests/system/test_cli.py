"""The command line as a person meets it: real processes, an embedded file, a real Redis."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Server

TASKS = """
import time
from umbel import Umbel

app = Umbel("my_tasks")

@app.task
def add(x: int, y: int) -> int:
    return x + y

@app.task
def fail() -> None:
    raise ValueError("no such thing")

@app.task
def hold(path: str) -> None:
    import pathlib
    while not pathlib.Path(path).exists():
        time.sleep(0.01)
"""
DEADLINE_SECONDS = 60.0
HEARING = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
"""Starts a program that hears Ctrl-C, also where the tests run in the background of a shell, which has it ignored."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with tasks.py."""
    (tmp_path / "tasks.py").write_text(TASKS)
    return tmp_path


def environment(**variables: str) -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if not name.startswith("UMBEL_")}, **variables}


def umbel(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "umbel", *words],
        cwd=folder, env=environment(**variables), capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip


@contextmanager
def worker(folder: Path, *words: str, **variables: str) -> Generator[subprocess.Popen[str]]:
    """A worker for as long as the block lasts; its log goes to worker.log."""
    with (folder / "worker.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "umbel", *words],
            cwd=folder,
            env=environment(**variables),
            stdout=log,
            stderr=log,
            text=True,
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(DEADLINE_SECONDS)
            finally:
                process.kill()


def eventually(look: Callable[[], Any], what: str) -> Any:
    """What *look* answers as soon as that is true."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    pytest.fail(f"{what} did not happen within {DEADLINE_SECONDS:g} s")


def status(folder: Path, *words: str, **variables: str) -> dict[str, Any]:
    done = umbel(folder, *(words or ("-A", "tasks")), "status", "--json", **variables)
    assert done.returncode in {0, 69}, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def children(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [child for worker in found["workers"] for child in worker["children"]]


def test_help_takes_less_than_150_ms() -> None:
    def once() -> float:
        # The processor's time, which other tests beside this one do not stretch; nothing in it waits.
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "umbel", "--help"], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    assert any(once() < 0.150 for _ in range(30))


@pytest.mark.parametrize(
    "words", [("-A", "tasks", "worker", "--loglevel=info"), ("worker", "-l", "INFO", "-A", "tasks:app", "-c", "1")]
)
def test_a_worker_runs_what_is_called(project: Path, words: tuple[str, ...]) -> None:
    with worker(project, *words) as process:
        done = umbel(project, "-A", "tasks", "call", "tasks.add", "-a", "[4, 6]", "--wait", "--timeout", "100")
        assert (done.stdout, done.returncode) == ("10\n", 0), done.stderr + (project / "worker.log").read_text()
    assert process.returncode == 0
    log = (project / "worker.log").read_text()
    assert "succeeded in" in log
    assert "app:         my_tasks" in log


def test_a_call_prints_an_id_whose_result_can_be_asked_for(project: Path) -> None:
    with worker(project, "-A", "tasks", "worker"):
        sent = umbel(project, "-A", "tasks", "call", "tasks.add", "-k", '{"x": 1, "y": 2}').stdout.strip()
        done = umbel(project, "-A", "tasks", "result", sent, "--timeout", "100")
    assert (done.stdout, done.returncode) == ("3\n", 0), done.stderr
    found = json.loads(umbel(project, "-A", "tasks", "result", sent, "--json").stdout)
    assert found == {
        "id": sent, "state": "SUCCESS", "place": "ended", "result": 3, "error": None, "traceback": None
    }  # fmt: skip


def test_the_result_of_an_unknown_job_is_wrong_usage(project: Path) -> None:
    done = umbel(project, "-A", "tasks", "result", "nope")
    assert done.returncode == 2, done.stderr
    assert "job nope is unknown" in done.stderr


def test_a_job_that_failed_shows_its_error(project: Path) -> None:
    with worker(project, "-A", "tasks", "worker"):
        done = umbel(project, "-A", "tasks", "call", "tasks.fail", "--wait", "--timeout", "100")
    assert done.returncode == 1
    assert "ValueError: no such thing" in done.stderr
    assert "raised unexpected: ValueError: no such thing" in (project / "worker.log").read_text()


def test_a_result_that_does_not_come_in_time_is_124(project: Path) -> None:
    done = umbel(project, "-A", "tasks", "call", "tasks.add", "-a", "[1, 2]", "--wait", "--timeout", "0.2")
    assert done.returncode == 124, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("engine", ["embedded", "redis"])
def test_status_shows_queues_workers_and_what_runs(project: Path, engine: str, redis_url: str) -> None:
    variables = {"UMBEL_BROKER_URL": redis_url} if engine == "redis" else {}
    release = project / "release"
    with worker(project, "-A", "tasks", "worker", "-c", "1", "--threads", "2", **variables):
        held = [
            umbel(
                project, "-A", "tasks", "call", "tasks.hold", "-a", json.dumps([str(release)]), **variables
            ).stdout.strip()
            for _ in range(2)
        ]
        umbel(project, "-A", "tasks", "call", "tasks.add", "-a", "[1, 2]", "--countdown", "600", **variables)

        def both_running() -> dict[str, Any] | None:
            found = status(project, **variables)
            ids = [job["id"] for child in children(found) for job in child["running"]]
            return found if sorted(ids) == sorted(held) else None

        try:
            found = eventually(both_running, "that status shows both jobs")
        finally:
            release.touch()
        text = umbel(project, "-A", "tasks", "status", **variables)
    (queue,) = found["queues"]
    assert (queue["queue"], queue["ready"], queue["delayed"], queue["running"]) == ("default", 0, 1, 2)
    (child,) = children(found)
    assert (child["threads"], child["async_slots"], child["queues"]) == (2, 100, ["default"])
    assert child["running"][0]["task"] == "tasks.hold"
    assert text.returncode == 0
    assert "QUEUE" in text.stdout
    assert "WORKER" in text.stdout


def test_status_without_a_worker_is_69_and_shows_the_age_of_the_oldest(project: Path) -> None:
    umbel(project, "-A", "tasks", "call", "tasks.add", "-a", "[1, 2]")
    done = umbel(project, "-A", "tasks", "status")
    assert done.returncode == 69
    assert "no worker is running" in done.stdout
    (queue,) = status(project)["queues"]
    assert queue["ready"] == 1
    assert 0 <= queue["oldest_seconds"] < 100


def test_status_needs_no_app_where_the_broker_is_named(project: Path, redis_url: str) -> None:
    assert status(project, "-b", redis_url) == {"broker": redis_url, "queues": [], "workers": []}


def test_watch_shows_the_status_again_until_it_is_interrupted(project: Path) -> None:
    command = [sys.executable, "-c", HEARING, sys.executable, "-m", "umbel", "-A", "tasks", "status", "--watch", "-j"]
    with subprocess.Popen(command, cwd=project, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first, second = json.loads(process.stdout.readline()), json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_SECONDS) == 130
    assert first["broker"] == second["broker"]


@pytest.mark.parametrize("command", ["worker", "status"])
def test_an_app_that_does_not_exist_says_what_was_tried(project: Path, command: str) -> None:
    done = umbel(project, "-A", "nosuch", command)
    assert done.returncode == 2
    assert "nosuch" in done.stderr


@pytest.mark.parametrize("command", ["worker", "status"])
def test_an_app_that_breaks_while_it_is_imported_shows_its_own_error(project: Path, command: str) -> None:
    (project / "broken.py").write_text("import nothing_of_that_name\n")
    done = umbel(project, "-A", "broken", command)
    assert done.returncode == 2
    assert "import nothing_of_that_name" in done.stderr
    assert "ModuleNotFoundError: No module named 'nothing_of_that_name'" in done.stderr


@pytest.mark.parametrize("command", ["worker", "status", "call"])
def test_without_an_app_the_error_says_how_to_name_one(project: Path, command: str) -> None:
    done = umbel(project, command, *(["tasks.add"] if command == "call" else []))
    assert done.returncode == 2
    assert "UMBEL_APP" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_app_may_be_named_by_a_variable_or_a_file(project: Path) -> None:
    assert umbel(project, "call", "tasks.add", "-a", "[1, 2]", UMBEL_APP="tasks").returncode == 0
    (project / "umbel.toml").write_text('app = "tasks"\n')
    assert umbel(project, "call", "tasks.add", "-a", "[1, 2]").returncode == 0


def test_a_broker_that_is_not_there_is_69_and_keeps_its_password(project: Path) -> None:
    done = umbel(project, "-b", "redis://user:secret@127.0.0.1:1/0", "-A", "tasks", "call", "tasks.add", "-a", "[1, 2]")
    assert done.returncode == 69, done.stderr
    assert "127.0.0.1:1" in done.stderr
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "variables", "said"),
    [
        (("worker", "-P", "gevent"), {}, "-P asyncio"),
        (("worker", "-l", "loud"), {}, "DEBUG"),
        (("worker", "-c", "none"), {}, "not a valid integer"),
        (("status",), {"UMBEL_BROKER_URL": "rabbit://host"}, "rabbit"),
        (("status",), {"UMBEL_BROKER_URL": "memory://"}, "memory:// does not, SQLite, Redis"),
        (("worker",), {"UMBEL_BROKER_URL": "memory://"}, "a worker needs a broker that is shared by several processes"),
        (("worker",), {"UMBEL_WORKER_CONCURENCY": "3"}, "worker_concurrency"),
        (("call", "tasks.add", "-a", "{"), {}, "--args"),
        (("call", "tasks.add", "-a", "[1]"), {}, "missing 1 required positional argument"),
        (("call", "tasks.add", "-a", "[1, 2]", "--task-id", "a b"), {}, "task_id"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    project: Path, words: tuple[str, ...], variables: dict[str, str], said: str
) -> None:
    done = umbel(project, "-A", "tasks", *words, **variables)
    assert done.returncode == 2, done.stderr
    assert said.lower() in done.stderr.lower()
    assert "Traceback" not in done.stderr


def test_doctor_tells_how_it_stands_with_each_engine(project: Path, redis_url: str) -> None:
    done = umbel(project, "-A", "tasks", "--result-backend", redis_url, "doctor", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    jobs, results = json.loads(done.stdout)["engines"]
    assert (jobs["role"], jobs["error"], "processes" in jobs["powers"]) == ("broker", "", True)
    assert {"durability", "integrity"} <= {each["name"] for each in jobs["findings"]}
    assert {"version", "trial"} <= {each["name"] for each in results["findings"]}
    assert "version" in umbel(project, "-b", redis_url, "doctor").stdout


def test_doctor_of_a_broker_that_is_not_there_is_1_and_keeps_its_password(project: Path) -> None:
    done = umbel(project, "-b", "redis://user:secret@127.0.0.1:1/0", "doctor", UMBEL_BROKER_SEND_DEADLINE="0.5")
    assert done.returncode == 1, done.stderr
    assert "redis://user:***@127.0.0.1:1/0 could not be reached" in done.stdout
    assert "secret" not in done.stdout + done.stderr


def test_a_worker_whose_results_cannot_be_stored_ends_with_the_cure(project: Path, redis_server: Server) -> None:
    redis_server.ensure_running()
    wrong = redis_server.url.replace("//", "//user:secret@")
    done = umbel(project, "-A", "tasks", "worker", UMBEL_RESULT_BACKEND=wrong)
    assert done.returncode == 2
    (told,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert told.endswith("correct user and password in the URL, redis://user:password@host")
    assert "secret" not in done.stdout + done.stderr


def test_a_worker_waits_for_results_that_are_away_and_stops_all_the_same(project: Path) -> None:
    away = "redis://user:secret@127.0.0.1:1/0"
    variables = {"UMBEL_RESULT_BACKEND": away, "UMBEL_BROKER_SEND_DEADLINE": "0.5"}
    with worker(project, "-A", "tasks", "worker", **variables) as process:
        log = project / "worker.log"
        eventually(lambda: "Result store redis://user:***@127.0.0.1:1/0 is away" in log.read_text(), "that it is told")
        assert process.poll() is None
    assert process.returncode == 0
    assert "secret" not in log.read_text()


def test_a_flow_is_listed_shown_and_revoked(project: Path) -> None:
    program = "from tasks import add; print((add.s(1, 2) | add.s(3)).delay().id)"
    sent = subprocess.run(
        [sys.executable, "-c", program], cwd=project, env=environment(), capture_output=True, text=True, check=True
    )
    job = sent.stdout.strip()
    (flow,) = json.loads(umbel(project, "-A", "tasks", "flows", "list", "--json").stdout)
    assert (flow["state"], flow["queue"]) == ("running", "default")
    shown = umbel(project, "-b", "sqlite:///my_tasks.umbel.db", "flows", "show", job)
    assert shown.stdout.splitlines()[1:] == ["1  tasks.add  running", "2  tasks.add  waiting  after 1"]
    told = json.loads(umbel(project, "-A", "tasks", "flows", "show", job, "--json").stdout)
    assert [box["state"] for box in told["boxes"]] == ["running", "waiting"]
    assert umbel(project, "-A", "tasks", "flows", "show", job, "--mermaid").stdout.startswith("graph LR")
    assert umbel(project, "-A", "tasks", "flows", "show", job, "--svg").stdout.startswith("<svg ")
    assert umbel(project, "-A", "tasks", "flows", "show", "nope").returncode == 2
    assert umbel(project, "-A", "tasks", "flows", "revoke", job).returncode == 0
    again = umbel(project, "-A", "tasks", "flows", "revoke", job)
    assert (again.returncode, "has ended: revoked" in again.stderr) == (1, True)
    assert umbel(project, "-A", "tasks", "flows", "revoke", "nope").returncode == 2
    assert flow["id"] in umbel(project, "-A", "tasks", "flows", "list").stdout
