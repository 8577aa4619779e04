"""What an app adds to inspect and control: how it is named, and what its words mean."""

from __future__ import annotations

import re
from typing import Any

import pytest

from umbel import Umbel


@pytest.fixture
def app() -> Umbel:
    return Umbel("commands", broker="memory://commands", set_as_current=False)


def test_a_command_is_known_by_its_name_and_its_kind(app: Umbel) -> None:
    @app.inspect_command
    def whereabouts(state: Any) -> str:
        """Where it is."""
        return str(state)

    @app.control_command(name="cache.clear", args=[("n", int), ("how", str)], signature="[N] [HOW]")
    def clear(state: Any, n: int = 1, how: str = "") -> None:
        raise NotImplementedError(state, n, how)

    assert [(each.name, each.kind, each.help, each.usage) for each in app.commands] == [
        ("whereabouts", "inspect", "Where it is.", ""),
        ("cache.clear", "control", "", "[N] [HOW]"),
    ]
    assert app.commands.get("whereabouts", "control") is None
    found = app.commands.get("cache.clear", "control")
    assert found is not None
    assert found.arguments(["3", "fast"]) == {"n": 3, "how": "fast"}
    assert found.arguments([]) == {}
    for words in (["many"], ["1", "2", "3"]):
        with pytest.raises(ValueError, match=re.escape("cache.clear")):
            found.arguments(words)


def _told(state: Any) -> str:
    raise NotImplementedError(state)


@pytest.mark.parametrize("name", ["ping", "shutdown", "active", "query_task", "taken", "no name", "1st"])
def test_a_name_that_is_taken_or_is_none_is_refused(app: Umbel, name: str) -> None:
    app.inspect_command(name="taken")(_told)
    with pytest.raises(ValueError, match=name):
        app.control_command(name=name)(_told)


def test_what_cannot_be_called_with_a_state_is_refused(app: Umbel) -> None:
    def nothing() -> None:
        raise NotImplementedError

    for wrong in (nothing, 3):
        with pytest.raises(TypeError):
            app.commands.add("control", wrong)  # type: ignore[call-overload]
    assert "nothing" not in app.commands
