"""The examples of the pages run as they are written."""

from __future__ import annotations

import asyncio
import gc
import re
from pathlib import Path
from typing import Any

import pytest

from umbel.testing import worker
from umbel.testing.conformance.eventually import eventually

DOCS = Path(__file__).parents[2] / "docs"


TOLD = {
    "canvas": ["3", "canvas.fail: 3", "canvas.fail: 7"],
    "events": ["task-sent", "task-succeeded"],
    "progress": ["SUCCESS"],
    "signals": ["failed: ValueError(-1)", "shop.pay starts with [-1]", "tenant acme"],
}
"""What the tasks of a page note, in any order, when all have run."""


@pytest.mark.parametrize("page", ["canvas", "control", "dead-letters", "events", "flow-control", "progress", "signals"])
async def test_the_examples_of_the_page_run(page: str) -> None:
    first, *rest = re.findall(r"^```python\n(.*?)^```", (DOCS / f"{page}.md").read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"__name__": page}
    exec(first, names)  # noqa: S102 - our own page
    with worker(names["app"], threads=2):
        for number, block in enumerate(rest, 2):
            # In a thread, where no loop runs: an example may have one of its own.
            await asyncio.to_thread(exec, compile(block, f"{page}.md, example {number}", "exec"), names)
        await eventually(lambda: sorted(map(str, names.get("told", ()))) == TOLD.get(page, []), 20.0)
    names.clear()
    gc.collect()  # receivers of signals go with the page
