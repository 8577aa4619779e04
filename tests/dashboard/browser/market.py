"""A market whose dashboard has a day of history on every page, made up, and a few jobs that really ran."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from tests.dashboard.stage import Stage
from umbel import chain, chord, group
from umbel.contracts.history import Archive, Transaction
from umbel.contracts.powers import Inspector, QueueCounts
from umbel.exceptions import Reject
from umbel.history.sampling import Sampler
from umbel.history.views import Order
from umbel.model.event import Batch, Event, Kind, Tally, bucket_of
from umbel.schedules import crontab
from umbel.testing import worker

DAY: Final = 86_400
MINUTE: Final = 60
SPAN: Final = 10
TASKS: Final = (
    # name, queue, a minute, seconds, share that fails, arguments
    ("shop.charge", "payments", 42, 0.35, 0.02, '{"order":%d,"currency":"EUR"}'),
    ("shop.reserve", "default", 30, 0.05, 0.004, '{"order":%d,"items":[{"sku":"A-17","n":2}]}'),
    ("mail.send", "mail", 65, 0.22, 0.01, '{"to":"customer%d@example.org","template":"receipt"}'),
    ("images.resize", "images", 18, 2.4, 0.03, '{"image":%d,"sizes":[320,640,1280]}'),
    ("search.index", "default", 25, 0.09, 0.0, '{"product":%d}'),
    ("reports.build", "reports", 0.2, 48.0, 0.08, '{"month":"2026-10","shop":%d}'),
)
ERRORS: Final = {
    "shop.charge": ("stripe.CardDeclined", "card ending in %d was declined: insufficient funds", "shop/payments.py"),
    "shop.reserve": ("shop.stock.SoldOut", "no item A-%d in stock", "shop/stock.py"),
    "mail.send": ("TimeoutError", "no answer from mx%d.example.org within 10 s", "mail/sending.py"),
    "images.resize": ("PIL.UnidentifiedImageError", "cannot identify image file 'upload-%d.jpg'", "images/resizing.py"),
    "reports.build": ("ValueError", "month 2026-10 is not closed for shop %d", "reports/building.py"),
}
TRACE: Final = """Traceback (most recent call last):
  File "/srv/market/{file}", line 88, in run
    answer = session.request("POST", address, json=body)
  File "/usr/lib/python3.12/site-packages/httpx/_client.py", line 825, in request
    return self.send(request, auth=auth)
  File "/srv/market/{file}", line 31, in checked
    raise {kind}({message!r})
{kind}: {message}
"""
NODES: Final = ("web-1", "web-2", "batch-1")


class Market(msgspec.Struct, frozen=True):
    """A *stage*, ids of a job that *failed* and one that *runs*, of a *flow* and of an action on many jobs, *bulk*.

    *release* lets the job end that runs.
    """

    stage: Stage
    failed: str
    running: str
    flow: str
    bulk: str
    release: threading.Event


@contextmanager
def opened(folder: Path) -> Generator[Market]:
    """A market in *folder*, with a worker that lives as long."""
    stage = Stage(folder)
    past = Past(stage)
    past.write()
    past.sample(stage.archive)
    release = threading.Event()
    tasks = _tasks(stage, release)
    failed = tasks["shop.charge"].delay(4711, fails=True).id
    packed = chord(group(tasks["shop.label"].s(n) for n in range(4)), tasks["shop.pack"].s()).delay()
    broken = chain(tasks["shop.charge"].s(7, fails=True), tasks["shop.label"].s()).delay()
    unfit = tasks["shop.refuse"].delay(13).id
    stage.run(failed, packed.id, broken.id, unfit)
    with worker(stage.app, queues=("default", "reports"), threads=2):
        try:
            running = tasks["reports.slow"].apply_async((2026,), queue="reports").id
            stage.until(lambda: stage.app.AsyncResult(running).state == "PROGRESS")
            asyncio.run(_waiting(stage, tasks))
            stage.record()
            flow = stage.app.flows.get(packed.id)
            assert flow is not None
            yield Market(stage, failed, running, flow.id, _bulk(stage), release)
        finally:
            release.set()
    stage.close()


def _tasks(stage: Stage, release: threading.Event) -> dict[str, Any]:
    app = stage.app

    @app.task(name="shop.charge")
    def charge(order: int, *, fails: bool = False) -> int:
        if fails:
            raise ValueError(f"order {order} is refused")
        return order

    @app.task(name="shop.label")
    def label(parcel: int) -> int:
        return parcel

    @app.task(name="shop.pack")
    def pack(parcels: list[int]) -> int:
        return sum(parcels)

    @app.task(name="shop.refuse")
    def refuse(order: int) -> None:
        raise Reject(f"order {order} is no order")

    @app.task(name="reports.slow", bind=True)
    def slow(self: Any, year: int) -> int:
        self.progress(34, 120, "invoices")
        release.wait(600)
        return year

    return {each.name: each for each in (charge, label, pack, refuse, slow)}


async def _waiting(stage: Stage, tasks: dict[str, Any]) -> None:
    """What has not begun: delayed jobs, a paused queue, schedules."""
    app = stage.app
    for n in range(7):
        await tasks["shop.label"].aapply_async((n,), queue="mail")
    for n in range(3):
        await tasks["shop.label"].aapply_async((n,), countdown=3_600 * (n + 1), queue="default")
    await app.queues.apause("mail")
    await app.schedules.aadd("nightly-report", crontab(hour=3, minute=0), "shop.label", args=(17,))
    await app.schedules.aadd("every-minute", 60.0, "shop.label", args=(1,))
    await app.schedules.aadd("weekly-digest", crontab(hour=7, minute=30, day_of_week="mon"), "shop.label", args=(2,))
    await app.schedules.apause("weekly-digest")


def _bulk(stage: Stage) -> str:
    """An action on many jobs that has done a part of them."""
    counted = stage.history.count("state:failed")
    order = Order(
        id="a-bulk-action", what="jobs.retry", filter="state:failed", cutoff=counted.top, at=counted.at,
        who="local", origin="127.0.0.1", total=counted.n,
    )  # fmt: skip
    stage.history.bulk_begin(order)
    stage.history.bulk_take("nobody", order.id)
    stage.history.bulk_step(order.id, "nobody", done=counted.n // 2, failed=1, cursor=1)
    return order.id


class Open:
    """An archive whose steps all belong to one *transaction*, for many of them."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def write(self, step: Callable[[Transaction], None]) -> None:
        """Carry out *step*."""
        step(self._transaction)


class Past:
    """A day of a market that never was: the same each time, but that it ends now."""

    def __init__(self, stage: Stage) -> None:
        self._history = stage.history
        self._chance = random.Random(7)
        self._now = int(time.time()) // SPAN * SPAN
        self._numbers: dict[str, int] = {}

    def write(self) -> None:
        """Write it into the history."""
        batches = [self._batch("w-" + node, [self._online(node)], worker=node) for node in NODES]
        recent, near = self._now - 90 * MINUTE, self._now - 6 * 3_600
        for begin, end, span in (
            (self._now - DAY, near, 5 * MINUTE),
            (near, recent, MINUTE),
            (recent, self._now, SPAN),
        ):
            for moment in range(begin, end, span):
                tallies = [self._tally(task, moment, span) for task in TASKS]
                batches.append(self._batch("shop", [], [each for each in tallies if each is not None]))
        jobs = [list(self._jobs(minute)) for minute in range(recent, self._now, MINUTE)]
        batches += [self._batch("w-web-1", each, worker="web-1") for each in jobs]
        batches += [self._batch("w-" + node, [self._beat(node)], worker=node) for node in NODES]
        self._history.ingest(batches)

    def sample(self, archive: Archive) -> None:
        """Write how full the queues were in the last hours."""
        depths = dict.fromkeys(("default", "mail", "payments", "images", "reports"), 20)

        def step(transaction: Transaction) -> None:
            sampler = Sampler(cast(Archive, Open(transaction)), None, cast(Inspector, None), time.time)
            recent = self._now - 65 * MINUTE
            for moment in (*range(recent - 2 * 3_600, recent, MINUTE), *range(recent, self._now - SPAN, SPAN)):
                for queue, depth in depths.items():
                    most = (self._now - moment) // 20  # towards what really waits at the end
                    depths[queue] = min(max(0, depth + self._chance.randint(-4, 4)), most)
                counts = [QueueCounts(queue, ready=depth, running=min(4, depth)) for queue, depth in depths.items()]
                sampler._note(counts, [False] * len(counts), float(moment))

        archive.write(step)

    def _batch(self, source: str, events: Sequence[Event], tallies: Sequence[Tally] = (), worker: str = "") -> Batch:
        self._numbers[source] = number = self._numbers.get(source, 0) + 1
        return Batch(source, number, float(self._now), tuple(events), tuple(tallies), worker=worker)

    def _tally(self, task: tuple[Any, ...], moment: int, span: int) -> Tally | None:
        name, queue, rate, seconds, fails, _ = task
        hour = (moment % DAY) / 3_600
        busy = 0.55 + 0.45 * max(0.0, 1 - abs(hour - 13) / 9)
        n = round(rate * span / MINUTE * busy * self._chance.uniform(0.75, 1.25) + self._chance.random() - 0.5)
        if n <= 0:
            return None
        bad = sum(self._chance.random() < fails for _ in range(n))
        runs: dict[int, int] = {}
        waits: dict[int, int] = {}
        for _ in range(n):
            run, wait = bucket_of(seconds * self._chance.lognormvariate(0, 0.4)), bucket_of(self._chance.expovariate(9))
            runs[run], waits[wait] = runs.get(run, 0) + 1, waits.get(wait, 0) + 1
        retried = sum(self._chance.random() < fails for _ in range(n))
        return Tally(name, queue, float(moment), n, n - bad, bad, retried, 0, 0, waits, runs)

    def _jobs(self, minute: int) -> Iterator[Event]:
        for name, queue, _, seconds, fails, arguments in TASKS:
            for _ in range(self._chance.choice((0, 1, 1, 2))):
                number, at = self._chance.randint(1_000, 99_999), minute + self._chance.random() * 50
                job = f"{self._chance.getrandbits(48):012x}-{number}"
                yield Event("task-sent", at, job, name, queue, 0, {"kwargs": arguments % number}, b"\x80")
                run = seconds * self._chance.lognormvariate(0, 0.4)
                body: dict[str, Any] = {"run": run, "wait": self._chance.expovariate(9)}
                kind: Kind = "task-succeeded"
                if name in ERRORS and self._chance.random() < fails * 8:
                    kind, body = "task-failed", body | self._failure(name, number)
                yield Event(kind, at + body["wait"] + run, job, name, queue, 1, body)

    def _failure(self, name: str, number: int) -> dict[str, str]:
        kind, message, file = ERRORS[name]
        text = message % number
        return {"error": kind, "message": text, "traceback": TRACE.format(file=file, kind=kind, message=text)}

    def _online(self, node: str) -> Event:
        body = {"host": node + ".market", "pid": 4_000 + len(node), "version": "0.1.0", "queues": ["default", "mail"],
                "slots": 16, "tasks": {name: ["order"] for name, *_ in TASKS}}  # fmt: skip
        return Event("worker-online", self._now - 5_000.0, node, body=body)

    def _beat(self, node: str) -> Event:
        at = float(self._now - (900 if node == "batch-1" else 0))
        body = {"host": node + ".market", "pid": 4_000 + len(node), "version": "0.1.0", "queues": ["default", "mail"],
                "slots": 16, "used": 9, "rss": 187 * 2**20, "cpu": 212.5, "jobs": {}}  # fmt: skip
        return Event("worker-heartbeat", at, node, body=body)
