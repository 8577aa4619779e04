"""`make demo`, as it is run on a fresh machine."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from examples.local_worker import LocalWorker, WorkerDied
from tests.system.harness import eventually

ROOT = Path(__file__).parents[2]
TASKS = {"examples.mailer.tasks.send_mail", "examples.images.tasks.thumbnail", "examples.etl.tasks.revenue"}


def test_the_demo_runs_and_shows_what_it_did() -> None:
    demo = subprocess.Popen(
        [sys.executable, "-m", "examples.demo"],
        cwd=ROOT,
        env={**os.environ, "SERVE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert demo.stdout is not None
    said = ""
    try:
        while "until you press Ctrl-C" not in said:
            line = demo.stdout.readline()
            assert line, said
            said += line
        (address,) = re.findall(r"^dashboard: (http://127\.0\.0\.1:\d+/)", said, re.MULTILINE)
        eventually(lambda: seen(address) >= TASKS, "the dashboard has recorded the last example, too")
        demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 0
    finally:
        demo.kill()
        demo.wait()
        demo.stdout.close()
    assert "\n10\n" in said
    for line in ("quickstart", "mailer", "images", "etl"):
        assert line in said
    assert len(list((ROOT / "build" / "demo" / "thumbnails").glob("*.jpg"))) == 12


def seen(address: str) -> set[str]:
    """The names of the tasks that the dashboard knows."""
    with urllib.request.urlopen(f"{address}api/v1/tasks", timeout=30) as response:  # noqa: S310 - our own
        return {each["name"] for each in json.load(response)["tasks"]}


async def test_an_example_whose_worker_dies_does_not_wait_for_it(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    with pytest.raises(WorkerDied, match="exit code 2"):
        async with LocalWorker("no_such_module", tmp_path, log, {}) as worker:
            await worker.serves(asyncio.Event().wait())
    assert "no_such_module" in log.read_text()
