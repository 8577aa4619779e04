"""Processes that tests start and kill: producers and workers on one SQLite file; they tell what was acknowledged.

``python -m tests.conformance.sqlite_victim send|work|hold|revoke URL NAME``; each line on standard output is a fact.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys

from umbel.brokers import connect
from umbel.contracts.broker import Beat, Settlement
from umbel.contracts.jobs import JobHolder
from umbel.contracts.mailbox import MailboxHolder
from umbel.model.ids import new_session
from umbel.model.job import Job
from umbel.settings import Settings

QUEUE = "ledger"
LEASE = 60.0
BATCH = 5


def tell(*words: str) -> None:
    """One fact in one write, so that a kill cuts no line."""
    os.write(1, (" ".join(words) + "\n").encode())


def send(url: str, name: str) -> None:
    """Send batches for ever, and tell which ids were accepted."""
    broker = connect(url, Settings(broker_send_deadline=60.0))
    for number in itertools.count():
        ids = [f"{name}-{number}-{index}" for index in range(BATCH)]
        broker.send([Job(job_id, QUEUE, job_id.encode()) for job_id in ids])
        tell(*ids)


async def work(url: str, name: str) -> None:
    """Receive and settle for ever, and tell which jobs ended; take over what dead workers held."""
    broker = connect(url, Settings(broker_send_deadline=60.0))
    session = new_session()
    await broker.heartbeat([Beat(session, name.encode())], [QUEUE], LEASE, opening=True)
    while True:
        await broker.reclaim([QUEUE], LEASE)
        deliveries = await broker.receive(session, [QUEUE], 16, wait=0.05)
        settlements = [Settlement(each, "end", record=each.envelope, ttl=3600.0) for each in deliveries]
        ours = await broker.settle(session, settlements)
        tell(*(each.id for each, our in zip(deliveries, ours, strict=True) if our))


async def hold(url: str, name: str) -> None:
    """Receive what is there, tell which jobs it holds, and keep them."""
    broker = connect(url, Settings(broker_send_deadline=60.0))
    session = new_session()
    await broker.heartbeat([Beat(session, name.encode())], [QUEUE], LEASE, opening=True)
    deliveries = await broker.receive(session, [QUEUE], 16, wait=60.0)
    tell(*(each.id for each in deliveries))
    await asyncio.Event().wait()


async def revoke(url: str, name: str) -> None:
    """Revoke the job *name*, tell in the box *name* what it is given, and keep it."""
    broker = connect(url, Settings(broker_send_deadline=60.0))
    assert isinstance(broker, JobHolder)
    assert isinstance(broker, MailboxHolder)
    [found] = await broker.job_store.arevoke(new_session(), [(name, None)], LEASE)
    await broker.mailbox.atell(name, [found.place.encode()], LEASE)
    await asyncio.Event().wait()


if __name__ == "__main__":
    _, kind, url, name = sys.argv
    if kind == "send":
        send(url, name)
    asyncio.run({"work": work, "hold": hold, "revoke": revoke}[kind](url, name))
