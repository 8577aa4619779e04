"""All contenders in turns, round after round, so that a slow minute of the machine falls on everybody."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from benchmarks import passes
from benchmarks.clock import tell
from benchmarks.contenders import Contender
from benchmarks.metrics import METRICS, Book
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
CALIBRATING = frozenset({"enqueue", "bulk", "def"})
ONCE = frozenset({"bytes"})  # no round differs from another in it


class Rounds:
    """One run over *contenders*; what it measures goes into *book*."""

    def __init__(self, contenders: Sequence[Contender], servers: Servers, options: Options, book: Book) -> None:
        self.book = book
        self._contenders = list(contenders)
        self._servers = servers
        self._options = options
        self._sizes: dict[tuple[str, str], Sizes] = {}

    def run(self, after: Callable[[int], bool]) -> None:
        """A calibrating round that is not counted, then the rounds; the order shifts by one from round to round.

        *after* each round it is asked whether there may be another.
        """
        for contender in self._contenders:
            self._one(contender, MODES[0], turn=0)
        for turn in range(1, self._options.rounds + 1):
            shift = (turn - 1) % max(1, len(self._contenders))
            for mode in MODES:
                for contender in self._contenders[shift:] + self._contenders[:shift]:
                    self._one(contender, mode, turn)
            if not after(turn):
                return

    def _one(self, contender: Contender, mode: Mode, turn: int) -> None:
        names = passes.wanted(contender, mode, METRICS if turn == 0 else self._options.metrics)
        if turn != 1:
            names = names & CALIBRATING if turn == 0 else names - ONCE
        what = f"`{mode.kind}`, results {'on' if mode.results else 'off'}"
        if not names or self.book.gave_up(contender.name, what):
            return
        sizes = self._sizes.get((contender.name, mode.kind)) or self._sizes.get((contender.name, "def"), Sizes())
        try:
            measured = passes.run(contender, mode, self._servers, sizes, names)
        except ContenderFailed as error:
            self.book.fail(contender.name, what, str(error))
            tell(f"{contender.name}, {what}: {error}")
            return
        fitted = sizes.fitted(measured, self._options.seconds)
        self._sizes[contender.name, mode.kind] = replace(fitted, calls=self._options.calls)
        if turn:
            self.book.enter(contender.name, turn, measured)
        tell(f"round {turn}  {contender.name:<20} {what:<22} {said(measured)}")


def said(measured: dict[str, float]) -> str:
    """What was *measured*, for a line of progress."""
    return "  ".join(f"{name} {value:,.{METRICS[name].digits}f}" for name, value in measured.items())
