"""``python -m benchmarks``: run the contest and print the tables. See ``--help``."""

import importlib.util
import signal
import sys

from benchmarks import findings, options, parts
from benchmarks.clock import minutes, tell


def main(arguments: list[str]) -> int:
    """Measure what the command line asks for."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that no server and no worker is left behind
    asked = options.parse(arguments, parts.ALL, parts.USUAL)
    if importlib.util.find_spec("umbel") is None:
        print("umbel is not installed in this environment", file=sys.stderr)
        return 2
    if not asked.only:
        findings.clear(parts.folder(asked), asked.parts)  # what is cut short is not told as it was before
    complete = True
    for part in asked.parts:
        if minutes() >= asked.minutes:
            tell(f"{part}: left out, {asked.minutes:g} minutes are over")
            complete = False
            continue
        complete &= parts.measure(part, asked)
    print(f"\n{parts.told(asked)}")
    return 0 if complete else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
