"""How a worker is run: probes, a service manager, a daemon, process 1, new code, bursts, and restarts all the time."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.servers import Redis, Server, reserve
from tests.system.harness import Worker, Workers, environment, eventually, kill
from tests.system.stage import Stage
from umbel import Umbel

VERSION_APP = """
from umbel import Umbel

app = Umbel("tasks")

@app.task
def version() -> int:
    return VERSION
"""
ORPHAN_APP = """
import os, subprocess, sys
from umbel import Umbel

app = Umbel("tasks")

@app.task
def leave_an_orphan() -> int:
    "Start a program that starts another one and ends; answers the process id of that one."
    inner = "import os, time; print(os.getpid(), flush=True); os.close(1); time.sleep(0.2)"
    outer = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {inner!r}])"
    return int(subprocess.run([sys.executable, "-c", outer], stdout=subprocess.PIPE, check=True).stdout)
"""
AS_PROCESS_ONE = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(36, 1, 0, 0, 0); os.execv(sys.executable, sys.argv[1:])"
)
"""Makes a process one that orphans below it are handed to, as the first process of a container is."""


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(f"sqlite:///{tmp_path}/jobs.db", tmp_path)
    yield made
    made.end()


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    made = Workers(tmp_path)
    yield made
    made.end()


@pytest.fixture
def ports() -> Iterator[tuple[int, int]]:
    reserved = reserve(), reserve()
    yield reserved[0].port, reserved[1].port
    for each in reserved:
        each.release()


def status(port: int, path: str) -> int:
    """The status that the health endpoint answers with; 0 if nobody does."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def health(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """What `umbel health` says."""
    command = [sys.executable, "-m", "umbel", "health", "--timeout=30", *words]
    return subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=200, check=False
    )


def test_a_worker_tells_probes_and_its_service_manager_how_it_is(
    stage: Stage, tmp_path: Path, ports: tuple[int, int]
) -> None:
    port, file = ports[0], str(tmp_path / "health.json")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        worker = stage.start(f"--health={port}", f"--health-file={file}", NOTIFY_SOCKET=str(tmp_path / "notify"))
        assert manager.recv(200).startswith(b"READY=1")
        eventually(lambda: status(port, "/readyz") == 200, "it is ready")
        assert (status(port, "/livez"), status(port, "/metrics"), status(port, "/")) == (200, 200, 404)
        assert health(tmp_path, "--at", str(port), "--ready").returncode == 0
        assert health(tmp_path, "--file", file).returncode == 0
        release = tmp_path / "release"
        stage.wait_started(*(stage.send("hold", str(release)) for _ in range(2)))  # so that there are two children
        worker.signal(signal.SIGUSR1)
        eventually(lambda: worker.output.count("Current thread") >= 3, "the stacks of three processes")
        release.touch()
        assert worker.stop() == 0
        assert manager.recv(200).startswith(b"STOPPING=1")
        assert health(tmp_path, "--at", str(port)).returncode == 1
        told = json.loads(health(tmp_path, "--file", file, "--json").stdout)
        assert (told["asked"], told["ok"]) == ("live", False)
        assert told["reason"]


def test_a_deaf_child_fails_the_probe_and_a_broker_that_is_away_does_not(
    stage: Stage, tmp_path: Path, ports: tuple[int, int]
) -> None:
    (tmp_path / "away").mkdir()
    with Server(Redis(), tmp_path).start() as redis:
        cut_off = Stage(redis.url, tmp_path / "away")
        try:
            deaf = stage.start("--processes=1", f"--health={ports[0]}")
            cut_off.start("--processes=1", f"--health={ports[1]}").wait_ready()
            deaf.wait_ready()
            deaf.children()[0].suspend()
            redis.kill()
            eventually(lambda: status(ports[0], "/livez") == 503, "the deaf child is told")
            eventually(lambda: status(ports[1], "/readyz") == 503, "the other one is not ready")
            assert status(ports[1], "/livez") == 200
        finally:
            cut_off.end()


def test_a_burst_ends_when_the_queue_is_empty_and_leaves_what_is_due_later(stage: Stage) -> None:
    results = stage.work_many([0.0] * 20)
    later = stage.app.send_task("ledger_tasks.work", args=(0.0,), kwargs={}, countdown=3600)
    worker = stage.start("--burst")
    assert worker.wait(60) == 0
    stage.wait_succeeded(results)
    assert later.place == "delayed"


def test_new_code_runs_when_a_file_changes_and_code_that_is_wrong_does_not(
    tmp_path: Path, workers: Workers, ports: tuple[int, int]
) -> None:
    source = tmp_path / "tasks.py"
    source.write_text(f"VERSION = 1\n{VERSION_APP}")
    command = [sys.executable, "-m", "umbel", "-A", "tasks", "dev", f"--port={ports[0]}"]  # ours also afterwards
    worker = workers.run(command, tmp_path)
    worker.wait_ready()
    with Umbel("tasks", broker=f"sqlite:///{tmp_path}/tasks.umbel.db") as app:

        def version() -> int:
            found: int = app.send_task("tasks.version", args=(), kwargs={}).get(timeout=60)
            return found

        assert version() == 1
        write(source, f"VERSION = 2\n{VERSION_APP}")
        worker.wait_for("Reloaded")
        assert version() == 2
        write(source, "def (:\n")
        worker.wait_for("Not reloaded, the old code goes on")
        assert "SyntaxError" in worker.output
        assert version() == 2
        write(source, f"VERSION = 3\n{VERSION_APP}")
        worker.wait_for("Reloaded", times=2)
        assert version() == 3
    worker.wait_for("The dashboard is at")
    (address,) = re.findall(r"The dashboard is at (http://127\.0\.0\.1:\d+)/", worker.output)
    eventually(lambda: recorded(f"{address}/api/v1/jobs"), "the dashboard has recorded the jobs")
    assert worker.stop() == 0
    with pytest.raises(OSError, match="refused"):
        fetched(f"{address}/api/v1/jobs")


def test_a_daemon_is_known_by_its_pidfile_and_there_is_only_one(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(f"VERSION = 1\n{VERSION_APP}")
    pidfile = tmp_path / "worker.pid"
    command = [sys.executable, "-m", "umbel", "-A", "tasks", "worker", "-D", "-f", "log", "--pidfile", str(pidfile)]

    def start(*words: str) -> int:
        return subprocess.run([*command, *words], cwd=tmp_path, env=environment(), timeout=200, check=False).returncode

    assert start("-l", "info", "worker.lease=7") == 0
    daemon = psutil.Process(int(pidfile.read_text()))
    try:
        assert start() == 2
        log = tmp_path / "log"
        eventually(lambda: log.exists() and " ready." in log.read_text(), "it is ready")
        daemon.terminate()
        daemon.wait(60)
        eventually(lambda: not pidfile.exists(), "the pidfile is gone")
    finally:
        kill(daemon)


def test_as_process_one_a_worker_buries_the_orphans_of_its_tasks(tmp_path: Path, workers: Workers) -> None:
    (tmp_path / "tasks.py").write_text(ORPHAN_APP)
    words = [sys.executable, "-m", "umbel", "-A", "tasks", "worker", "-c", "1", "-l", "info"]
    command = [sys.executable, "-c", AS_PROCESS_ONE, *words]
    worker = workers.run(command, tmp_path)
    worker.wait_ready()
    with Umbel("tasks", broker=f"sqlite:///{tmp_path}/tasks.umbel.db") as app:
        orphan = app.send_task("tasks.leave_an_orphan", args=(), kwargs={}).get(timeout=60)
    eventually(lambda: not psutil.pid_exists(orphan), "the orphan has ended and nothing is left of it")
    assert worker.stop() == 0


def test_restarts_under_load_lose_nothing_charge_nothing_and_double_nothing(stage: Stage) -> None:
    seconds = [0.05] * 40 + [0.3] * 8 + [1.2] * 4
    results = stage.work_many(seconds)
    old = stage.start("--grace=30").wait_ready()
    stopped: list[Worker] = []
    for _ in range(3):
        new = stage.start("--grace=30").wait_ready()
        old.signal(signal.SIGTERM)
        stopped.append(old)
        old = new
        time.sleep(0.5)  # the load: what is stopped here has been working
    old.signal(signal.SIGHUP)  # which replaces the children one by one
    old.wait_for("Reloaded", 60)
    stage.wait_succeeded(results)
    assert [worker.wait(60) for worker in stopped] == [0] * 3
    assert {result.retries for result in results} == {0}
    assert stage.ledger.starts() == stage.ledger.ends() == {result.id: 1 for result in results}
    assert not any("died" in worker.output for worker in (*stopped, old))


def write(source: Path, text: str) -> None:
    """Change *source* in one step: whoever watches it never sees a part."""
    new = source.with_suffix(".new")
    new.write_text(text)
    new.replace(source)


def recorded(url: str) -> bool:
    """Whether the jobs at *url* are in the history, which may not be there yet."""
    try:
        return b"tasks.version" in fetched(url)
    except urllib.error.HTTPError as error:
        error.close()
        return False


def fetched(url: str) -> bytes:
    """What is at *url*."""
    with urllib.request.urlopen(url, timeout=60) as response:  # noqa: S310 - our own
        found: bytes = response.read()
    return found


def test_the_peak_of_memory_is_that_of_the_program_and_not_of_the_one_before_it() -> None:
    told = "from umbel.worker import kernel; import resource; print(kernel.peak(), resource.getrusage(0).ru_maxrss)"
    large = f"import os, sys; x = b'x' * (200 << 20); os.execv(sys.executable, [sys.executable, '-c', {told!r}])"
    done = subprocess.run([sys.executable, "-c", large], capture_output=True, text=True, timeout=60, check=True)
    ours, inherited = map(int, done.stdout.split())
    assert 0 < ours < 150 << 10 < inherited
