"""The page about testing is a project whose tests pass."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "testing.md"

PATIENT = """
import pytest

@pytest.fixture(scope="session")
def umbel_worker_parameters():
    return {"shutdown_timeout": 60.0}  # the machine may be busy
"""


def test_the_examples_of_the_page_are_tests_that_pass(tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == PAGE.read_text().count("```python")
    for name, text in blocks:
        (tmp_path / name).write_text(text)
    (tmp_path / "conftest.py").write_text(PATIENT)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:asyncio",
        "-W",
        "error",
        "--strict-markers",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^1\d passed", done.stdout, re.MULTILINE), done.stdout
