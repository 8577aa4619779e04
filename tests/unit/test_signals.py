"""Signals: who is called, with what, in which thread; and that an observer changes nothing."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import threading
from contextvars import ContextVar, copy_context
from pathlib import Path
from typing import Any

import pytest

from umbel import Umbel, signals
from umbel.signals import Signal
from umbel.to_end import belongs_to

SECONDS = 60.0
place: ContextVar[str] = ContextVar("place", default="nowhere")


@pytest.fixture
def signal() -> Signal:
    return Signal("moment", ["what"])


def test_receivers_are_called_in_order_with_signal_and_sender(signal: Signal) -> None:
    told: list[Any] = []

    @signal.connect
    def first(**named: Any) -> str:
        told.append(("first", named))
        return "one"

    @signal.connect(sender="me")
    def second(sender: object = None, **_: Any) -> None:
        told.append(("second", sender))

    assert signal.send("me", what=1) == [(first, "one"), (second, None)]
    assert told == [("first", {"signal": signal, "sender": "me", "what": 1}), ("second", "me")]
    assert signal.send("another", what=2) == [(first, "one")]


def test_a_receiver_is_connected_once_and_can_leave(signal: Signal) -> None:
    def receiver(**_: Any) -> None: ...

    signal.connect(receiver)
    signal.connect(receiver)
    assert len(signal.send(None)) == 1
    assert signal.has_listeners()
    assert signal.disconnect(receiver)
    assert not signal.disconnect(receiver)
    assert not signal.receivers
    assert signal.send(None) == []


def test_a_dispatch_uid_stands_for_the_receiver(signal: Signal) -> None:
    for _ in range(2):
        signal.connect(lambda **_: 1, weak=False, dispatch_uid="once")
    assert len(signal.send(None)) == 1
    assert signal.disconnect(dispatch_uid="once")
    assert not signal.receivers


def test_what_nobody_holds_is_forgotten_unless_it_is_held_here(signal: Signal) -> None:
    def make() -> None:
        def inner(**_: Any) -> None: ...

        signal.connect(inner)
        signal.connect(lambda **_: "kept", weak=False)

    make()
    gc.collect()
    assert [response for _, response in signal.send(None)] == ["kept"]
    assert len(signal.receivers) == 1


def test_methods_are_receivers_as_long_as_their_object_lives(signal: Signal) -> None:
    class Observer:
        def hear(self, **_: Any) -> object:
            return self

    observer = Observer()
    signal.connect(observer.hear)
    signal.connect(observer.hear)
    assert [response for _, response in signal.send(None)] == [observer]
    assert signal.disconnect(observer.hear)
    signal.connect(observer.hear)
    del observer
    gc.collect()
    assert signal.send(None) == []


def test_a_task_stands_for_its_name(signal: Signal) -> None:
    app = Umbel("signals", broker="memory://signals", set_as_current=False)

    @app.task
    def add() -> None: ...

    @app.task
    def other() -> None: ...

    signal.connect(lambda **_: 1, sender=add, weak=False)
    assert len(signal.send(add)) == len(signal.send(add.options(queue="q"))) == len(signal.send(add.name)) == 1
    assert signal.send(other) == []


def test_a_receiver_that_fails_is_logged_and_changes_nothing(signal: Signal, caplog: pytest.LogCaptureFixture) -> None:
    def wrong(**_: Any) -> None:
        raise KeyError("k")

    def right(**_: Any) -> str:
        return "told"

    signal.connect(wrong)
    signal.connect(right)
    with caplog.at_level(logging.ERROR):
        (_, error), (_, answer) = signal.send(None)
    assert isinstance(error, KeyError)
    assert answer == "told"
    assert "moment failed: KeyError('k')" in caplog.text


def test_where_nothing_must_be_missing_the_error_is_raised() -> None:
    strict = Signal("strict", raises=True)

    def make() -> None:
        @strict.connect
        def wrong(**_: Any) -> None:
            raise KeyError("k")

    make()
    gc.collect()
    with pytest.raises(KeyError):
        strict.send(None)


def test_a_receiver_with_retry_is_called_until_it_succeeds(signal: Signal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "FIRST_PAUSE_SECONDS", 0.001)
    told = threading.Event()
    calls: list[int] = []

    def flaky(**_: Any) -> None:
        calls.append(1)
        if len(calls) < 3:
            raise ConnectionError
        told.set()

    signal.connect(flaky, retry=True)
    assert isinstance(signal.send(None)[0][1], ConnectionError)
    assert told.wait(SECONDS)
    assert len(calls) == 3


def test_a_receiver_must_be_ready_to_be_told_more(signal: Signal) -> None:
    with pytest.raises(ValueError, match=r"must take \*\*kwargs"):
        signal.connect(lambda sender: None)
    with pytest.raises(TypeError, match="cannot be called"):
        signal.connect(3)  # type: ignore[call-overload]


async def hear(**named: Any) -> tuple[str, str, object]:
    await asyncio.sleep(0)
    return threading.current_thread().name, place.get(), named["what"]


def test_coroutines_are_run_to_their_end(signal: Signal) -> None:
    signal.connect(hear)
    told = copy_context().run(lambda: (place.set("here"), signal.send(None, what=1))[1])
    assert told == [(hear, (threading.current_thread().name, "here", 1))]


async def test_coroutines_are_awaited_in_the_loop_of_whoever_awaits(signal: Signal) -> None:
    signal.connect(hear)
    assert await signal.asend(None, what=1) == [(hear, (threading.current_thread().name, "nowhere", 1))]


async def test_in_a_thread_that_runs_tasks_coroutines_run_in_the_childs_loop(signal: Signal) -> None:
    signal.connect(hear)
    loop = asyncio.get_running_loop()

    def work() -> Any:
        belongs_to(loop)
        place.set("inside")
        return signal.send(None, what=1)[0][1]

    mine = threading.current_thread().name
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()), name="a-thread", daemon=True)
    thread.start()
    await asyncio.to_thread(thread.join, SECONDS)
    assert found == [(mine, "inside", 1)]


async def test_a_post_does_not_wait_for_coroutines(signal: Signal) -> None:
    order: list[str] = []
    done = asyncio.Event()

    async def late(**_: Any) -> None:
        await asyncio.sleep(0)
        order.append("coroutine")
        done.set()

    def soon(**_: Any) -> None:
        order.append("function")

    signal.connect(late)
    signal.connect(soon)
    signal.post(None)
    assert order == ["function"]
    await asyncio.wait_for(done.wait(), SECONDS)
    assert order == ["function", "coroutine"]


def test_it_is_known_whether_anybody_listens_around_runs() -> None:
    before = set(signals.AROUND_RUNS), set(signals.UNSTARTED)
    name = "task_failure"
    assert name not in before[0] | before[1]

    def receiver(**_: Any) -> None: ...

    signals.task_failure.connect(receiver)
    assert ({*before[0], name}, {*before[1], name}) == (signals.AROUND_RUNS, signals.UNSTARTED)
    signals.task_failure.disconnect(receiver)
    assert before == (signals.AROUND_RUNS, signals.UNSTARTED)


TABLE = {
    "before_task_publish": "body exchange routing_key headers properties declare retry_policy",
    "after_task_publish": "body headers exchange routing_key",
    "task_received": "request",
    "task_prerun": "task_id task args kwargs",
    "task_postrun": "task_id task args kwargs retval state",
    "task_success": "result runtime",
    "task_failure": "task_id exception args kwargs traceback einfo",
    "task_retry": "request reason einfo",
    "task_revoked": "request terminated signum expired",
    "task_rejected": "message exc",
    "task_unknown": "message exc name id",
    "task_internal_error": "task_id args kwargs request exception traceback einfo",
    "celeryd_init": "instance conf options",
    "celeryd_after_setup": "instance conf",
    "import_modules": "",
    "worker_init": "",
    "worker_ready": "",
    "worker_shutting_down": "sig how exitcode",
    "worker_shutdown": "",
    "heartbeat_sent": "",
    "worker_before_create_process": "",
    "worker_process_init": "",
    "worker_process_shutdown": "pid exitcode",
    "setup_logging": "loglevel logfile format colorize",
    "after_setup_logger": "logger loglevel logfile format colorize",
    "after_setup_task_logger": "logger loglevel logfile format colorize",
    "beat_init": "",
    "beat_embedded_init": "",
}
"""Celery's signals, and what each tells."""


def test_each_signal_has_the_name_and_the_arguments_of_celerys() -> None:
    made = {name: signal for name, signal in vars(signals).items() if isinstance(signal, Signal)}
    assert {name: signal.name for name, signal in made.items()} == {name: name for name in TABLE}
    assert {name: signal.providing_args for name, signal in made.items()} == {
        name: frozenset(args.split()) for name, args in TABLE.items()
    }


def test_each_signal_is_documented_with_its_arguments() -> None:
    page = (Path(__file__).parents[2] / "docs" / "signals.md").read_text()
    rows = re.findall(r"^\| (`[^|]+) \| ([^|]*)\|", page, re.MULTILINE)
    told = {name: set(re.findall(r"`([^`]*)`", row)) for names, row in rows for name in re.findall(r"`(\w+)`", names)}
    assert told.keys() == TABLE.keys()
    for name, args in TABLE.items():
        if not name.startswith("after_setup"):  # "and the same"
            assert set(" ".join(told[name]).split()) == set(args.split()), name


def test_it_is_connected_called_and_left_with_celerys_arguments(signal: Signal) -> None:
    def receiver(**_: Any) -> str:
        return "heard"

    signal.connect(receiver, None, True, "uid", False)
    assert signal.send_robust(None) == signal.send(sender=None) == [(receiver, "heard")]
    assert not signal.disconnect(receiver, None, True)
    assert signal.disconnect(receiver, None, None, "uid")


def test_signals_of_things_that_umbel_has_not_are_refused() -> None:
    with pytest.raises(ImportError, match="task_sent is not supported: use after_task_publish"):
        exec("from umbel.signals import task_sent", {})  # noqa: S102 - our own text
    with pytest.raises(AttributeError):
        _ = signals.task_snet
