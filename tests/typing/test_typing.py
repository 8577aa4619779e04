"""The types that users meet: ok.py is right, and every line of bad.py that ends in `# E` is wrong, and no other.

Both type checkers must say so.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
OK, BAD = HERE / "ok.py", HERE / "bad.py"
CHECK_SECONDS = 180

Checker = Callable[[Path], dict[int, str]]


def mypy(path: Path) -> dict[int, str]:
    """Run mypy --strict on *path* and give its complaints by line."""
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--show-absolute-path", str(path)]
    output = _run(command)
    found = re.findall(rf"^{re.escape(str(path))}:(\d+):(?:\d+:)? error: (.*)$", output, re.MULTILINE)
    assert found or ": error: " not in output, output  # complaints about other files would hide those of this one
    return {int(line): message for line, message in found}


def basedpyright(path: Path) -> dict[int, str]:
    """Run basedpyright in strict mode on *path* and give its complaints by line."""
    options = [
        "--project",
        str(HERE),
        "--pythonpath",
        sys.executable,
        "--outputjson",
        "--level",
        "error",
    ]  # the repository's own settings pass over bad.py
    report = json.loads(_run([sys.executable, "-m", "basedpyright", *options, str(path)]))
    assert report["summary"]["filesAnalyzed"] == 1
    return {
        complaint["range"]["start"]["line"] + 1: complaint["message"]
        for complaint in report["generalDiagnostics"]
        if Path(complaint["file"]) == path and complaint["severity"] == "error"
    }


@pytest.mark.timeout(CHECK_SECONDS)
@pytest.mark.parametrize("check", [mypy, basedpyright])
class TestPublicTypes:
    def test_right_uses_are_clean(self, check: Checker) -> None:
        assert check(OK) == {}

    def test_exactly_the_wrong_uses_are_flagged(self, check: Checker) -> None:
        expected = {number for number, line in enumerate(BAD.read_text().splitlines(), 1) if line.endswith("# E")}
        assert expected
        assert set(check(BAD)) == expected


def _run(command: list[str]) -> str:
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True).stdout
