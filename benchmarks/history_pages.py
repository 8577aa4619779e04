"""How long each page of the dashboard takes, of a processor. Fifty tabs share one answer; these share none."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Final

import httpx

from umbel import Umbel
from umbel.dashboard.options import Options
from umbel.dashboard.site import site
from umbel.dashboard.station import Station
from umbel.history import History

ROUNDS: Final = 7
HOST: Final = "http://127.0.0.1:5555"
FIRST: Final = "/"


def pages(history: History) -> list[str]:
    """The pages, with what there is in *history*."""
    newest, failed = (history.jobs(text, limit=1).rows[0] for text in ("", "state:failed"))
    flow = f"flow{newest.seq // 200}"
    return [
        FIRST, "/?range=15m", "/?range=6h", "/?range=24h", "/?range=7d", "/jobs", "/jobs?q=state:failed",
        "/jobs?q=arg.user.id:77", "/jobs?q=run>5s", "/jobs?q=zzz", f"/jobs/{newest.id}", f"/jobs/{failed.id}", "/tasks",
        "/tasks?range=24h", "/tasks?range=7d", "/task?name=task.7", "/task?name=task.7&range=7d", "/errors",
        "/errors?range=24h", "/errors?range=7d", "/errors/7", "/flows", f"/flows/{flow}", "/queues",
        "/dead", "/schedules", "/workers", "/activity", "/bulk/new?what=retry&q=state:failed",
    ]  # fmt: skip


async def timed(history: History, folder: Path) -> dict[str, tuple[float, float]]:
    """Ms of a processor, and ms, of each page: medians; told as it goes."""
    print(f"\n{'page':45} {'cpu':>10} {'median':>10}")
    app = Umbel("shop", f"sqlite:///{folder}/umbel.db", set_as_current=False)
    station = Station(app, Options(recorder=False), history)
    transport = httpx.ASGITransport(site(station))
    found: dict[str, tuple[float, float]] = {}
    async with httpx.AsyncClient(transport=transport, base_url=HOST) as client:
        for page in pages(history):
            spent: list[tuple[float, float]] = []
            for _ in range(ROUNDS):
                station.forget()
                begun, used = time.perf_counter(), time.process_time()
                answer = await client.get(page)
                spent.append((1000 * (time.process_time() - used), 1000 * (time.perf_counter() - begun)))
                answer.raise_for_status()
            found[page] = (statistics.median(used for used, _ in spent), statistics.median(took for _, took in spent))
            print(f"{page:45} {found[page][0]:7.1f} ms {found[page][1]:7.1f} ms", flush=True)
    await app.aclose()
    return found
