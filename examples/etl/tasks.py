"""Extract, transform, load: a job for each file, side by side, and one that gets what all of them found.

The second one is the body of a chord. It runs when the last file was read, once, whatever dies in between.
"""

from __future__ import annotations

import csv
import json
import os
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from umbel import Signature, Umbel, chord

PAUSE: Final = float(os.environ.get("ETL_PAUSE", "0"))
"""Seconds that reading a file takes longer, as if it were a large one."""

app = Umbel("etl")


@app.task
def revenue(source: str) -> dict[str, int]:
    """The cents by country of the orders in the CSV file *source*."""
    time.sleep(PAUSE)
    found = Counter[str]()
    with Path(source).open(newline="") as rows:
        for row in csv.DictReader(rows):
            found[row["country"]] += int(row["cents"])
    return dict(found)


@app.task
def report(parts: list[dict[str, int]], target: str) -> dict[str, int]:
    """Add up *parts* and write the sums to the JSON file *target*, which appears when it is complete."""
    sums = Counter[str]()
    for part in parts:
        sums.update(part)
    unfinished = Path(target).with_suffix(".part")
    unfinished.write_text(json.dumps(sums, indent=2, sort_keys=True))
    unfinished.replace(target)
    return dict(sums)


def pipeline(sources: Iterable[Path], target: Path) -> Signature[Any]:
    """Read all *sources*, then write *target*."""
    return chord([revenue.s(str(source)) for source in sources], report.s(str(target)))
