"""What each part of a run found, kept as JSON below ``build/bench``, so that a part can be measured again alone."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from benchmarks.backlog import Backlog
from benchmarks.control import Governed
from benchmarks.environments import FOLDER
from benchmarks.events import Cost
from benchmarks.flows import Held
from benchmarks.metrics import Book
from benchmarks.receives import Receives
from benchmarks.ticks import Ticked

FULL, QUICK = FOLDER / "parts", FOLDER / "parts-quick"


@dataclass
class Findings:
    """Of one *part*, or of several together.

    *began* is a Unix time; *load* is that of the machine just then. *rounds* were asked for, *done* there were. It is
    *complete* once all that was asked for was measured. *machine* and *servers* are lines of text, *versions* are by
    environment and package, *seconds_of_help* one a start of the command. *history* has rows of where, what, how much
    was found, how much is allowed, and the unit.
    """

    part: str = ""
    began: float = field(default_factory=time.time)
    seconds: float = 0.0
    load: float = 0.0
    rounds: int = 0
    done: int = 0
    complete: bool = False
    machine: list[str] = field(default_factory=list)
    servers: list[str] = field(default_factory=list)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    book: Book = field(default_factory=Book)
    members: int = 0
    held: list[Held] = field(default_factory=list)
    ticked: list[Ticked] = field(default_factory=list)
    watched: list[Cost] = field(default_factory=list)
    governed: Governed | None = None
    backlog: Backlog | None = None
    receives: Receives | None = None
    seconds_of_help: list[float] = field(default_factory=list)
    history: list[tuple[str, str, float, float, str]] = field(default_factory=list)


def save(found: Findings, folder: Path) -> None:
    """Write it in place of what was found of that part before."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f"{found.part}.new"
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(found)))
    draft.replace(folder / f"{found.part}.json")


def load(folder: Path, parts: Iterable[str]) -> list[Findings]:
    """Those of *parts* of which something was found, in that order."""
    places = [folder / f"{part}.json" for part in parts]
    return [msgspec.json.decode(place.read_bytes(), type=Findings) for place in places if place.exists()]


def clear(folder: Path, parts: Iterable[str]) -> None:
    """Forget what was found of *parts*."""
    for part in parts:
        (folder / f"{part}.json").unlink(missing_ok=True)


def together(parts: Sequence[Findings]) -> Findings:
    """All of *parts* in one."""
    whole = Findings()
    for each in parts:
        whole.book.add(each.book)
        whole.versions |= each.versions
        whole.servers += [line for line in each.servers if line not in whole.servers]
        whole.machine = each.machine
        _take(whole, vars(each))
    return whole


def _take(whole: Findings, found: Mapping[str, object]) -> None:
    """Take over what only one part can have found."""
    for name in (
        "members",
        "held",
        "ticked",
        "watched",
        "governed",
        "backlog",
        "receives",
        "seconds_of_help",
        "history",
    ):
        if found[name]:
            setattr(whole, name, found[name])
