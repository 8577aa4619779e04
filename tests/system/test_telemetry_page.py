"""What docs/telemetry.md says is done as it says, in real workers."""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.system.harness import Workers, eventually
from umbel import GroupResult, Umbel
from umbel.telemetry import app_families, families, worker_families
from umbel.telemetry.tracing import UmbelInstrumentor

PAGE = Path(__file__).parents[2] / "docs" / "telemetry.md"
SECONDS = 60


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    made = Workers(tmp_path)
    yield made
    made.end()


class Collector(BaseHTTPRequestHandler):
    """Takes what Sentry's SDK reports."""

    reports: list[dict[str, Any]]

    def do_POST(self) -> None:
        """Keep the events of an envelope."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        lines = gzip.decompress(body).splitlines() if self.headers["Content-Encoding"] == "gzip" else body.splitlines()
        found = [json.loads(line) for line in lines if line.startswith(b"{")]
        self.reports += [each for each in found if "exception" in each]
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def collector() -> Iterator[ThreadingHTTPServer]:
    kind = type("Collecting", (Collector,), {"reports": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def tasks_of(section: str, folder: Path) -> None:
    """Write the tasks.py of a section of the page into *folder*."""
    text = PAGE.read_text().partition(f"## {section}\n")[2].partition("\n## ")[0]
    (block,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (folder / "tasks.py").write_text(block)


def test_the_tracing_of_the_page_traces(tmp_path: Path, workers: Workers) -> None:
    tasks_of("OpenTelemetry", tmp_path)
    url = f"sqlite:///{tmp_path}/jobs.db"
    worker = workers.start("--processes=1", "--threads=1", app="tasks", folder=tmp_path, UMBEL_BROKER_URL=url)
    with Umbel("tasks", broker=url) as app:
        assert app.send_task("tasks.pay", args=[7]).get(timeout=SECONDS) == 7
    assert worker.stop() == 0
    told = re.findall(r'^    "name": "(.*)",$', worker.output, re.MULTILINE)
    assert told == ["charge the card", "process tasks.pay"]


def test_the_sentry_recipe_of_the_page_reports_what_is_not_expected(
    tmp_path: Path, workers: Workers, collector: ThreadingHTTPServer
) -> None:
    tasks_of("Sentry", tmp_path)
    url = f"sqlite:///{tmp_path}/jobs.db"
    places = {"UMBEL_BROKER_URL": url, "SENTRY_DSN": f"http://key@127.0.0.1:{collector.server_port}/1"}
    worker = workers.start("--processes=1", "--threads=2", app="tasks", folder=tmp_path, **places)
    with Umbel("tasks", broker=url) as app:
        results = [app.send_task("tasks.pay", args=[amount]) for amount in (0, 7)]
        GroupResult(None, results, app).get(timeout=SECONDS, propagate=False)
    # Before the worker ends: at its end Sentry's SDK has two seconds for what it has not sent by then.
    reports = eventually(lambda: vars(collector.RequestHandlerClass)["reports"], "a report")
    assert worker.stop() == 0
    (report,) = reports
    (error,) = report["exception"]["values"]
    assert (error["type"], error["value"]) == ("ValueError", "no card takes 7")
    assert (report["transaction"], report["tags"]["umbel.task_id"]) == ("tasks.pay", results[1].id)
    assert report["contexts"]["job"]["attempt"] == 1


def test_the_page_names_every_metric_and_no_other() -> None:
    sources = "".join(Path(str(module.__file__)).read_text() for module in (families, worker_families, app_families))
    made = set(re.findall(r'"(umbel_[a-z_]+[a-z])"', sources))
    made |= {f"umbel_worker_{name}" for name in re.findall(r'^        \("([a-z_]+)", "', sources, re.MULTILINE)}
    told = set(re.findall(r"`(umbel_[a-z_]+)`", PAGE.read_text()))
    assert {name.removesuffix("_total") for name in told} == made


def test_other_tools_find_the_instrumentor(pytestconfig: pytest.Config) -> None:
    text = (pytestconfig.rootpath / "pyproject.toml").read_text()
    assert f'umbel = "{UmbelInstrumentor.__module__}:{UmbelInstrumentor.__name__}"' in text
