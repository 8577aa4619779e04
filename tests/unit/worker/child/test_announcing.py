"""What is told when an app was loaded: settings may still change, logging may be taken over, nothing is ignored."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from umbel import Umbel, log, signals
from umbel.worker.child.announcing import announce, app_loaded, listened, set_up_log, warn_of_untracked
from umbel.worker.messages import Load, Moment
from umbel.worker.options import WorkerOptions

Connect = Callable[[signals.Signal, Callable[..., Any]], None]


@pytest.fixture
def connect() -> Iterator[Connect]:
    connected: list[tuple[signals.Signal, Callable[..., Any]]] = []

    def connect(signal: signals.Signal, receiver: Callable[..., Any]) -> None:
        signal.connect(receiver, weak=False)
        connected.append((signal, receiver))

    yield connect
    for signal, receiver in connected:
        signal.disconnect(receiver)


@pytest.fixture(autouse=True)
def set_ups(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(log, "setup", lambda *given: calls.append(given))
    return calls


@pytest.fixture
def app() -> Umbel:
    return Umbel("announced", broker="memory://announced", set_as_current=False)


def order(worker: str = "w1@here", **options: Any) -> Load:
    return Load(WorkerOptions(app="announced", loglevel="INFO", **options), "entry", worker)


def test_a_worker_is_told_of_in_order_and_its_settings_may_change(app: Umbel, connect: Connect) -> None:
    told: list[tuple[str, Any]] = []

    def receiver(signal: signals.Signal, sender: Any, **named: Any) -> None:
        told.append((signal.name, sender))
        assert named.keys() == signal.providing_args
        if signal is signals.celeryd_init:
            assert named["options"]["loglevel"] == "INFO"
            named["conf"].worker_max_crashes = 7

    names = ("celeryd_init", "after_setup_logger", "celeryd_after_setup", "worker_init", "beat_embedded_init")
    for name in (*names, "beat_init"):
        connect(getattr(signals, name), receiver)
    app_loaded(app, order())
    assert told == list(zip(names, ("w1@here", None, "w1@here", app, app), strict=True))
    assert app.conf.worker_max_crashes == 7
    told.clear()
    app_loaded(app, order(worker=""))
    assert told == [("after_setup_logger", None), ("beat_init", app)]


def test_whoever_listens_to_setup_logging_sets_it_up(connect: Connect, set_ups: list[Any]) -> None:
    told: list[dict[str, Any]] = []
    set_up_log(order(logfile="w.log").options)
    assert len(set_ups) == 1
    connect(signals.setup_logging, lambda **named: told.append(named))
    connect(signals.after_setup_logger, lambda **named: told.append(named))
    set_up_log(order(logfile="w.log").options)
    assert len(set_ups) == 1
    (named,) = told
    assert (named["loglevel"], named["logfile"], named["format"]) == (logging.INFO, "w.log", "auto")


def test_the_supervisor_learns_which_moments_are_listened_to(app: Umbel, connect: Connect) -> None:
    told: list[Any] = []
    assert listened() == []
    connect(signals.worker_shutting_down, lambda **named: told.append(named))
    assert listened() == ["worker_shutting_down"]
    announce(app, Moment("worker_shutting_down", {"sig": "SIGTERM", "how": "Warm", "exitcode": 0}), "w1@here")
    assert (told[0]["sender"], told[0]["sig"], told[0]["exitcode"]) == ("w1@here", "SIGTERM", 0)
    announce(app, Moment("nonsense"), "w1@here")
    assert len(told) == 1


@pytest.mark.parametrize(
    ("url", "tracked", "said"),
    [("memory://announced", True, False), ("amqp://here", True, True), ("amqp://here", False, False)],
)
def test_a_broker_that_shows_no_states_is_told_of(
    caplog: pytest.LogCaptureFixture, url: str, tracked: bool, said: bool
) -> None:
    app = Umbel("announced", broker=url, backend="disabled://", set_as_current=False)

    @app.task(track_started=tracked)
    def work() -> None: ...

    with caplog.at_level(logging.WARNING):
        warn_of_untracked(app)
    assert ("no job is shown as STARTED" in caplog.text) is said


def test_settings_that_tune_nothing_are_named_once_in_the_log_of_a_worker(
    app: Umbel, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    def leave_it(**_: Any) -> None:
        """The log is set up: caplog hears it."""

    connect(signals.setup_logging, leave_it)
    app.conf["beat_sync_every"] = 1
    with caplog.at_level("INFO"):
        app_loaded(app, order())
    assert caplog.messages.count("settings that tune nothing in Umbel: beat_sync_every") == 1
