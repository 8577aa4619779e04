"""The measure of elegance: one warm enqueue touches N Python calls in M files of ours."""

import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import umbel
from umbel import Umbel

MOST_CALLS = 10
MOST_FILES = 5
EVENT_CALLS, EVENT_FILES = 3, 2
"""What it takes beside to note that it was sent, for events."""
PACKAGE = Path(umbel.__file__).parent


@pytest.mark.parametrize("told", [False, True])
def test_a_warm_enqueue_takes_few_calls_in_few_files(capsys: pytest.CaptureFixture[str], told: bool) -> None:
    app = Umbel("budget", broker="memory://budget", task_ignore_result=True, task_send_sent_event=told)

    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    for _ in range(3):
        add.delay(1, 2)
    path: list[str] = []
    files: set[Path] = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        file = Path(frame.f_code.co_filename)
        if event == "call" and file.is_relative_to(PACKAGE):
            path.append(f"{file.relative_to(PACKAGE)}:{frame.f_code.co_qualname}")
            files.add(file)

    sys.setprofile(note)
    try:
        add.delay(1, 2)
    finally:
        sys.setprofile(None)
    with capsys.disabled():
        print(f"\none enqueue: {len(path)} calls in {len(files)} files: {' -> '.join(path)}")  # noqa: T201
    assert len(path) <= MOST_CALLS + told * EVENT_CALLS
    assert len(files) <= MOST_FILES + told * EVENT_FILES
