"""Umbel with schedules of one second, whose task writes down its schedule, its tick and when it ran."""

import os
import time
from typing import Any

from benchmarks.peers.terms import BROKER
from umbel import Umbel

SCHEDULES = 120
FILE = os.open(os.environ["UMBEL_BENCH_TICKS"], os.O_CREAT | os.O_APPEND | os.O_WRONLY)

app = Umbel("ticks", broker=BROKER)
app.conf.beat_schedule = {
    f"s{number}": {"task": "tick", "schedule": 1.0, "misfire": "all"} for number in range(SCHEDULES)
}


@app.task(name="tick", bind=True)
def tick(self: Any) -> None:
    """Write a line in one call, so that a process that is killed leaves none or all of it."""
    now, headers = time.time(), self.request.headers
    run = f"{self.request.id} {self.request.deliveries} {now:.6f}"
    line = f"{headers['umbel_schedule']} {headers['umbel_tick']:.3f} {run}\n"
    os.write(FILE, line.encode())
