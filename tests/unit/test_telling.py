"""What events tell of jobs that are sent: their arguments, redacted, and what it takes to send them again."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from umbel import Umbel, chain
from umbel.app.events import Occurrence, as_celery
from umbel.brokers.memory import MemoryBroker
from umbel.contracts.capabilities import Power
from umbel.engines.memory import Space
from umbel.exceptions import ImproperlyConfigured
from umbel.model.event import MAX_ENVELOPE_BYTES, Batch, Event
from umbel.retelling import read
from umbel.stores.memory import MemoryStore
from umbel.wire.envelope import decode as decode_envelope


class Silent(MemoryBroker):
    """An engine that keeps no events."""

    powers = MemoryBroker.powers - {Power.EVENTS}  # type: ignore[misc]


def batches(app: Umbel) -> list[Batch]:
    """What was told, once everything was sent."""
    assert app.teller is not None
    assert app.teller.journal.flush()
    kept = asyncio.run(app.broker.event_log.read("", 1000, 0.0))  # type: ignore[attr-defined]
    return [read(one.batch) for one in kept]


def told(app: Umbel) -> list[Event]:
    return [event for batch in batches(app) for event in batch.events]


def make(broker: type[MemoryBroker] = MemoryBroker, **settings: Any) -> Umbel:
    space = Space()
    return Umbel("shop", broker(space), MemoryStore(space), set_as_current=False, changes=settings)


@pytest.fixture
def app() -> Iterator[Umbel]:
    made = make(event_redact=["iban"])
    yield made
    made.close()


def test_a_job_that_is_sent_is_told_with_its_arguments_and_its_envelope(app: Umbel) -> None:
    @app.task(name="add")
    def add(x: int, y: int) -> int:
        return x + y

    before = time.time()
    handle = add.apply_async((1, 2), queue="q", priority=3, countdown=60, headers={"release": "7", "token": "t"})
    (event,) = told(app)
    assert (event.kind, event.id, event.task, event.queue, event.attempt) == ("task-sent", handle.id, "add", "q", 0)
    assert before <= event.at <= time.time()
    assert json.loads(event.body["args"]) == [1, 2]
    assert event.body["priority"] == 3
    assert event.body["eta"] >= before + 60
    assert json.loads(event.body["headers"]) == {"release": "7", "token": "***"}
    assert decode_envelope(event.envelope).task == "add"


def test_all_ways_to_send_are_told(app: Umbel) -> None:
    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    async def send() -> None:
        await add.adelay(1, 2)
        await add.adelay_many([(1, 2), (3, 4)])
        await app.asend_many([add.call(1, 2)])

    add.delay(1, 2)
    add.apply_async((1, 2))
    add.delay_many([(1, 2), (3, 4)])
    app.send_task("unknown", (1,))
    app.send_many([add.call(1, 2)])
    add.s(1, 2).delay()
    asyncio.run(send())
    events = told(app)
    assert [event.kind for event in events] == ["task-sent"] * 11
    assert len({event.id for event in events}) == 11


def test_what_a_task_hides_stays_out_of_events_and_so_does_its_envelope(app: Umbel) -> None:
    @app.task(redact=("pin",))
    def log_in(user: str, pin: str, iban: str = "", password: str = "") -> None: ...

    log_in.delay("joe", "1234", iban="DE1")
    log_in.delay("joe", pin="1234", password="56789")
    first, second = told(app)
    assert json.loads(first.body["args"]) == ["joe", "***"]
    assert json.loads(first.body["kwargs"]) == {"iban": "***"}
    assert json.loads(second.body["kwargs"]) == {"pin": "***", "password": "***"}
    assert (first.envelope, second.envelope) == (b"", b"")
    assert not [batch for batch in batches(app) if "1234" in str(batch) or "56789" in str(batch)]


def test_names_of_parameters_and_words_hide_arguments_of_jobs_that_are_told_as_they_are(app: Umbel) -> None:
    @app.task
    def pay(user: str, iban: str, secret: str = "") -> None: ...

    pay.delay("joe", "DE1", "s3cret")
    pay.apply_async(("joe",), {"iban": "DE1"})
    first, second = told(app)
    assert json.loads(first.body["args"]) == ["joe", "***", "***"]
    assert json.loads(second.body["kwargs"]) == {"iban": "***"}


def test_a_large_envelope_stays_out_of_events(app: Umbel) -> None:
    @app.task
    def show(text: str) -> None: ...

    show.delay("x" * MAX_ENVELOPE_BYTES)
    (event,) = told(app)
    assert event.envelope == b""


def test_a_task_can_be_left_out_and_is_counted(app: Umbel) -> None:
    @app.task(name="quiet", send_events=False)
    def quiet() -> None: ...

    quiet.delay()
    (batch,) = batches(app)
    assert batch.events == ()
    assert [(tally.task, tally.sent) for tally in batch.tallies] == [("quiet", 1)]


def test_a_share_of_jobs_is_told_and_all_are_counted() -> None:
    app = make(history_sample=0.25)

    @app.task
    def add(x: int) -> int:
        return x

    add.delay_many([(number,) for number in range(400)])
    found = batches(app)
    assert 40 <= sum(len(batch.events) for batch in found) <= 180
    assert sum(tally.sent for batch in found for tally in batch.tallies) == 400
    assert app.teller is not None
    chosen = {event.id for batch in found for event in batch.events}
    assert all(app.teller.telling(job, "x") == (job in chosen) for job in chosen)


def test_nobody_is_told_where_nobody_wants_to_know() -> None:
    app = make(task_send_sent_event=False)
    app.send_task("x")
    assert app.teller is None


def test_an_engine_without_events_is_named_once_if_events_were_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    quiet = make(Silent)
    quiet.send_task("x")
    assert (quiet.teller, caplog.text) == (None, "")
    loud = make(Silent, task_send_sent_event=True)
    loud.send_task("x")
    loud.send_task("x")
    assert caplog.text.count("task_send_sent_event needs a broker that keeps what happened") == 1
    with pytest.raises(ImproperlyConfigured, match=r"app\.events needs a broker that keeps what happened"):
        quiet.events()


def test_a_flow_that_is_started_is_told(app: Umbel) -> None:
    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    chain(add.s(1, 2), add.s(3)).delay()
    (event,) = told(app)
    assert (event.kind, event.body) == ("flow-started", {"total": 2})


@pytest.mark.parametrize("redact", ["pin", ("pun",), ("args",), (1,)])
def test_only_parameters_can_be_hidden(app: Umbel, redact: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="redact"):

        @app.task(redact=redact)
        def log_in(user: str, pin: str, *args: str) -> None: ...


def test_celerys_receivers_are_told_in_celerys_words() -> None:
    event = Occurrence("task-succeeded", 5.0, "id", "add", "q", 2, "w1@here", "s", {"run": 0.5, "result": "3"})
    assert as_celery(event) == {
        "type": "task-succeeded",
        "timestamp": 5.0,
        "hostname": "w1@here",
        "uuid": "id",
        "name": "add",
        "queue": "q",
        "retries": 1,
        "runtime": 0.5,
        "result": "3",
    }
