"""Whole flows on Redis, from the call to the last value: groups, chords and chains of no-op jobs; their memory."""

import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from benchmarks.clock import tell
from benchmarks.contenders import UMBEL, Contender
from benchmarks.metrics import Book
from benchmarks.options import Options
from benchmarks.passes import MEGABYTE
from benchmarks.process_tree import ProcessTree
from benchmarks.rounds import said
from benchmarks.servers import Servers
from benchmarks.stage import ContenderFailed, Mode, staged

NAMES = ("umbel", "celery-late", "celery-solo")
SLOW = frozenset({"celery"})  # their flows take minutes: they run in the first round only
STEPS = 10  # a chain has so many times fewer steps than a group has members
LARGER = 10  # times the members, to see what memory they take
SAMPLE = 0.1  # seconds
MODE = Mode("def", results=True)
After = Callable[[int], bool]


@dataclass(frozen=True)
class Held:
    """A chord of *members*: the most memory of the client (RSS, bytes) and of the worker (PSS, bytes, sampled).

    *seconds* is how long it took to its value.
    """

    members: int
    client: int
    worker: int
    seconds: float

    @property
    def each(self) -> float:
        """Microseconds that a member took."""
        return 1e6 * self.seconds / self.members


def run(contenders: Iterable[Contender], servers: Servers, asked: Options, book: Book, after: After) -> None:
    """Let each contender that has flows run them, round after round; values go to *book*.

    *after* each round it is asked whether there may be another.
    """
    taking_part = [replace(one, part="flows") for one in contenders if one.name in NAMES]
    for turn in range(1, asked.rounds + 1):
        for contender in taking_part if turn % 2 else taking_part[::-1]:
            if turn > 1 and contender.environment in SLOW:
                continue
            try:
                measured = _one(contender, servers, asked)
            except ContenderFailed as error:
                book.fail(contender.name, "flows", str(error))
                tell(f"{contender.name}, flows: {error}")
                continue
            book.enter(contender.name, turn, measured)
            tell(f"flows  round {turn}  {contender.name:<15} {said(measured)}")
        if not after(turn):
            return


def memory(servers: Servers, contenders: Iterable[Contender], asked: Options) -> list[Held]:
    """What a chord takes, and one of many more members; each with a worker and a client of its own."""
    ours = [replace(one, part="flows") for one in contenders if one.name == UMBEL]
    return [_held(one, servers, asked.members * times) for one in ours for times in (1, LARGER)]


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
            chord = stage.drive("chord", members)
        _check(chord["value"][1], members)
        found = Held(members, int(chord["peak"]), max(most), float(chord["seconds"]))
    tell(f"flows  a chord of {members:,}: {found}")
    return found


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
    rows = [
        f"| {one.members:,} | {one.client / MEGABYTE:.1f} | {one.worker / MEGABYTE:.1f} | {one.each:.0f} |"
        for one in found
    ]
    return [
        "| members of a chord | most of the client (RSS), MB | most of the worker (PSS), MB | time a member, µs |",
        "|---|---|---|---|",
        *rows,
    ]
