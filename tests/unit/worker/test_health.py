from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from umbel.exceptions import ImproperlyConfigured
from umbel.worker.address import probe_address
from umbel.worker.board import FULL, boot_seconds
from umbel.worker.supervisor import health as module
from umbel.worker.supervisor.health import BIRTH_SECONDS, DEAF_SECONDS, Health, Rounds, Verdict
from umbel.worker.supervisor.health_file import HealthFile
from umbel.worker.supervisor.health_server import HealthServer, answer, asks_for_metrics

LATE = DEAF_SECONDS + 1


class Heard:
    """A child as its health sees it."""

    def __init__(self, heard: float, running: int = 0) -> None:
        self.pid = 7
        self.stopped = self.quiet = False
        self.heard = heard
        self.jobs = running

    def running(self) -> Sequence[object]:
        """As many jobs as were said."""
        return range(self.jobs)


def health(child: Heard, *, reached: bool) -> Health:
    async def reach() -> bool:
        return reached

    return Health(lambda: [child], reach)


def test_a_child_that_was_answered_lately_is_not_deaf() -> None:
    rounds, child = Rounds(), Heard(100.0)
    assert rounds.deaf([child], 100.0 + DEAF_SECONDS - 1) == ""


def test_a_child_that_should_have_asked_and_heard_nothing_is_deaf() -> None:
    rounds, child = Rounds(), Heard(100.0)
    assert "child 7" in seen(rounds, child, LATE)


def test_a_child_that_is_full_is_not_deaf_however_long_its_jobs_run() -> None:
    rounds, child = Rounds(), Heard(FULL, running=1)
    assert rounds.deaf([child], 100.0) == rounds.deaf([child], 100_000.0) == ""


def test_a_child_that_says_it_is_full_and_runs_nothing_is_deaf() -> None:
    rounds, child = Rounds(), Heard(FULL)
    assert seen(rounds, child, LATE)


def test_a_child_that_was_told_to_stop_need_not_receive() -> None:
    rounds, child = Rounds(), Heard(100.0)
    child.stopped = True
    assert seen(rounds, child, LATE) == ""


async def test_a_quiet_worker_is_live_but_not_ready_and_has_its_time_again_when_it_resumes() -> None:
    child = Heard(FULL)
    child.quiet = True
    found, now = health(child, reached=True), boot_seconds()
    for second in range(int(LATE) + 1):
        await found.look(now - LATE + second)
    assert found.verdict() == Verdict(live=True, ready=False, reason="quiet", at=found.verdict().at)
    child.quiet = False
    await found.look(now + 1)
    assert (found.verdict().live, found.verdict().ready) == (True, True)
    for second in range(int(LATE) + 1):
        await found.look(now + 1 + second)
    assert not found.verdict().live


def test_after_a_sleep_of_the_whole_machine_everybody_has_his_time_again() -> None:
    rounds, child = Rounds(), Heard(100.0)
    rounds.deaf([child], 100.0)
    assert rounds.deaf([child], 5000.0) == ""
    told = ""
    for second in range(1, int(LATE) + 1):
        told = rounds.deaf([child], 5000.0 + second)
    assert told


def test_a_new_child_has_longer_for_its_first_answer() -> None:
    assert seen(Rounds(), Heard(0.0), LATE) == ""
    assert seen(Rounds(), Heard(0.0), BIRTH_SECONDS + 1)


@pytest.mark.parametrize(("reached", "live"), [(True, False), (False, True)], ids=["it answers", "it is away"])
async def test_a_deaf_child_is_the_workers_fault_only_if_the_broker_answers_others(reached: bool, live: bool) -> None:
    found, now = health(Heard(FULL), reached=reached), boot_seconds()
    for second in range(int(LATE) + 1):
        await found.look(now - LATE + second)
    verdict = found.verdict()
    assert (verdict.live, verdict.ready) == (live, False)
    assert "broker" in verdict.reason


async def test_a_worker_that_receives_is_ready_until_it_stops() -> None:
    found = health(Heard(boot_seconds()), reached=True)
    await found.look(boot_seconds())
    assert found.verdict().ready
    found.stopping = True
    assert (found.verdict().live, found.verdict().ready) == (True, False)


async def test_a_verdict_that_nobody_renews_is_none() -> None:
    found = health(Heard(boot_seconds()), reached=True)
    await found.look(boot_seconds() - 60)
    assert not found.verdict().live


def seen(rounds: Rounds, child: Heard, seconds: float) -> str:
    """What is said at last of *child*, who is looked at each second for so long."""
    told = ""
    for second in range(int(seconds) + 1):
        told = rounds.deaf([child], 100.0 + second)
    return told


async def test_a_worker_stays_live_however_slowly_it_is_told_that_the_broker_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]
    monkeypatch.setattr(module, "boot_seconds", lambda: now[0])

    async def reach() -> bool:
        before.append(found.verdict().live)
        now[0] += module.REACH_SECONDS + module.CLOSE_SECONDS
        before.append(found.verdict().live)
        return False

    before: list[bool] = []
    child = Heard(1000.0)
    found = Health(lambda: [child], reach)
    for _ in range(30):
        await found.look(now[0])
        now[0] += module.LOOK_SECONDS
    assert len(before) > 10
    assert all(before)


def good() -> Verdict:
    return Verdict(live=True, ready=True, reason="")


def bad() -> Verdict:
    return Verdict(live=False, ready=False, reason="it is deaf")


def test_the_endpoint_says_why_not() -> None:
    assert answer(b"GET /livez HTTP/1.1", good).startswith(b"HTTP/1.1 200 ")
    told = answer(b"GET /livez?verbose HTTP/1.1", bad)
    assert told.startswith(b"HTTP/1.1 503 ")
    assert told.endswith(b"\r\n\r\nit is deaf\n")


def test_a_worker_that_is_live_need_not_be_ready() -> None:
    assert answer(b"GET /livez HTTP/1.1", Verdict).startswith(b"HTTP/1.1 200 ")
    assert answer(b"GET /readyz HTTP/1.1", Verdict).startswith(b"HTTP/1.1 503 ")


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"", 400),
        (b"GET /livez", 400),
        (b"GET /livez SMTP", 400),
        (b"GET /a b HTTP/1.1", 400),
        (b"\xff\xfe\x00 \x00 HTTP/1.1", 404),
        (b"GET /metrics/ HTTP/1.1", 404),
        (b"POST /metrics HTTP/1.1", 405),
        (b"GET http://elsewhere/livez HTTP/1.1", 404),
        (b"POST /livez HTTP/1.1", 405),
    ],
)
def test_any_other_request_is_refused_and_not_repeated_back(line: bytes, status: int) -> None:
    told = answer(line, good)
    assert told.startswith(b"HTTP/1.1 %d " % status)
    assert b"elsewhere" not in told


def test_a_head_request_has_no_body() -> None:
    assert answer(b"HEAD /livez HTTP/1.1", good).endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        (b"GET /metrics HTTP/1.1", True),
        (b"GET /metrics?name=x HTTP/1.0", True),
        (b"GET /metrics SMTP", False),
        (b"HEAD /metrics HTTP/1.1", False),
        (b"GET /livez HTTP/1.1", False),
        (b"GET http://elsewhere/metrics HTTP/1.1", False),
        (b"", False),
    ],
)
def test_only_a_plain_request_for_metrics_gets_them(line: bytes, asked: bool) -> None:
    assert asks_for_metrics(line) is asked


class Pages:
    async def page(self) -> tuple[bytes, str]:
        return b"up 1\n", "text/plain; version=1"


class Broken:
    async def page(self) -> tuple[bytes, str]:
        raise ValueError("secret")


async def test_metrics_are_given_out_as_they_were_written() -> None:
    told = await HealthServer(("", 0), good, Pages()).metrics()
    assert told.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=1\r\nContent-Length: 5\r\n")
    assert told.endswith(b"\r\n\r\nup 1\n")


async def test_without_the_package_that_writes_metrics_the_endpoint_tells_the_cure() -> None:
    told = await HealthServer(("", 0), good).metrics()
    assert told.startswith(b"HTTP/1.1 501 ")
    assert b'pip install "umbel[prometheus]"' in told


async def test_metrics_that_cannot_be_written_are_no_end_of_the_endpoint() -> None:
    told = await HealthServer(("", 0), good, Broken()).metrics()
    assert told.startswith(b"HTTP/1.1 503 ")
    assert b"secret" not in told


def test_the_file_says_what_the_endpoint_says(tmp_path: Path) -> None:
    path = tmp_path / "health.json"
    file = HealthFile(path)
    file.tell(bad())
    assert json.loads(path.read_text()) == {"live": False, "ready": False, "reason": "it is deaf", "at": 0.0}
    file.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match="cannot be written"):
        HealthFile(tmp_path / "nowhere" / "health.json")


@pytest.mark.parametrize(
    ("text", "where"),
    [("8089", ("127.0.0.1", 8089)), ("0.0.0.0:80", ("0.0.0.0", 80)), ("[::1]:80", ("::1", 80))],  # noqa: S104
)
def test_a_port_alone_is_on_loopback(text: str, where: tuple[str, int]) -> None:
    assert probe_address(text) == where


@pytest.mark.parametrize("text", ["", "host", "host:", "1:70000", "8089/livez", "-1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="PORT"):
        probe_address(text)
