"""An operator, who obeys lines of his input: ``python -m benchmarks.control_operator WHAT N``.

``govern``: from now on, of WHAT: with ``limits`` each job of the no-op task runs under a soft and a hard time limit,
with ``revokes`` he revokes ten jobs a second while there are any, with ``looks`` he looks once a second what runs, and
with ``events`` workers tell of their jobs. ``rest``: no more of that. Each line is answered by one, once it is so; the
end of the input ends it. N jobs to be revoked are sent before all else: every other one waits in the queue, behind all
that it has; the rest is due later.
"""

import selectors
import sys
import time
from collections.abc import Collection, Iterator

from benchmarks.peers.umbel_app import app as bench
from umbel import Umbel

REVOKED_A_SECOND = 10
LOOKS_A_SECOND = 1
SOFT, HARD = 50.0, 60.0  # seconds, far beyond what a job takes
LATER = 3600  # seconds
TASK = "noop"
PATIENCE = 10.0  # seconds


class Operator:
    """Somebody at a terminal, who does *what* to the workers of *app*, and revokes *doomed*."""

    def __init__(self, app: Umbel, what: Collection[str], doomed: Iterator[str]) -> None:
        """Rest."""
        self._app = app
        self._what = what
        self._doomed = doomed
        self._governing = False
        self._acts = 0

    def obey(self, line: str) -> None:
        """Govern, or rest."""
        self._governing = line == "govern"
        if "limits" in self._what:
            soft, hard = (SOFT, HARD) if self._governing else (None, None)
            if not self._app.control.time_limit(TASK, soft=soft, hard=hard, timeout=PATIENCE):
                raise SystemExit("no worker has heard of the limits")
        if "events" in self._what:
            control = self._app.control
            tell = control.enable_events if self._governing else control.disable_events
            if not tell(timeout=PATIENCE):
                raise SystemExit("no worker has heard of the events")

    @property
    def busy(self) -> bool:
        """Whether there is anything to be done beside hearing orders."""
        return self._governing and not {"revokes", "looks"}.isdisjoint(self._what)

    def act(self) -> None:
        """Do what is to be done ten times a second."""
        self._acts += 1
        victim = next(self._doomed, None) if "revokes" in self._what else None
        if victim is not None:
            self._app.control.revoke(victim)
        if "looks" in self._what and self._acts % (REVOKED_A_SECOND // LOOKS_A_SECOND) == 0:
            self._app.control.inspect().active()


def main(arguments: list[str]) -> None:
    """Obey until the input ends."""
    what, victims = arguments[0].split(","), int(arguments[1])
    with bench as app:
        doomed = [app.send_task(TASK, countdown=number % 2 * LATER).id for number in range(victims)]
        operator = Operator(app, what, iter(doomed))
        print("here", flush=True)
        selector = selectors.DefaultSelector()
        selector.register(sys.stdin, selectors.EVENT_READ)
        act_at, left = 0.0, 1 / REVOKED_A_SECOND
        while True:
            if selector.select(max(0.0, act_at - time.monotonic()) if operator.busy else None):
                line = sys.stdin.readline().strip()
                if not line:
                    return
                if operator.busy:
                    left = max(0.0, act_at - time.monotonic())
                operator.obey(line)
                print(line, flush=True)
                act_at = time.monotonic() + left  # the time in which he rests does not count
            else:
                act_at += 1 / REVOKED_A_SECOND
                operator.act()


if __name__ == "__main__":
    main(sys.argv[1:])
