"""Commands of the app in a child: whatever they do, there is an answer."""

from __future__ import annotations

import sys
import threading
from typing import Any

import msgspec
import pytest

from umbel import Umbel
from umbel.app.commands import State
from umbel.contracts.jobs import Listed
from umbel.model.job import Delivery
from umbel.wire.letters import HELD
from umbel.worker.child.commanding import MAX_BYTES, MAX_HELD, obey
from umbel.worker.messages import Command, Obeyed


@pytest.fixture
def app() -> Umbel:
    made = Umbel("commanding", broker="memory://commanding", set_as_current=False)

    @made.inspect_command
    def told(state: State, **arguments: Any) -> list[Any]:
        return [state.hostname, state.app is made, threading.current_thread() is threading.main_thread(), arguments]

    @made.inspect_command
    async def awaited(state: State, n: int) -> tuple[str, int]:
        return state.hostname, n

    @made.control_command
    def broken(state: State, how: str = "") -> object:
        match how:
            case "exits":
                sys.exit("enough")
            case "stops":
                raise StopIteration
            case "strange":
                return object()
            case "long":
                return "x" * MAX_BYTES
            case _:
                raise KeyError(state.hostname)

    return made


async def asked(app: Umbel, name: str, **arguments: Any) -> Obeyed:
    return await obey(app, Command(7, name, arguments), "w1@here", {})


async def test_a_function_runs_beside_the_loop_and_a_coroutine_in_it(app: Umbel) -> None:
    assert await asked(app, "told", a=1) == Obeyed(7, ["w1@here", True, False, {"a": 1}])
    assert await asked(app, "awaited", n=2) == Obeyed(7, ["w1@here", 2])


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("raises", "KeyError"),
        ("exits", "enough"),
        ("stops", "RuntimeError"),
        ("strange", "TypeError"),
        ("long", "too long"),
    ],
)
async def test_whatever_goes_wrong_is_the_answer(app: Umbel, how: str, error: str) -> None:
    answer = await asked(app, "broken", how=how)
    assert error in answer.error
    assert not answer.unknown


async def test_arguments_that_it_does_not_take_are_told(app: Umbel) -> None:
    assert "TypeError" in (await asked(app, "awaited", m=2)).error


async def test_what_it_holds_is_told_and_what_is_too_long_without_its_envelope(app: Umbel) -> None:
    held = {each: Delivery(each, "mail", 3, 1, each.encode() * times) for each, times in (("a", 9), ("b", 10**6))}
    answer = await obey(app, Command(7, HELD), "w1@here", held)
    assert msgspec.convert(msgspec.to_builtins(answer.value), list[Listed]) == [
        Listed("a", "mail", "running", 3, b"a" * 9, ""),
        Listed("b", "mail", "running", 3, b"", ""),
    ]
    assert len(msgspec.msgpack.encode(answer)) < MAX_BYTES
    many = {str(number): Delivery(str(number), "mail", 3, 1, b"x" * 1000) for number in range(2 * MAX_HELD)}
    assert len((await obey(app, Command(7, HELD), "w1@here", many)).value) == MAX_HELD


async def test_a_command_that_nobody_knows_is_unknown(app: Umbel) -> None:
    assert await asked(app, "dance") == Obeyed(7, unknown=True)
