"""The dashboard as a process of its own: killed, started again, watched by many, and stopped."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import httpx
import psutil
import pytest

from tests.dashboard.stage import DEADLINE_SECONDS, Stage
from umbel.cli.main import main
from umbel.dashboard import engine
from umbel.dashboard.server import Address, _listening
from umbel.messenger import messenger
from umbel.testing import worker

JOBS: Final = 120
TABS: Final = 50
MAX_BYTES: Final = 150 * 1024**2
END_SECONDS: Final = 3.0
WATCH: Final = b"GET /live?topics=jobs,queues HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path, history_url=f"sqlite:///{tmp_path}/history.db")
    yield made
    made.close()


class Server:
    """`umbel dashboard`, for the broker and the history of a stage."""

    def __init__(self, stage: Stage, *options: str) -> None:
        environment = {**os.environ, "UMBEL_HISTORY_URL": stage.app.conf.history_url}
        command = [sys.executable, "-m", "umbel", "-b", stage.app.conf.broker_url, "dashboard", "--log-format", "text"]
        self.process = subprocess.Popen([*command, *options], env=environment, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        self.said = self.process.stderr.readline()

    def end(self, number: int = signal.SIGTERM) -> tuple[int, float, str]:
        """Send it a signal: its exit code, how long it took, and what else it said."""
        started = time.monotonic()
        self.process.send_signal(number)
        _, rest = self.process.communicate(timeout=DEADLINE_SECONDS)
        return self.process.returncode, time.monotonic() - started, rest


@pytest.fixture
def serve(stage: Stage) -> Iterator[Callable[..., Server]]:
    """Start servers, which end with the test."""
    with ExitStack() as stack:

        def start(*options: str) -> Server:
            server = Server(stage, *options)
            stack.callback(server.process.communicate)
            stack.callback(server.process.kill)
            return server

        yield start


def test_killed_and_started_again_it_has_recorded_each_job_once_and_ends_at_once(
    stage: Stage, serve: Callable[..., Server], tmp_path: Path
) -> None:
    @stage.app.task(name="shop.pay")
    def pay(order: int) -> int:
        return order

    path = tmp_path / "umbel.sock"
    stage.archive.write(lambda _: None)  # the file is there before anybody reads
    first = serve("--port", "0")
    found = re.search(r"INFO.* The dashboard is at (http://127\.0\.0\.1:\d+)/\n", first.said)
    assert found, first.said
    assert httpx.get(f"{found[1]}/livez", timeout=DEADLINE_SECONDS).text == "ok"
    with worker(stage.app, threads=2):
        jobs = [pay.delay(order).id for order in range(JOBS // 2)]
        stage.until(lambda: stage.history.jobs("state:succeeded").rows)
        first.end(signal.SIGKILL)
        jobs += [pay.delay(order).id for order in range(JOBS // 2)]
        stage.until(lambda: stage.app.AsyncResult(jobs[-1]).ready())
        with socket.socket(socket.AF_UNIX) as left_behind:
            left_behind.bind(str(path))
        second = serve("--unix-socket", str(path))
        messenger.flush()
        stage.until(lambda: counted(stage) == (JOBS, JOBS))
    assert {job.id for job in stage.history.jobs(limit=500).rows} == set(jobs)
    assert counted(stage) == (JOBS, JOBS)
    assert stage.history.standing().gaps == ()
    assert path.stat().st_mode & 0o777 == 0o600
    _watched(second, path)
    assert not path.exists()


def counted(stage: Stage) -> tuple[int, int]:
    """How many jobs have succeeded and were sent, by the history."""
    (paid,) = stage.history.totals(0.0, time.time() + 60)
    return paid.succeeded, paid.sent


def _watched(server: Server, path: Path) -> None:
    """Watch *server* in many tabs, and end it meanwhile."""
    with ExitStack() as stack:
        for _ in range(TABS):
            tab = stack.enter_context(socket.socket(socket.AF_UNIX))
            tab.settimeout(DEADLINE_SECONDS)
            tab.connect(str(path))
            tab.sendall(WATCH)
            assert b"200 OK" in tab.recv(4096)
        rss = psutil.Process(server.process.pid).memory_info().rss
        code, seconds, rest = server.end()
    assert code == 0
    assert "Traceback" not in rest
    assert rss < MAX_BYTES
    assert seconds < 3 * END_SECONDS  # three times what is meant, for a machine that is busy


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--host", "0.0.0.0"), "whoever reaches 0.0.0.0 could see and do everything"),  # noqa: S104 - refused
        (("--host", "nowhere.invalid", "--user-header", "X-User", "--trusted-proxy", "10.0.0.1"), "is no address of"),
        (("--allowed-host", "jobs.example.com"), "must ask who comes"),
        (("--port", "PORT"), "is taken: end what listens there, or choose another port with --port"),
        (("--unix-socket", "/nowhere/umbel.sock"), "choose another path with --unix-socket"),
    ],
)
def test_what_cannot_be_served_ends_with_the_cure(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    monkeypatch.setenv("UMBEL_BROKER_URL", stage.app.conf.broker_url)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        given = [str(taken.getsockname()[1]) if each == "PORT" else each for each in options]
        assert main(["-b", stage.app.conf.broker_url, "dashboard", *given]) == 2
    assert words in capsys.readouterr().err


def test_a_port_that_is_taken_gives_way_to_another_where_any_will_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with _listening(Address(port=port, any_port=True), guarded=False) as found:
            assert found.getsockname()[1] not in {0, port}


def test_hashes_are_made_without_an_app(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dashboard", "--new-token"]) == 0
    token = capsys.readouterr()
    assert token.out.startswith("sha256:")
    assert "umbel_" in token.err
    with open(os.devnull) as nothing:  # noqa: PTH123 - a stream, as stdin is
        monkeypatch.setattr("sys.stdin", nothing)
        assert main(["dashboard", "--hash-password"]) == 2
    assert "8 characters or more" in capsys.readouterr().err


async def test_it_is_there_without_its_broker_and_says_what_is_missing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "PATIENCE_SECONDS", 0.1)
    stage.archive.write(lambda _: None)
    stage.app.conf.broker_url = stage.app.conf.result_backend = "redis://127.0.0.1:1/0"
    async with stage.browsing() as client:
        page, activity = await client.get("/queues"), await client.get("/api/v1/activity")
    assert (page.status_code, activity.status_code) == (200, 200), activity.text
    assert "There was no answer" in page.text or "could not be reached" in page.text
