"""A network that is cut, goes silent or is slow: every broker goes on by itself, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import cast
from urllib.parse import urlsplit

import pytest

from umbel.brokers import connect
from umbel.contracts.broker import Beat, Settlement
from umbel.contracts.powers import Inspector
from umbel.exceptions import BrokerUnavailable
from umbel.model.ids import new_session
from umbel.model.job import Delivery, Job
from umbel.settings import Settings
from umbel.testing.conformance.eventually import eventually, soon
from umbel.testing.proxy import Proxy

QUEUE = "default"
LEASE = 600.0
RESUME_SECONDS = 60.0
WAIT_SECONDS = 10.0
SLOW_SECONDS = 0.05
DEADLINE_SECONDS = 2.0
SHORT_LEASE = 1.0

HURTS: dict[str, Callable[[Proxy], None]] = {"cut": Proxy.cut, "half-open": Proxy.go_silent}


class Scene:
    """A broker behind a proxy, and the same one with a line of its own."""

    def __init__(self, url: str, backend: str, proxy: Proxy) -> None:
        self.proxy = proxy
        port = str(urlsplit(url).port)
        patient = Settings(result_backend=backend, broker_send_deadline=RESUME_SECONDS)
        self.near = connect(url, patient)
        settings = Settings(result_backend=backend, broker_send_deadline=DEADLINE_SECONDS, worker_lease=SHORT_LEASE)
        self.far = connect(url.replace(f":{port}", f":{proxy.port}"), settings)
        self.patient = connect(url.replace(f":{port}", f":{proxy.port}"), patient)
        self.session = new_session()
        self.held: dict[str, Delivery] = {}

    async def open(self) -> None:
        """Open a session, over the line that is not hurt."""
        assert await self.near.heartbeat([Beat(self.session)], [QUEUE], LEASE, opening=True) == [True]

    async def close(self) -> None:
        """Give everything back."""
        for broker in (self.near, self.far, self.patient):
            await broker.aclose()
            broker.close()

    async def take(self, job_id: str) -> Delivery:
        """Receive over the proxy as a worker does until *job_id* comes."""
        while job_id not in self.held:
            try:
                received = await self.far.receive(self.session, [QUEUE], 10, wait=WAIT_SECONDS)
            except BrokerUnavailable:
                with suppress(BrokerUnavailable):
                    await self.far.reconcile(self.session, [QUEUE], list(self.held.values()))
            else:
                self.held |= {delivery.id: delivery for delivery in received}
        return self.held[job_id]

    async def send(self, job_id: str) -> None:
        """Send over the proxy as a patient program does."""
        while True:
            try:
                return await self.far.asend([Job(job_id, QUEUE, b"1")])
            except BrokerUnavailable:
                continue

    async def is_empty(self) -> bool:
        """Whether nothing is left of any job."""
        (counts,) = await cast("Inspector", self.near).counts([QUEUE])
        return counts.ready + counts.delayed + counts.running == 0

    async def settle(self) -> list[bool]:
        """Settle over the proxy all that is held, as a worker does."""
        while True:
            try:
                settlements = [Settlement(each, "end") for each in self.held.values()]
                return await self.far.settle(self.session, settlements)
            except BrokerUnavailable:
                continue


@pytest.fixture(params=["redis", "postgres", "rabbitmq"])
async def scene(request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    kind = request.param
    url = request.getfixturevalue(f"{kind}_url")
    backend = request.getfixturevalue("redis_url") if kind == "rabbitmq" else url
    port = urlsplit(url).port
    assert port is not None
    with Proxy(port) as proxy:
        made = Scene(url, backend, proxy)
        await made.open()
        yield made
        await made.close()


@pytest.mark.parametrize("hurt", HURTS)
async def test_lines_that_fail_are_replaced_and_a_job_is_sent_received_and_settled_once(
    scene: Scene, hurt: str
) -> None:
    await scene.send("before")
    await scene.take("before")
    waiting = asyncio.create_task(scene.take("after"))
    await asyncio.sleep(0)
    HURTS[hurt](scene.proxy)
    scene.proxy.mend()
    await soon(scene.send("after"), RESUME_SECONDS)
    await soon(waiting, RESUME_SECONDS)
    await soon(scene.settle(), RESUME_SECONDS)
    await eventually(scene.is_empty, RESUME_SECONDS)


async def test_a_slow_line_is_only_slow(scene: Scene) -> None:
    scene.proxy.slow(SLOW_SECONDS)
    scene.far, scene.patient = scene.patient, scene.far  # a settle that is said again is answered otherwise
    await scene.send("job")
    await soon(scene.take("job"), RESUME_SECONDS)
    assert await soon(scene.settle(), RESUME_SECONDS) == [True]
