"""What a real worker gives out at /metrics, as a real Prometheus reads it, with the rules and the Grafana dashboard."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.servers import Prometheus, Server, reserve
from tests.servers.prometheus import promtool
from tests.system.harness import Workers, eventually
from umbel import GroupResult, Umbel
from umbel.exceptions import UmbelError
from umbel.history.archives import archive_at
from umbel.history.history import History
from umbel.history.recorder import Recorder
from umbel.history.recording import source_of
from umbel.history.retention import terms_of
from umbel.telemetry.metrics import backlog, exposition
from umbel.worker.supervisor.health import Verdict
from umbel.worker.supervisor.health_server import MAX_CONNECTIONS, HealthServer

MONITORING = Path(str(files("umbel.telemetry") / "monitoring"))
COURSES = Path(__file__).parents[1] / "telemetry_rules.yml"
SENT = {"add": 12, "aadd": 4, "padd": 2, "fail": 3, "reject": 1, "stumble": 1}
ENDS = {
    ("add", "started"): 12,
    ("add", "succeeded"): 12,
    ("aadd", "started"): 4,
    ("aadd", "succeeded"): 4,
    ("padd", "started"): 2,
    ("padd", "succeeded"): 2,
    ("fail", "started"): 3,
    ("fail", "failed"): 3,
    ("reject", "started"): 1,
    ("reject", "dead"): 1,
    ("stumble", "started"): 3,
    ("stumble", "retried"): 2,
    ("stumble", "succeeded"): 1,
}
Samples = dict[tuple[str, ...], float]


@pytest.fixture
def port() -> Iterator[int]:
    reserved = reserve()
    yield reserved.port
    reserved.release()


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    made = Workers(tmp_path)
    yield made
    made.end()


def samples(page: str, name: str, *labels: str) -> Samples:
    """The values of the metric *name* on *page*, by the values of *labels*."""
    found = (sample for family in text_string_to_metric_families(page) for sample in family.samples)
    return {tuple(each.labels[label] for label in labels): each.value for each in found if each.name == name}


def names_on(page: str) -> set[str]:
    """The names that can be asked for of what is on *page*."""
    families = list(text_string_to_metric_families(page))
    ends = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",), "gauge": ("",)}
    return {f"{family.name}{end}" for family in families for end in ends[family.type]}


def read(port: int, path: str) -> str:
    """What the server on *port* answers."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        return str(answer.read().decode())


def asked(server: Server, query: str) -> list[dict[str, Any]]:
    """What a Prometheus answers to *query*."""
    answer = json.loads(read(server.port, f"/api/v1/query?query={urllib.parse.quote(query)}"))
    found: list[dict[str, Any]] = answer["data"]["result"]
    return found


def send(app: Umbel) -> None:
    """Send `SENT`, wait until all of it has ended, and send one for later."""
    numbers = {"add", "aadd", "padd"}
    results = [
        app.send_task(f"counted_tasks.{task}", args=[number, 1] if task in numbers else [])
        for task, count in SENT.items()
        for number in range(count)
    ]
    GroupResult(None, results, app).get(timeout=60, propagate=False)
    app.send_task("counted_tasks.add", args=[1, 2], countdown=3600)


def recorded(app: Umbel, url: str, done: Callable[[History], bool]) -> History:
    """The history of *app* at *url*, recorded until it is *done*."""
    archive = archive_at(url, app.conf)
    history = History(archive)

    async def record() -> None:
        stop = asyncio.Event()
        recording = asyncio.create_task(Recorder(archive, source_of(app), terms_of(app.conf)).run(stop))
        await asyncio.to_thread(eventually, lambda: _is(history, done), "the history has it all")
        stop.set()
        await recording
        await app.broker.aclose()

    asyncio.run(record())
    return history


def has_all(history: History) -> bool:
    """Whether all has come that is compared: each process tells of what it has done in its own time."""
    totals = history.totals(0, 2e9)
    ends = sum(each.succeeded + each.failed + each.dead for each in totals)
    retried = sum(count for (_, state), count in ENDS.items() if state == "retried")
    sent = sum(SENT.values())
    return (ends, sum(each.retried for each in totals), sum(each.sent for each in totals)) == (sent, retried, sent + 1)


def _is(history: History, done: Callable[[History], bool]) -> bool:
    try:
        return done(history)
    except UmbelError:  # there is none yet
        return False


def test_what_is_measured_agrees_with_what_happened_and_is_all_that_rules_and_dashboard_ask_for(
    tmp_path: Path, workers: Workers, port: int
) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    words = ("--processes=2", "--threads=1", "--max-tasks-per-child=5", f"--health={port}")
    workers.start(*words, app="counted_tasks", UMBEL_TEST_BROKER=url).wait_ready()
    app = Umbel("counted_tasks", broker=url, backend=url)
    (tmp_path / "prometheus").mkdir()
    prometheus = Prometheus((f"127.0.0.1:{port}",), (f"{MONITORING}/rules.yml",))
    with Server(prometheus, tmp_path / "prometheus").start() as server:
        send(app)

        def counted() -> str:
            """The page, once it has all of it."""
            try:
                page = read(port, "/metrics")
            except OSError:  # this machine has much to do
                return ""
            told = samples(page, "umbel_jobs_total", "task", "state")
            ends = {(f"counted_tasks.{task}", state): count for (task, state), count in ENDS.items()}
            stopped = samples(page, "umbel_worker_children_ended_total", "how").get(("stopped",), 0)
            later = samples(page, "umbel_queue_jobs", "state").get(("delayed",))
            whole = told == ends and stopped >= 2 and later == 1  # a page may be a second old
            return page if whole and samples(page, "umbel_broker_up") == {(): 1} else ""

        told = eventually(counted, "the worker has counted each end once")
        runs = samples(told, "umbel_job_run_seconds_count", "task")
        assert sum(runs.values()) == sum(count for (_, state), count in ENDS.items() if state == "started")
        places = samples(told, "umbel_queue_jobs", "state")
        assert (places[("delayed",)], places[("dead",)], places[("ready",)]) == (1, 1, 0)

        scraped = eventually(
            lambda: asked(server, f'sum(umbel_jobs_total{{job="umbel", state="started"}}) == {sum(runs.values())}'),
            "Prometheus has scraped it",
        )
        assert len(scraped) == 1
        groups = json.loads(read(server.port, "/api/v1/rules"))["data"]["groups"]
        assert [rule["lastError"] for group in groups for rule in group["rules"] if rule.get("lastError")] == []
    _check_history(app, tmp_path, told)
    _check_by_promtool(told)
    app.close()


def _check_by_promtool(page: str) -> None:
    """Prometheus's own tool finds nothing to say of *page*."""
    checked = subprocess.run([promtool(), "check", "metrics"], input=page, text=True, capture_output=True, check=True)
    assert checked.stderr == ""


def _check_history(app: Umbel, folder: Path, of_worker: str) -> None:
    """The dashboard's page agrees with that of the worker; together they have all that is asked for."""
    history = recorded(app, f"sqlite:///{folder}/history.db", has_all)
    try:
        body, kind = exposition(app, history)
        page = body.decode()
        assert kind.startswith("text/plain; version=")
        told = samples(page, "umbel_history_task_jobs_total", "task", "state")
        sent = {task: SENT[task] + (task == "add") for task in SENT}
        assert {task: told[(f"counted_tasks.{task}", "sent")] for task in SENT} == sent
        for (task, state), count in samples(of_worker, "umbel_jobs_total", "task", "state").items():
            assert state == "started" or told[(task, state)] == count
        assert samples(page, "umbel_queue_jobs", "queue", "state")[("default", "delayed")] == 1
        assert samples(page, "umbel_workers") == {(): 1}
        _check_by_promtool(page)
        asked_for = set(re.findall(r"\bumbel_[a-z_]+", (MONITORING / "grafana.json").read_text()))
        asked_for |= set(re.findall(r"\bumbel_[a-z_]+", (MONITORING / "rules.yml").read_text()))
        assert asked_for - (names_on(page) | names_on(of_worker)) == set()
        assert len(asked_for) > 20
        figure = backlog(app, "default")
        assert (figure["backlog"], figure["queued"], figure["in_flight"], figure["delayed"]) == (0, 0, 0, 1)
    finally:
        history.close()


class Large:
    """A page that does not fit into what a socket holds."""

    async def page(self) -> tuple[bytes, str]:
        return b"x" * 5_000_000, "text/plain"


async def test_many_who_read_metrics_slowly_keep_no_probe_waiting(port: int) -> None:
    server = HealthServer(("127.0.0.1", port), lambda: Verdict(live=True, ready=True), Large())
    await server.start()
    slow: list[asyncio.StreamWriter] = []
    try:
        assert len(await asyncio.to_thread(read, port, "/metrics")) == 5_000_000
        for _ in range(MAX_CONNECTIONS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
            writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
            slow.append(writer)
            await reader.read(1)
        assert await asyncio.to_thread(read, port, "/livez") == "ok\n"
    finally:
        for writer in slow:
            writer.transport.abort()
        server.close()


def test_prometheus_takes_the_alert_rules_and_they_fire_when_they_should(tmp_path: Path) -> None:
    shutil.copy(MONITORING / "rules.yml", tmp_path)
    shutil.copy(COURSES, tmp_path)
    subprocess.run([promtool(), "check", "rules", tmp_path / "rules.yml"], check=True, timeout=60)
    subprocess.run([promtool(), "test", "rules", tmp_path / COURSES.name], check=True, timeout=60)


def test_the_courses_of_events_notice_a_rule_that_is_wrong(tmp_path: Path) -> None:
    shutil.copy(COURSES, tmp_path)
    rules = (MONITORING / "rules.yml").read_text()
    (tmp_path / "rules.yml").write_text(rules.replace("> 0.05", "> 0.5"))
    tested = subprocess.run([promtool(), "test", "rules", tmp_path / COURSES.name], check=False, timeout=60)
    assert tested.returncode == 1
