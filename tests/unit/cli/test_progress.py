import io
import sys
from collections.abc import Sequence

import pytest

from umbel.cli.command import Frame
from umbel.cli.progress import PORTION, in_portions


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stderr", "quiet", "shown"), [(Terminal, False, True), (Terminal, True, False), (io.StringIO, False, False)]
)
def test_a_bar_is_shown_on_a_terminal_unless_it_should_be_quiet(
    stderr: type[io.StringIO], quiet: bool, shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = stderr()
    monkeypatch.setattr(sys, "stderr", written)
    given: list[int] = []

    def do(these: Sequence[int]) -> list[str]:
        given.append(len(these))
        return [str(each) for each in these]

    these = range(PORTION * 2 + 1)
    assert in_portions(Frame(quiet=quiet), "jobs", these, do) == [str(each) for each in these]
    assert given == [PORTION, PORTION, 1]
    assert ("jobs" in written.getvalue() and "100%" in written.getvalue()) == shown
