"""``python -m benchmarks``: run the contest and print the tables. See ``--help``."""

import importlib.util
import signal
import sys
from pathlib import Path

from benchmarks import backlog, environments, events, flows, options, receives, report, ticks
from benchmarks.contenders import CONTENDERS, LOOP, UMBEL, Contender
from benchmarks.options import Options
from benchmarks.report import Findings
from benchmarks.rounds import Rounds
from benchmarks.servers import Servers

RESULTS = Path(__file__).parent / "RESULTS.md"


def main(arguments: list[str]) -> int:
    """Measure what the command line asks for."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that no server and no worker is left behind
    asked = options.parse(arguments)
    contenders = [contender for contender in CONTENDERS if not asked.only or contender.name in asked.only]
    unknown = asked.only - {contender.name for contender in CONTENDERS}
    if unknown or not contenders:
        print(
            f"unknown: {', '.join(sorted(unknown))}; there are: {', '.join(one.name for one in CONTENDERS)}",
            file=sys.stderr,
        )
        return 2
    if importlib.util.find_spec("umbel") is None:
        print("umbel is not installed in this environment and is left out", flush=True)
        contenders = [contender for contender in contenders if contender.packages]
    for contender in {contender.environment: contender for contender in contenders}.values():
        environments.prepare(contender, fresh=asked.fresh)
    with Servers() as servers:
        text = report.markdown(_measure(contenders, servers, asked))
    print(f"\n{text}")
    if asked.write:
        RESULTS.write_text(text)
    return 0


def _measure(contenders: list[Contender], servers: Servers, asked: Options) -> Findings:
    """Run the rounds, then flows, schedules and events, then the backlog."""
    rounds = Rounds(contenders, servers, asked)
    rounds.run()
    flows.run(contenders, servers, asked, rounds.book)
    held = flows.memory(servers, contenders, asked)
    ticked = ticks.measure(contenders, servers, asked.ticking) if "ticks" in asked.metrics else []
    watched = events.run(contenders, servers, asked)
    umbel = next((contender for contender in contenders if contender.name == UMBEL), None)
    large = backlog.measure(umbel, servers, asked.backlog) if umbel and asked.backlog else None
    on_postgres = asked.backlog and any(contender.name == receives.CONTENDER for contender in contenders)
    taken = receives.measure(servers, asked.backlog) if on_postgres else None
    versions = {
        contender.environment: environments.versions(contender) for contender in contenders if contender.name != LOOP
    }
    return Findings(
        rounds.book,
        contenders,
        versions,
        servers.versions(),
        asked.rounds,
        large,
        taken,
        asked.members,
        held,
        ticked,
        watched,
    )


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
