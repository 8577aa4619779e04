"""A queue on a real Redis whose scripts can be cut short or altered, and an audit of its keys."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from umbel.brokers.redis.calls import FOLDER, Calls
from umbel.brokers.redis.operations import Steps, named
from umbel.brokers.redis.packing import batches
from umbel.contracts.broker import Settlement
from umbel.engines.operation import drive
from umbel.engines.redis import Engine
from umbel.engines.redis_address import parse
from umbel.engines.redis_command import Command, Script, Word, load
from umbel.exceptions import BrokerError
from umbel.model.job import Counts, Delivery, Job

QUEUE = "q"
PREFIX = "umbel:{q}:"
LEASE = 10_000
START = 1_700_000_000.0
PRELUDE = (Path(__file__).parent / "cut.lua").read_text()


class Stage:
    """Calls scripts one by one. *now* is what they take for the time, in unix seconds."""

    def __init__(self, url: str) -> None:
        self.engine = Engine(parse(url, timeout=30.0, connect_timeout=30.0), 30.0)
        self.now = START
        self.calls = Calls(b"umbel:0:e:", lambda: self.now)

    def do(self, *words: Word) -> Any:
        """One plain command."""
        return self.engine.call([Command(words)])[0]

    def run(self, name: str, *words: Word) -> Any:
        """One script; a key of a wrong type is named in the error."""
        return drive(named(self.calls, [QUEUE], self._steps(name, words)), self.engine.call)

    def alter(self, name: str, change: Callable[[str], str]) -> None:
        """Let *change* rewrite the text of a script from now on."""
        self.calls.scripts[name] = Script(name, change(load(FOLDER, name).text))

    def restore(self, name: str) -> None:
        """Use the script as it is again."""
        self.calls.scripts.pop(name, None)

    def close(self) -> None:
        self.engine.close()

    def fresh(self) -> None:
        """An empty server with two open sessions."""
        self.do("FLUSHALL")
        self.now = START
        assert self.run("heartbeat", LEASE, 1, "s1", b"", "s2", b"") == [1, 1]

    def send(self, *jobs: Job) -> int:
        words = [word for job in jobs for word in (job.id, job.level, -int(job.delay * 1000), job.envelope)]
        return int(self.run("send", *words))

    def receive(self, session: str, number: int, want: int = 100) -> list[Delivery]:
        reply = self.run("receive", session, number, want, 1 << 20)
        return [
            Delivery(job_id.decode(), QUEUE, level, number, envelope)
            for job_id, level, envelope in zip(reply[2::4], reply[3::4], reply[4::4], strict=True)
        ]

    def settle(self, session: str, *settlements: Settlement) -> list[int]:
        return list(self.run("settle", *settling(session, *settlements))[1:])

    def _steps(self, name: str, words: Sequence[Word]) -> Steps[Any]:
        return (yield [self.calls.make(name, QUEUE, words)])[0]


def settling(session: str, *settlements: Settlement) -> list[Word]:
    """The arguments of a settle."""
    (batch,) = batches(settlements)
    return [session, b"umbel:0:e:", len(batch.places), *batch.items, *batch.operations]


# --- a queue in every state, and one call of each script upon it

MIXED = [Job(f"k{number}", QUEUE, b"E", priority=9 - number % 3, delay=50.0 * (number % 4 == 0)) for number in range(8)]


def sent(stage: Stage) -> None:
    """Eight jobs, on three levels; k0 and k4 are delayed."""
    stage.fresh()
    stage.send(*MIXED)


def due(stage: Stage) -> None:
    """The same, and the delayed ones are due."""
    sent(stage)
    for beat in range(1, 13):
        stage.now = START + 5 * beat
        stage.run("heartbeat", LEASE, 0, "s1", b"", "s2", b"")


def starved(stage: Stage) -> None:
    """The same as `sent`, and none of them was taken for a second."""
    sent(stage)
    stage.run("age", 1_000, 200)
    stage.now += 1


def held(stage: Stage) -> None:
    """Six jobs held by s1, two delayed, one of the six with counters."""
    sent(stage)
    deliveries = {each.id: each for each in stage.receive("s1", 1)}
    stage.settle("s1", Settlement(deliveries["k1"], "retry", counts=Counts(1)))
    stage.receive("s1", 1 + 1)


def lapsed(stage: Stage) -> None:
    """The same, s1's lease has run out while s2 went on, and the delayed jobs are due."""
    held(stage)
    for beat in range(1, 13):
        stage.now = START + 5 * beat
        stage.run("heartbeat", LEASE, 0, "s2", b"")


def parked(stage: Stage) -> None:
    """Two of six jobs parked under one name."""
    held(stage)
    stage.settle("s1", *(Settlement(delivery(each), "park", task="task") for each in ("k2", "k3")))


def delivery(job_id: str) -> Delivery:
    """What s1 holds after `held`."""
    number = int(job_id[1:])
    return Delivery(job_id, QUEUE, number % 3, 2 if job_id == "k1" else 1, b"E")


def verdicts() -> list[Word]:
    """One settlement of each kind, two follow-ups, a replaced envelope."""
    after = (Job("next", QUEUE, b"NEXT"), Job("later", QUEUE, b"LATER", delay=5.0))
    return settling(
        "s1",
        Settlement(delivery("k1"), "end", record=b"one", ttl=60.0, follow_ups=after),
        Settlement(delivery("k2"), "retry", delay=5.0, counts=Counts(1), envelope=b"NEW"),
        Settlement(delivery("k3"), "dead", record=b"three", ttl=60.0),
        Settlement(delivery("k5"), "release"),
        Settlement(delivery("k6"), "park", task="task"),
        Settlement(delivery("k7"), "retry"),
    )


@dataclass(frozen=True)
class Scenario:
    """A script called in a prepared queue, and what it reaches.

    *writes* is the least number of writes that makes the test worth it; *again* are the arguments of a repeat, if they
    differ; *holds* is what must be so after each cut.
    """

    script: str
    prepare: Callable[[Stage], None]
    words: Sequence[Word]
    writes: int
    reached: Callable[[Stage], bool]
    again: Sequence[Word] = ()
    holds: Callable[[Stage], bool] = bool

    def __str__(self) -> str:
        return self.script


def _is_forgotten(stage: Stage) -> bool:
    return stage.do("HKEYS", f"{PREFIX}held:s1") == [b"#"] and not stage.do("ZSCORE", f"{PREFIX}sessions", "s1")


def _all_are_settled(stage: Stage) -> bool:
    left = {job_id for job_id, where in places(stage).items() for place in where if place.startswith("held:")}
    wanted = {
        "k2": ["delayed"], "k3": ["dead"], "k5": ["ready:2"], "k6": ["parked:task"], "k7": ["ready:1"],
        "next": ["ready:9"], "later": ["delayed"],
    }  # fmt: skip
    return (
        left == set()
        and stage.do("GET", f"{PREFIX}r:k1") == b"one"
        and stage.do("HGET", f"{PREFIX}jobs", "k2") == b"NEW"
        and not stage.do("HEXISTS", f"{PREFIX}jobs", "k1")
        and all(set(places(stage)[job_id]) == set(where) for job_id, where in wanted.items())
    )


def scenarios() -> list[Scenario]:
    """Every script that moves jobs."""
    eight = [word for job in MIXED for word in (job.id, job.level, -int(job.delay * 1000), job.envelope)]
    return [
        Scenario("send", Stage.fresh, eight, 5, _all_are_sent),
        Scenario("heartbeat", sent, [LEASE, 1, "s3", b"info"], 4, lambda _: True),
        Scenario("receive", due, ["s2", 1, 20, 1 << 20], 9, _all_are_held, again=["s2", 2, 20, 1 << 20]),
        Scenario("settle", held, verdicts(), 20, _all_are_settled),
        Scenario("reconcile", held, ["s1", 3, "k1", "0:9"], 14, lambda stage: _count(stage, "held:s1") == 1),
        Scenario("mark", held, ["s1", "k2", "2:1"], 2, _is_marked),
        Scenario("close", held, ["s1", 200, LEASE, "k1", ""], 20, _is_forgotten),
        Scenario("reclaim", lapsed, [LEASE, 200], 24, _is_forgotten),
        Scenario("unpark", parked, ["task", 200], 5, lambda stage: not stage.do("EXISTS", f"{PREFIX}parked")),
        Scenario("age", starved, [1_000, 200], 6, lambda stage: not stage.do("EXISTS", f"{PREFIX}ready:2")),
    ]


def _all_are_sent(stage: Stage) -> bool:
    return _count(stage, "jobs") == len(MIXED)


def _all_are_held(stage: Stage) -> bool:
    return _count(stage, "held:s2") == len(MIXED) + 1


def _is_marked(stage: Stage) -> bool:
    return bool(stage.do("HGET", f"{PREFIX}counts", "k2").endswith(b":q"))


def _count(stage: Stage, key: str) -> int:
    return int(stage.do("HLEN", PREFIX + key))


# --- the audit


def places(stage: Stage) -> dict[str, list[str]]:
    """Where each id is found; keys of a wrong type hold nothing."""
    found: dict[str, list[str]] = {}
    for job_id, place in _entries(stage):
        found.setdefault(job_id, []).append(place)
    return found


def _entries(stage: Stage) -> Iterator[tuple[str, str]]:
    void = set(stage.do("SMEMBERS", f"{PREFIX}void")) if stage.do("TYPE", f"{PREFIX}void") == b"set" else set()
    for key in stage.do("KEYS", f"{PREFIX.replace('{', '[{]')}*"):
        name = key.decode().removeprefix(PREFIX)
        kind = stage.do("TYPE", key)
        if name.startswith("ready:") and kind == b"list":
            members, cut = stage.do("LRANGE", key, 0, -1), 0
        elif name.startswith("parked:") and kind == b"list":
            members, cut = stage.do("LRANGE", key, 0, -1), 1
        elif (name in ("delayed", "dead") or name.startswith("line:")) and kind == b"zset":
            members, cut = stage.do("ZRANGE", key, 0, -1), int(name != "dead")
        elif name.startswith("held:") and kind == b"hash":
            members, cut = [each for each in stage.do("HKEYS", key) if each != b"#"], 0
        else:
            continue
        for member in members:
            if name.startswith("ready:") and member in void:
                void.discard(member)
                continue
            yield member.decode()[cut:], name


def orphans(stage: Stage) -> Collection[str]:
    """Jobs without a place: what may never be."""
    return {job_id.decode() for job_id in stage.do("HKEYS", f"{PREFIX}jobs")}.difference(places(stage))


def cut_everywhere(stage: Stage, scenario: Scenario, change: Callable[[str], str] = str) -> tuple[int, list[str]]:
    """Cut the script before each of its writes, then repeat it whole; answers how many cuts, and what went wrong."""
    wrong: list[str] = []
    for cut in range(200):
        scenario.prepare(stage)
        stage.alter(scenario.script, lambda text, cut=cut: _with_prelude(change(text), cut))  # type: ignore[misc]
        try:
            stage.run(scenario.script, *scenario.words)
        except BrokerError as error:
            if "CUT" not in str(error):
                raise
        else:
            return cut, wrong
        wrong += [f"cut {cut}: {job_id} has no place" for job_id in orphans(stage)]
        if not scenario.holds(stage):
            wrong.append(f"cut {cut}: {places(stage)}")
        stage.restore(scenario.script)
        stage.run(scenario.script, *(scenario.again or scenario.words))
        wrong += [f"cut {cut}, repeated: {job_id} has no place" for job_id in orphans(stage)]
        if not scenario.reached(stage):
            wrong.append(f"cut {cut}, repeated: {places(stage)}")
    raise AssertionError("the script never came to its end")


def _with_prelude(text: str, cut: int) -> str:
    shebang, _, rest = text.partition("\n")
    return f"{shebang}\n{PRELUDE.replace('CUT = 0', f'CUT = {cut}')}{rest}"
