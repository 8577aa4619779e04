"""The parts of a run: each has servers of its own, and is measured, kept and told apart from the others."""

import os
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import (
    backlog,
    command,
    control,
    environments,
    events,
    findings,
    flows,
    history,
    machine,
    receives,
    report,
    ticks,
)
from benchmarks.clock import minutes, tell
from benchmarks.contenders import CONTENDERS, LOOP, POSTGRES, RABBITMQ, REDIS, SQLITE, UMBEL, Contender
from benchmarks.findings import Findings
from benchmarks.options import Options
from benchmarks.rounds import Rounds
from benchmarks.servers import Servers

RESULTS = Path(__file__).parent / "RESULTS.md"
SMALL_DIFFERENCE = 2  # rounds more, where what is looked for is a small one
SMALLER_THAN_NOISE = 5  # the same, where neighbours differ by more than that without any cause


@dataclass(frozen=True)
class Run:
    """One part while it is measured."""

    contenders: list[Contender]
    servers: Servers
    asked: Options
    found: Findings
    ends: float

    def after(self, turn: int) -> bool:
        """Keep what the rounds up to *turn* found; whether there may be another, which would end in time."""
        self.found.done = turn
        keep(self)
        return minutes() + self.found.seconds / 60 / turn <= self.ends


def _contest(run: Run) -> None:
    Rounds(run.contenders, run.servers, run.asked, run.found.book).run(run.after)


def _flows(run: Run) -> None:
    run.found.members = run.asked.members
    run.found.held = flows.memory(run.servers, run.contenders, run.asked)

    def after(turn: int) -> bool:
        # The first round has the slow ones, so it tells nothing of the next.
        return run.after(turn) or minutes() < run.ends

    flows.run(run.contenders, run.servers, run.asked, run.found.book, after)


def _events(run: Run) -> None:
    run.found.rounds += SMALL_DIFFERENCE
    for engine in events.NAMES:
        run.found.watched += events.measure(run.servers, [engine], run.found.rounds, run.asked.watched)
        run.after(run.found.rounds)


def _control(run: Run) -> None:
    run.found.rounds += SMALLER_THAN_NOISE
    run.found.governed = control.measure(run.servers, run.found.rounds, run.asked.governed)
    run.found.done = run.found.rounds


def _backlog(run: Run) -> None:
    run.found.backlog = backlog.measure(run.contenders[0], run.servers, run.asked.backlog)
    run.found.rounds = run.found.done = 1


def _receives(run: Run) -> None:
    run.found.receives = receives.measure(run.servers, run.asked.backlog)
    run.found.rounds = run.found.done = 1


def _schedules(run: Run) -> None:
    run.found.rounds = run.found.done = 1
    run.found.ticked = ticks.measure(run.contenders, run.servers, run.asked.ticking)


def _command(run: Run) -> None:
    run.found.seconds_of_help = command.seconds_of_help()
    run.found.rounds = run.found.done = 1


def _history(run: Run) -> None:
    run.found.rounds = run.found.done = 1
    run.found.history = history.compared(run.asked.history, 3.0 if run.asked.quick else 30.0)


def _on(*engines: str) -> Callable[[Contender], bool]:
    return lambda contender: contender.engine in engines


def _named(*names: str) -> Callable[[Contender], bool]:
    return lambda contender: contender.name in names


@dataclass(frozen=True)
class Part:
    """*how* it is measured, who *takes_part*, and *by* when it should be over, a share of the minutes that all have."""

    how: Callable[[Run], None]
    takes_part: Callable[[Contender], bool]
    by: float


PARTS = {
    "command": Part(_command, _named(UMBEL), 0.01),
    "redis": Part(_contest, _on(REDIS), 0.47),
    "sqlite": Part(_contest, _on(SQLITE), 0.53),
    "rabbitmq": Part(_contest, _on(RABBITMQ), 0.61),
    "postgresql": Part(_contest, _on(POSTGRES), 0.71),
    "flows": Part(_flows, _named(*flows.NAMES), 0.79),
    "events": Part(_events, _named(*events.NAMES.values()), 0.84),
    "control": Part(_control, _named(UMBEL), 0.87),
    "backlog": Part(_backlog, _named(UMBEL), 0.9),
    "receives": Part(_receives, _named(receives.CONTENDER), 0.94),
    "schedules": Part(_schedules, _named(UMBEL), 1.0),
    "history": Part(_history, _named(UMBEL), 1.0),
}
"""By name, in the order in which they are measured."""
ALL = tuple(PARTS)
USUAL = tuple(name for name in ALL if name != "history")
"""What is measured if nothing is chosen: the history has no peers, and to fill one takes minutes."""


def measure(part: str, asked: Options) -> bool:
    """Measure *part*; what was found is kept as it comes. Whether it is complete."""
    known = PARTS[part]
    contenders = [one for one in CONTENDERS if known.takes_part(one) and (not asked.only or one.name in asked.only)]
    if not contenders:
        return True
    for contender in contenders:
        environments.prepare(contender, fresh=asked.fresh)
    tell(f"{part}: begins")
    found = Findings(part, rounds=asked.rounds, machine=machine.lines(), load=os.getloadavg()[0])
    found.versions = _versions(contenders)
    with Servers() as servers:
        run = Run(contenders, servers, asked, found, asked.minutes * known.by)
        try:
            known.how(run)
            found.complete = found.done == found.rounds
        except Exception as error:  # noqa: BLE001 - the other parts are measured all the same
            traceback.print_exc()
            found.book.fail(part, "broke off", f"{type(error).__name__}: {error}".partition("\n")[0])
        finally:
            keep(run)
    tell(f"{part}: took {found.seconds:.0f} s{'' if found.complete else ', incomplete'}")
    return found.complete


def _versions(contenders: Iterable[Contender]) -> dict[str, dict[str, str]]:
    return {each.environment: environments.versions(each) for each in contenders if each.name != LOOP}


def keep(run: Run) -> None:
    """Keep what was found so far."""
    run.found.seconds = time.time() - run.found.began
    run.found.servers = run.servers.versions()
    findings.save(run.found, folder(run.asked))
    if run.asked.write:
        RESULTS.write_text(told(run.asked))


def folder(asked: Options) -> Path:
    """Where findings are kept; those of quick runs are apart."""
    return findings.QUICK if asked.quick else findings.FULL


def told(asked: Options) -> str:
    """The report on all that was found, now and before."""
    parts = findings.load(folder(asked), PARTS)
    missing = PARTS.keys() - {each.part for each in parts}
    return report.markdown(parts, [part for part in PARTS if part in missing])
