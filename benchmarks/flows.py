"""Whole flows on Redis, from the call to the last value: groups, chords and chains of no-op jobs; their memory."""

import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from benchmarks.contenders import REDIS, UMBEL, Contender
from benchmarks.metrics import FLOWS, METRICS, Book
from benchmarks.options import Options
from benchmarks.passes import MEGABYTE
from benchmarks.process_tree import ProcessTree
from benchmarks.servers import Servers
from benchmarks.stage import ContenderFailed, Mode, Stage, staged

NAMES = ("umbel", "celery-late", "celery-solo")
STEPS = 10  # a chain has so many times fewer steps than a group has members
LARGER = 10  # times the members, to see what memory they take
SAMPLE = 0.1  # seconds
MODE = Mode("def", results=True)


@dataclass(frozen=True)
class Held:
    """Memory, in bytes, with a chord of *members*: the most of the client (RSS) and of the worker (PSS, sampled)."""

    members: int
    client: int
    worker: int


def run(contenders: list[Contender], servers: Servers, asked: Options, book: Book) -> None:
    """Let each contender that has flows run them, round after round; values go to *book*."""
    taking_part = [replace(one, part="flows") for one in contenders if one.name in NAMES and one.engine == REDIS]
    if asked.metrics.isdisjoint(FLOWS):
        return
    for turn in range(1, asked.rounds + 1):
        for contender in taking_part if turn % 2 else taking_part[::-1]:
            try:
                measured = _one(contender, servers, asked)
            except ContenderFailed as error:
                book.fail(contender.name, "flows", str(error))
                print(f"{contender.name}, flows: {error}", flush=True)
                continue
            book.enter(contender.name, turn, measured)
            values = "  ".join(f"{name} {value:,.{METRICS[name].digits}f}" for name, value in measured.items())
            print(f"flows  round {turn}  {contender.name:<15} {values}", flush=True)


def memory(servers: Servers, contenders: list[Contender], asked: Options) -> list[Held]:
    """What a chord takes, and one of many more members; each with a worker and a client of its own."""
    ours = next((replace(one, part="flows") for one in contenders if one.name == UMBEL), None)
    if ours is None or "flow-memory" not in asked.metrics:
        return []
    return [_held(ours, servers, asked.members * times) for times in (1, LARGER)]


def _one(contender: Contender, servers: Servers, asked: Options) -> dict[str, float]:
    """One worker, and one flow of each kind."""
    measured: dict[str, float] = {}
    members, steps = asked.members, asked.members // STEPS
    with staged(contender, MODE, servers) as stage, stage.worker() as (_, probe):
        stage.drive("chain", 10)  # the worker is up
        if not asked.metrics.isdisjoint({"flow-sent", "flow-group"}):
            group = stage.drive("group", members)
            _check(group["value"], members)
            measured |= {"flow-sent": group["sent"], "flow-group": group["seconds"]}
        if not asked.metrics.isdisjoint({"flow-chord", "flow-body"}):
            chord = stage.drive("chord", members)
            began, total = chord["value"]
            _check(total, members)
            measured |= {"flow-chord": chord["seconds"], "flow-body": (began - probe.last()) / 1e6}
        if "flow-chain" in asked.metrics:
            chain = stage.drive("chain", steps)
            _check(chain["value"], steps)
            measured["flow-chain"] = chain["seconds"]
    return {name: value for name, value in measured.items() if name in asked.metrics}


def _held(contender: Contender, servers: Servers, members: int) -> Held:
    with staged(contender, MODE, servers) as stage, stage.worker() as (tree, _):
        stage.drive("chain", 10)
        with _peak(tree) as most:
            client = _client(stage, members)
        found = Held(members, client, max(most))
    print(f"memory of a chord of {members:,}: client {found.client:,}, worker {found.worker:,}", flush=True)
    return found


def _client(stage: Stage, members: int) -> int:
    measured = stage.drive("chord", members)
    _check(measured["value"][1], members)
    return int(measured["peak"])


@contextmanager
def _peak(tree: ProcessTree) -> Generator[list[int]]:
    """Memory of *tree*, sampled in a thread while the block does something else."""
    found = [tree.memory().pss]
    done = threading.Event()

    def record() -> None:
        while not done.wait(SAMPLE):
            found.append(tree.memory().pss)

    thread = threading.Thread(target=record)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


def _check(value: object, wanted: int) -> None:
    if value != wanted:
        raise ContenderFailed(f"the flow's value is {value}, not {wanted}")


def lines(found: Sequence[Held]) -> list[str]:
    """The memory as a Markdown table."""
    rows = [f"| {one.members:,} | {one.client / MEGABYTE:.1f} | {one.worker / MEGABYTE:.1f} |" for one in found]
    return [
        "| members of a chord | most of the client (RSS), MB | most of the worker (PSS), MB |",
        "|---|---|---|",
        *rows,
    ]
