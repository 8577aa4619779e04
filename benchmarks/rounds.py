"""All contenders in turns, round after round, so that a slow minute of the machine falls on everybody."""

import time
from dataclasses import replace

from benchmarks import passes
from benchmarks.contenders import Contender
from benchmarks.metrics import METRICS, RESULTS_OFF, RESULTS_ON, Book
from benchmarks.options import Options
from benchmarks.passes import Sizes
from benchmarks.servers import Servers
from benchmarks.stage import ContenderFailed, Mode

MODES = (
    Mode("def", results=True),
    Mode("async", results=True),
    Mode("def", results=False),
    Mode("async", results=False),
)


class Rounds:
    """One run over *contenders*; what it measures is in *book*."""

    def __init__(self, contenders: list[Contender], servers: Servers, options: Options) -> None:
        self.book = Book()
        self._contenders = contenders
        self._servers = servers
        self._options = options
        self._sizes: dict[tuple[str, str], Sizes] = {}
        self._started = time.monotonic()

    def run(self) -> None:
        """A calibrating round that is not counted, then the rounds; the order shifts by one from round to round."""
        if self._options.metrics.isdisjoint(RESULTS_ON + RESULTS_OFF):
            return
        for mode in MODES[:2]:
            for contender in self._contenders:
                self._one(contender, mode, turn=0)
        for turn in range(1, self._options.rounds + 1):
            shift = (turn - 1) % max(1, len(self._contenders))
            for mode in MODES:
                for contender in self._contenders[shift:] + self._contenders[:shift]:
                    self._one(contender, mode, turn)

    def _one(self, contender: Contender, mode: Mode, turn: int) -> None:
        names = passes.wanted(contender, mode, METRICS if turn == 0 else self._options.metrics)
        if turn == 0:
            names = frozenset(name for name in names if name in ("enqueue", "bulk", mode.kind))
        place = contender.name, mode.kind
        what = f"`{mode.kind}`, results {'on' if mode.results else 'off'}"
        if not names or self.book.gave_up(contender.name, what):
            return
        try:
            measured = passes.run(contender, mode, self._servers, self._sizes.get(place, Sizes()), names)
        except ContenderFailed as error:
            self.book.fail(contender.name, what, str(error))
            print(f"{contender.name}, {what}: {error}", flush=True)
            return
        sizes = self._sizes.get(place, Sizes()).fitted(measured, self._options.seconds)
        self._sizes[place] = replace(sizes, calls=self._options.calls)
        if turn:
            self.book.enter(contender.name, turn, measured)
        self._tell(contender, what, turn, measured)

    def _tell(self, contender: Contender, what: str, turn: int, measured: dict[str, float]) -> None:
        values = "  ".join(f"{name} {value:,.{METRICS[name].digits}f}" for name, value in measured.items())
        minutes, seconds = divmod(int(time.monotonic() - self._started), 60)
        print(f"{minutes:2}:{seconds:02}  round {turn}  {contender.name:<15} {what:<22} {values}", flush=True)
