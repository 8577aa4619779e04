"""Files to try it on, written here: orders as CSV, always the same ones."""

from __future__ import annotations

import csv
import random
from collections import Counter
from pathlib import Path
from typing import Final

COUNTRIES: Final = ("AT", "CH", "DE", "DK", "FR", "IT", "NL", "PL")
ORDERS: Final = 50
"""How many a file has."""


def write_all(folder: Path, count: int) -> tuple[list[Path], Counter[str]]:
    """Write *count* files into *folder*; answers them, and what the report should say: cents by country."""
    folder.mkdir(parents=True, exist_ok=True)
    due = Counter[str]()
    return [_write(folder / f"orders-{number:03}.csv", number, due) for number in range(count)], due


def _write(path: Path, number: int, due: Counter[str]) -> Path:
    chance = random.Random(number)
    with path.open("w", newline="") as output:
        writer = csv.writer(output)
        writer.writerow(["order", "country", "cents"])
        for order in range(ORDERS):
            country, cents = chance.choice(COUNTRIES), chance.randrange(100, 100_000)
            writer.writerow([f"{number}-{order}", country, cents])
            due[country] += cents
    return path
