"""`make demo`, as it is run on a fresh machine."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from examples.local_worker import LocalWorker, WorkerDied

ROOT = Path(__file__).parents[2]


def test_the_demo_runs_and_shows_what_it_did() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.demo"], cwd=ROOT, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\n10\n" in done.stdout
    for line in ("quickstart", "mailer", "images", "etl"):
        assert line in done.stdout
    assert len(list((ROOT / "build" / "demo" / "thumbnails").glob("*.jpg"))) == 12


async def test_an_example_whose_worker_dies_does_not_wait_for_it(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    with pytest.raises(WorkerDied, match="exit code 2"):
        async with LocalWorker("no_such_module", tmp_path, log, {}) as worker:
            await worker.serves(asyncio.Event().wait())
    assert "no_such_module" in log.read_text()
