"""What commands tell of tasks that nobody knows, and how names are read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import click
import pytest

from umbel import Umbel
from umbel.cli.asking import note_unknown
from umbel.cli.command import Frame, names
from umbel.exceptions import BrokerUnavailable
from umbel.model.ids import new_id

OPTION = click.Option(["-Q"])


@pytest.fixture
def app() -> Umbel:
    made = Umbel("shop", broker=f"memory://asking-{new_id()}", set_as_current=False)
    made.task(name="shop.add")(lambda: None)
    return made


class Elsewhere:
    """An app of whose workers one answers that it knows *told*."""

    def __init__(self, told: dict[str, Any] | Exception | None) -> None:
        self.tasks: dict[str, Any] = {}
        self.control = SimpleNamespace(inspect=lambda: SimpleNamespace(registered=self._registered))
        self._told = told

    def _registered(self) -> dict[str, Any] | None:
        if isinstance(self._told, Exception):
            raise self._told
        return self._told


def test_a_task_that_nobody_knows_is_told_of_with_those_that_look_like_it(
    app: Umbel, capsys: pytest.CaptureFixture[str]
) -> None:
    note_unknown(Frame(), app, "shop.ad")
    told = capsys.readouterr()
    assert not told.out
    assert (
        "neither the app nor a worker that answers knows the task 'shop.ad'; its jobs wait: did you mean 'shop.add'?"
        in (told.err)
    )


def test_nothing_is_told_of_a_task_of_the_app_or_to_those_who_want_no_talk(
    app: Umbel, capsys: pytest.CaptureFixture[str]
) -> None:
    note_unknown(Frame(), app, "shop.add")
    note_unknown(Frame(quiet=True), app, "shop.ad")
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("told", "silent"),
    [
        ({"w1@here": ["shop.pay", "shop.ad [rate_limit=10/s]"]}, True),
        ({"w1@here": ["shop.pay"]}, False),
        ({"w1@here": {"error": "no"}}, False),
        (BrokerUnavailable("away"), False),
        (None, False),
    ],
)
def test_a_task_that_a_worker_knows_is_none_to_be_told_of(
    told: Any, silent: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    note_unknown(Frame(), cast("Any", Elsewhere(told)), "shop.ad")
    assert bool(capsys.readouterr().err) is not silent


def test_names_have_commas_between_them() -> None:
    ctx = click.Context(click.Command("any"))
    assert names(ctx, OPTION, "a, b,,c") == ("a", "b", "c")
    assert names(ctx, OPTION, None) == ()


@pytest.mark.parametrize("text", ["", " ", ",", " , ,"])
def test_an_option_that_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="names nothing: give A,B, or leave the option out"):
        names(click.Context(click.Command("any")), OPTION, text)
