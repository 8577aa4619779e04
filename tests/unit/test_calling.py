"""What a call says beside its arguments."""

import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from umbel import Task, Umbel
from umbel.contracts.powers import Location
from umbel.exceptions import EncodeError, ImproperlyConfigured
from umbel.model.job import Job
from umbel.wire.envelope import Envelope, decode


class Mailbox:
    """A sender that keeps what it is given; one element a round trip."""

    def __init__(self) -> None:
        self.sent: list[list[Job]] = []

    def send(self, jobs: Any) -> None:
        self.sent.append(list(jobs))

    async def asend(self, jobs: Any) -> None:
        self.send(jobs)

    def close(self) -> None: ...

    async def aclose(self) -> None: ...

    def locate(self, job_id: str, queue: str | None) -> Location:
        return Location("ready")

    @property
    def last(self) -> Job:
        return self.sent[-1][-1]

    @property
    def envelope(self) -> Envelope:
        return decode(self.last.envelope)


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def app(mailbox: Mailbox) -> Umbel:
    return Umbel("calling", broker=mailbox, backend="memory://calling", set_as_current=False)  # type: ignore[arg-type]


@pytest.fixture
def add(app: Umbel) -> Task[[int, int], int]:
    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    return add


def test_a_plain_call_uses_the_defaults(add: Task[[int, int], int], mailbox: Mailbox) -> None:
    handle = add.delay(1, 2)
    job, envelope = mailbox.last, mailbox.envelope
    assert (job.id, job.queue, job.priority, job.delay, job.eta) == (handle.id, "default", 0, 0.0, None)
    assert envelope.task == "tests.unit.test_calling.add"
    assert bytes(envelope.args) == b"\x92\x01\x02"
    assert envelope.created == pytest.approx(time.time(), abs=60)
    assert envelope.origin is not None
    assert envelope.origin.startswith("gen")
    assert (envelope.expires, envelope.headers, envelope.parent_id) == (None, None, None)


def test_settings_and_task_give_the_defaults_and_the_call_wins(app: Umbel, mailbox: Mailbox) -> None:
    app.conf.update(task_default_queue="usual", task_default_priority=2)

    @app.task
    def plain() -> None: ...

    @app.task(queue="mail", priority=4, expires=60)
    def special() -> None: ...

    plain.delay()
    assert (mailbox.last.queue, mailbox.last.priority, mailbox.envelope.priority) == ("usual", 2, 2)
    special.delay()
    assert (mailbox.last.queue, mailbox.last.priority) == ("mail", 4)
    assert mailbox.envelope.expires == pytest.approx(time.time() + 60, abs=30)
    special.apply_async(queue="other", priority=0, expires=5)
    assert (mailbox.last.queue, mailbox.last.priority, mailbox.envelope.priority) == ("other", 0, 0)
    assert mailbox.envelope.expires == pytest.approx(time.time() + 5, abs=4)


@pytest.mark.parametrize("countdown", [5, 5.0, timedelta(seconds=5)])
def test_a_countdown_is_counted_by_the_broker(add: Task[[int, int], int], mailbox: Mailbox, countdown: Any) -> None:
    add.apply_async((1, 2), countdown=countdown)
    assert (mailbox.last.delay, mailbox.last.eta) == (5.0, None)
    assert mailbox.envelope.eta == pytest.approx(time.time() + 5, abs=4)


@pytest.mark.parametrize(
    "eta",
    [
        datetime(2030, 1, 1, 12, tzinfo=UTC),
        datetime(2030, 1, 1, 12),  # noqa: DTZ001 - without a zone it is UTC, as in Celery
        datetime(2030, 1, 1, 14, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_an_eta_is_a_moment(add: Task[[int, int], int], mailbox: Mailbox, eta: datetime) -> None:
    add.apply_async((1, 2), eta=eta)
    assert (mailbox.last.delay, mailbox.last.eta) == (0.0, 1893499200.0)
    assert mailbox.envelope.eta == 1893499200.0


def test_countdown_wins_over_eta(add: Task[[int, int], int], mailbox: Mailbox) -> None:
    add.apply_async((1, 2), countdown=5, eta=datetime(2030, 1, 1, tzinfo=UTC))
    assert (mailbox.last.delay, mailbox.last.eta) == (5.0, None)


def test_a_countdown_in_the_past_is_now(add: Task[[int, int], int], mailbox: Mailbox) -> None:
    add.apply_async((1, 2), countdown=-5)
    assert (mailbox.last.delay, mailbox.last.eta, mailbox.envelope.eta) == (0.0, None, None)


def test_everything_else_travels_in_the_envelope(add: Task[[int, int], int], mailbox: Mailbox) -> None:
    handle = add.apply_async(
        [1],
        {"y": 2},
        task_id="mine:1",
        headers={"trace": "abc", "on": datetime(2026, 1, 2, tzinfo=UTC)},
        ignore_result=True,
        max_retries=7,
        retry_policy={"max_retries": None, "backoff": 2, "jitter": False, "default_delay": 1},
        soft_time_limit=3,
        time_limit=timedelta(minutes=1),
    )
    envelope = mailbox.envelope
    assert (handle.id, mailbox.last.id, handle.ignored) == ("mine:1", "mine:1", True)
    assert envelope.headers is not None
    assert envelope.headers["trace"] == "abc"
    assert (envelope.ignore_result, envelope.max_retries) == (True, 7)
    assert envelope.retry_policy == {"max_retries": None, "backoff": 2.0, "jitter": False, "default_delay": 1.0}
    assert (envelope.soft_time_limit, envelope.time_limit) == (3.0, 60.0)


def test_none_says_nothing(add: Task[[int, int], int], mailbox: Mailbox) -> None:
    add.apply_async((1, 2), countdown=None, queue=None, priority=None, expires=None, task_id=None, max_retries=None)
    assert (mailbox.last.queue, mailbox.last.delay) == ("default", 0.0)


def test_options_bind_and_a_later_option_wins(add: Task[[int, int], int], mailbox: Mailbox) -> None:
    bound = add.options(queue="mail", countdown=5)
    assert type(bound) is type(add)
    bound.delay(1, 2)
    assert (mailbox.last.queue, mailbox.last.delay) == ("mail", 5.0)
    bound.options(priority=3).apply_async((1, 2), queue="other")
    assert (mailbox.last.queue, mailbox.last.delay, mailbox.last.priority) == ("other", 5.0, 3)
    bound.apply_async((1, 2), eta=datetime(2030, 1, 1, 12, tzinfo=UTC))
    assert (mailbox.last.delay, mailbox.last.eta) == (0.0, 1893499200.0)
    add.delay(1, 2)
    assert mailbox.last.queue == "default"


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"countdwn": 5}, TypeError, "unknown option 'countdwn': did you mean 'countdown'"),
        ({"shadow": "x"}, TypeError, "the option 'shadow' is not supported yet"),
        ({"link": 1}, TypeError, "link"),
        ({"producer": 1}, TypeError, "the option 'producer' is not supported: the broker is the app's"),
        ({"countdown": "5"}, TypeError, "countdown is '5': give seconds or a timedelta"),
        ({"countdown": float("nan")}, ValueError, "give a finite number"),
        ({"countdown": float("inf")}, ValueError, "give a finite number"),
        ({"countdown": True}, TypeError, "countdown is True"),
        ({"eta": 5}, TypeError, "eta is 5: give a datetime"),
        ({"expires": "soon"}, TypeError, "expires is 'soon'"),
        ({"queue": "a b"}, ValueError, "queue is 'a b': give 1-128 letters"),
        ({"queue": ""}, ValueError, "queue is ''"),
        ({"queue": 3}, ValueError, "queue is 3"),
        ({"priority": 10}, ValueError, "priority is 10: give a number from 0 to 9"),
        ({"priority": -1}, ValueError, "priority is -1"),
        ({"priority": True}, ValueError, "priority is True"),
        ({"task_id": "a b"}, ValueError, "task_id is 'a b'"),
        ({"task_id": "a" * 256}, ValueError, "task_id is"),
        ({"task_id": "é"}, ValueError, "task_id is"),
        ({"headers": {"a": object()}}, EncodeError, "header 'a' of type object cannot travel"),
        ({"headers": {1: "a"}}, TypeError, "give a dict with text as keys"),
        ({"headers": "a"}, TypeError, "give a dict with text as keys"),
        ({"ignore_result": 1}, TypeError, "ignore_result is 1"),
        ({"max_retries": -1}, ValueError, "max_retries is -1"),
        ({"max_retries": 1.5}, ValueError, "max_retries is 1.5"),
        ({"retry_policy": {"max_retry": 1}}, TypeError, "unknown option 'max_retry': did you mean 'max_retries'"),
        ({"retry_policy": 3}, TypeError, "retry_policy is 3: give a dict"),
        ({"retry_policy": {"jitter": "no"}}, TypeError, "jitter is 'no'"),
        ({"time_limit": 0}, ValueError, "time_limit is 0: give more than 0 seconds"),
        ({"soft_time_limit": -1.5}, ValueError, "soft_time_limit is -1.5"),
        ({"time_limit": float("nan")}, ValueError, "time_limit is nan"),
        ({"soft_time_limit": 5, "time_limit": 3}, ValueError, r"soft_time_limit \(5 s\) is more than time_limit"),
    ],
)
def test_a_wrong_option_fails_at_the_call_and_nothing_is_sent(
    add: Task[[int, int], int], mailbox: Mailbox, options: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        add.apply_async((1, 2), **options)
    assert str(caught.value).startswith(add.name)
    with pytest.raises(error, match=words):
        add.options(**options)
    assert mailbox.sent == []


def test_options_of_celerys_that_ask_for_what_is_done_anyway_are_sent_nowhere(
    add: Task[[int, int], int], mailbox: Mailbox
) -> None:
    options: Any = {"serializer": "json", "retry": True, "delivery_mode": 2, "queue": "mail"}
    add.apply_async((1, 2), **options)
    assert mailbox.last.queue == "mail"


@pytest.mark.parametrize(
    ("args", "kwargs", "words"),
    [
        ("ab", None, "args is 'ab': give a tuple"), ({"x": 1}, None, "args is {'x': 1}"), (1, None, "args is 1"),
        ((), [1], r"kwargs is \[1\]: give a dict"),
    ],
)  # fmt: skip
def test_what_are_no_arguments_is_refused(
    add: Task[[int, int], int], app: Umbel, mailbox: Mailbox, args: Any, kwargs: Any, words: str
) -> None:
    for call in (add.apply_async, add.apply, lambda *given: app.send_task("far.away", *given)):
        with pytest.raises(TypeError, match=words):
            call(args, kwargs)
    assert mailbox.sent == []


def test_a_job_that_is_too_large_is_refused(add: Task[[int, int], int], app: Umbel, mailbox: Mailbox) -> None:
    @app.task
    def keep(text: str) -> None: ...

    with pytest.raises(
        EncodeError, match=r"arguments of tests\.unit.* take 1,\d\d\d,\d\d\d bytes, more than message_max"
    ):
        keep.delay("a" * 1024 * 1024)
    app.conf.message_max_bytes = 100
    with pytest.raises(EncodeError, match="message_max_bytes"):
        keep.delay("a" * 100)
    assert mailbox.sent == []


def test_many_jobs_are_one_round_trip(add: Task[[int, int], int], mailbox: Mailbox) -> None:
    handles = add.options(queue="mail").delay_many([(1, 2), (3, 4)])
    ((first, second),) = mailbox.sent
    assert [handle.id for handle in handles] == [first.id, second.id]
    assert first.queue == "mail"
    assert bytes(decode(second.envelope).args) == b"\x92\x03\x04"


def test_one_wrong_call_among_many_sends_nothing(add: Task[[int, int], int], mailbox: Mailbox) -> None:
    with pytest.raises(EncodeError, match="'x'"):
        add.delay_many([(1, 2), ("a", 4)])
    assert mailbox.sent == []


def test_calls_of_several_tasks_are_one_round_trip(add: Task[[int, int], int], app: Umbel, mailbox: Mailbox) -> None:
    @app.task
    def mail(to: str) -> None: ...

    handles = app.send_many([add.call(1, 2), mail.options(queue="mail").call("x")])
    (jobs,) = mailbox.sent
    assert [job.queue for job in jobs] == ["default", "mail"]
    assert [handle.id for handle in handles] == [job.id for job in jobs]


async def test_the_async_twins_send_the_same(add: Task[[int, int], int], app: Umbel, mailbox: Mailbox) -> None:
    await add.adelay(1, 2)
    await add.aapply_async((1, 2), queue="q")
    await add.adelay_many([(1, 2), (3, 4)])
    await app.asend_many([add.call(1, 2)])
    await app.asend_task("elsewhere", (1,), queue="q")
    assert [len(jobs) for jobs in mailbox.sent] == [1, 1, 2, 1, 1]
    assert mailbox.envelope.task == "elsewhere"


def test_a_task_that_is_not_known_here_can_be_sent(app: Umbel, mailbox: Mailbox) -> None:
    handle = app.send_task("other.task", (1, {"when": datetime(2026, 1, 2, tzinfo=UTC)}), {"a": 1}, priority=9)
    assert (handle.id, mailbox.envelope.task, mailbox.last.priority) == (mailbox.last.id, "other.task", 9)
    with pytest.raises(EncodeError, match=r"other\.task: argument number 1 of type object"):
        app.send_task("other.task", (object(),))


def test_a_known_task_is_sent_by_name_with_its_defaults_and_checks(app: Umbel, mailbox: Mailbox) -> None:
    @app.task(name="known", queue="mail")
    def known(x: int) -> None: ...

    app.send_task("known", (1,))
    assert mailbox.last.queue == "mail"
    with pytest.raises(EncodeError, match="'x'"):
        app.send_task("known", ("a",))


def test_a_task_without_an_app_says_so() -> None:
    class Lonely(Task[..., Any]):
        name = "lonely"

        def run(self) -> None: ...

    with pytest.raises(ImproperlyConfigured, match="lonely is not registered in an app"):
        Lonely().delay()
