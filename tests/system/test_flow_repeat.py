"""Flows that have ended and run again as a whole: anew from their first step, from what the history has of them."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.system.harness import eventually
from umbel import Context, Graph, Umbel, chord, group
from umbel.canvas.repeating import KeptFlow
from umbel.cli.main import main
from umbel.exceptions import FlowError
from umbel.history import History, open_history
from umbel.history.recorder import Recorder
from umbel.history.recording import source_of
from umbel.history.retention import terms_of
from umbel.messenger import messenger
from umbel.testing import worker

WAIT = 100.0
for _room in ("brokers", "stores"):  # else a thread imports one of them while pytest rewrites another
    for _engine in ("postgres", "redis", "sqlite"):
        import_module(f"umbel.{_room}.{_engine}")
app = Umbel("repeat", broker="memory://flow-repeat", set_as_current=False)
ran = Counter[str]()
broken = {"flaky": False}


@app.task
def add(x: int, y: int = 0) -> int:
    ran["add"] += 1
    return x + y


@app.task
def total(values: list[int]) -> int:
    ran["total"] += 1
    return sum(values)


@app.task
def flaky(x: int) -> int:
    ran["flaky"] += 1
    if broken["flaky"]:
        raise ValueError(x)
    return x * 10


@app.task(bind=True)
def becomes(self: Context, x: int) -> Any:
    ran["becomes"] += 1
    return self.replace(add.s(x) | flaky.s())


@app.task(bind=True)
def adds_one(self: Context, x: int) -> int:
    ran["adds_one"] += 1
    self.add_to_chord(add.s(x, 1000))
    return x


@app.task(redact=["x"])
def secret(x: int) -> int:
    return x


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    folder = tmp_path_factory.mktemp("history")
    app.conf.history_url = f"sqlite:///{folder}/history.db"
    found = open_history(app.conf, app.main)
    with worker(app, threads=4):
        yield found
    found.close()


@pytest.fixture(autouse=True)
def _counting() -> None:
    ran.clear()
    broken["flaky"] = False


def recorded(of: Umbel, history: History, flow: str) -> str:
    """Wait until *flow* has ended and the history has all of its jobs; answers its id."""

    def whole() -> bool:
        messenger.flush()
        recorder = Recorder(history._archive, source_of(of), terms_of(of.conf))
        asyncio.run(recorder.catch_up())
        found, view = history.kept_flow(flow), of.flows.get(flow)
        if found is None or view is None or view.ended is None:
            return False
        states = history.flow(found.id)
        return (
            states is not None
            and sum(states.states.values()) >= (found.total or 0)
            and not states.states.get("running")
        )

    eventually(whole, f"flow {flow} is recorded", WAIT)
    found = history.kept_flow(flow)
    assert found is not None
    return found.id


SHAPES = [
    (add.s(1, 1) | flaky.s() | add.s(1), 21),
    (chord([add.s(1, 1), flaky.s(2), flaky.s(3) | add.s(1)], total.s()) | add.s(100), 153),
    (add.s(1, 1) | group(flaky.s(), add.s(7)) | total.s(), 29),
    (chord([chord([flaky.s(1), add.s(2, 2)], total.s()), add.s(3, 3)], total.s()), 20),
    (chord([becomes.s(1), add.s(2, 2)], total.s()), 14),
    (chord([adds_one.s(1), flaky.s(2), adds_one.s(3)], total.s()), 2028),
]


@pytest.mark.parametrize(("sig", "value"), SHAPES, ids=[repr(sig)[:70] for sig, _ in SHAPES])
def test_a_repeated_flow_runs_all_of_it_once_more_and_ends_alike(history: History, sig: Any, value: int) -> None:
    handle = sig.delay()
    assert handle.get(timeout=WAIT) == value
    flow = recorded(app, history, handle.id)
    once = Counter(ran)
    again = app.flows.repeat(handle.id, history)
    assert again.result.get(timeout=WAIT) == value
    assert ran == once + once
    assert (again.of, again.id != flow) == (flow, True)
    assert not {job.id for job in again.jobs} & {job.was for job in again.jobs}


def test_each_repeat_is_another_flow_and_one_of_an_act_that_is_repeated_is_the_same(history: History) -> None:
    handle = (add.s(1, 1) | add.s(1)).delay()
    assert handle.get(timeout=WAIT) == 3
    recorded(app, history, handle.id)
    first, second = (app.flows.repeat(handle.id, history, action="click") for _ in range(2))
    other = app.flows.repeat(first.of, history)
    assert (first.id == second.id, first.id == other.id) == (True, False)
    assert [each.result.get(timeout=WAIT) for each in (first, second, other)] == [3, 3, 3]
    assert ran["add"] == 2 * 3
    recorded(app, history, first.id)
    recorded(app, history, other.id)
    found, repeated = history.flow(first.of), history.flow(first.id)
    assert found is not None
    assert repeated is not None
    assert (set(found.repeats), repeated.origin) == ({first.id, other.id}, first.of)
    assert app.flows.repeat(first.id, history).result.get(timeout=WAIT) == 3


def test_what_was_left_of_a_flow_is_repeated_as_all_of_it(history: History) -> None:
    broken["flaky"] = True
    handle = chord([add.s(1, 1), flaky.s(2)], total.s()).delay()
    assert isinstance(handle.get(timeout=WAIT, propagate=False), Exception)
    flow = recorded(app, history, handle.id)
    broken["flaky"] = False
    rest = app.flows.retry(flow)
    assert rest.result.get(timeout=WAIT) == 22
    recorded(app, history, rest.id)
    ran.clear()
    again = app.flows.repeat(rest.id, history)
    assert (again.of, again.result.get(timeout=WAIT)) == (flow, 22)
    assert ran == Counter(add=1, flaky=1, total=1)


async def test_a_graph_that_failed_runs_again_whole_by_the_async_twin_too(history: History) -> None:
    broken["flaky"] = True
    graph = Graph(app)
    first, second = graph.add(flaky.s(1)), graph.add(add.s(2, 2))
    graph.add(total.s(), after=[first, second])
    graph.add(add.s(5), after=[first])
    await graph.asend()
    await asyncio.to_thread(recorded, app, history, second.result.id)
    broken["flaky"] = False
    again = await app.flows.arepeat(second.result.id, history)
    assert sorted([await each.aget(timeout=WAIT) for each in again.results]) == [14, 15]


def test_a_dry_run_tells_all_jobs_and_starts_nothing(history: History) -> None:
    handle = chord([add.s(1, 1), add.s(2)], total.s()).delay()
    assert handle.get(timeout=WAIT) == 4
    recorded(app, history, handle.id)
    found = app.flows.repeat(handle.id, history, dry_run=True)
    assert [job.task for job in found.jobs] == [add.name, add.name, total.name]
    assert app.flows.get(found.id) is None


def test_a_flow_that_cannot_be_repeated_says_why(history: History) -> None:
    waiting = (add.s(1, 1) | add.s(1)).apply_async(countdown=3_600)
    with pytest.raises(FlowError, match="has not ended"):
        app.flows.repeat(waiting.id, history)
    app.flows.revoke(waiting.id)
    with pytest.raises(FlowError, match="none of its jobs was recorded"):
        app.flows.repeat("nothing", history)
    hidden = (add.s(1, 1) | secret.s()).delay()
    hidden.get(timeout=WAIT)
    flow = recorded(app, history, hidden.id)
    with pytest.raises(FlowError, match=rf"job .* \({secret.name}\) is not kept: it was too large, or arguments"):
        app.flows.repeat(flow, history)
    plain = (add.s(1, 1) | add.s(1)).delay()
    plain.get(timeout=WAIT)
    kept = history.kept_flow(recorded(app, history, plain.id))
    assert kept is not None
    with pytest.raises(FlowError, match="1 of 2 of its jobs are recorded"):
        app.flows.repeat(kept.id, Memory(msgspec.structs.replace(kept, jobs=kept.jobs[:1])))
    with pytest.raises(FlowError, match="records of it do not fit together"):
        app.flows.repeat(kept.id, Memory(msgspec.structs.replace(kept, jobs=kept.jobs[1:], total=1)))


def test_the_command_line_shows_what_would_run_and_runs_it(
    history: History, capsys: pytest.CaptureFixture[str]
) -> None:
    handle = (add.s(1, 1) | add.s(1)).delay()
    assert handle.get(timeout=WAIT) == 3
    flow = recorded(app, history, handle.id)
    ask = ["-A", f"{__name__}:app", "flows", "repeat", flow]
    assert main([*ask, "--dry-run"]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()[1:]] == [[add.name, "default", "2"]]
    assert main([*ask, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["of"], told["started"], len(told["jobs"])) == (flow, True, 2)
    assert app.AsyncResult(told["jobs"][-1]["id"]).get(timeout=WAIT) == 3
    assert main(["-A", f"{__name__}:app", "flows", "repeat", "nothing"]) == 2


class Memory:
    """A keeper of one flow."""

    def __init__(self, flow: KeptFlow) -> None:
        self._flow = flow

    def kept_flow(self, flow: str) -> KeptFlow:
        return self._flow


@pytest.mark.parametrize("engine", ["sqlite", "redis", "postgres"])
def test_every_engine_starts_it(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db" if engine == "sqlite" else request.getfixturevalue(f"{engine}_url")
    with Umbel("elsewhere", broker=url, set_as_current=False) as made:
        made.conf.history_url = f"sqlite:///{tmp_path}/history.db"
        found = open_history(made.conf, made.main)
        plus = made.task(name="plus")(add.run)
        whole = made.task(name="total")(total.run)
        with worker(made, threads=2):
            handle = (chord([plus.s(number) for number in range(5)], whole.s()) | plus.s(1)).delay()
            assert handle.get(timeout=WAIT) == 11
            recorded(made, found, handle.id)
            assert made.flows.repeat(handle.id, found).result.get(timeout=WAIT) == 11
        found.close()
