"""Words of a command line: negative numbers are arguments where a command takes them, seconds are finite."""

from __future__ import annotations

from typing import Any

import click
import pytest

from umbel.cli.command import Frame, Seconds, Worded


@click.command(cls=Worded)
@click.argument("verb")
@click.argument("words", nargs=-1)
@click.option("-t", "--timeout", type=Seconds(above=True), default=1.0)
@click.option("-j", "--json", "as_json", is_flag=True)
@click.pass_obj
def told(_: Frame, /, **given: Any) -> dict[str, Any]:
    """Answer what it was given."""
    return given


def run(*words: str) -> Any:
    """What the command answers."""
    return told.main(list(words), standalone_mode=False)


@pytest.mark.parametrize("words", [("-1",), ("task", "-10/s"), ("-.5", "-5h"), ("--", "-t", "-1")])
def test_what_looks_like_a_negative_number_is_a_word(words: tuple[str, ...]) -> None:
    given = run("verb", *words)
    assert given["words"] == tuple(word for word in words if word != "--")


def test_options_are_found_before_and_behind_it() -> None:
    assert run("-j", "verb", "-1", "-t", "2") == {"verb": "verb", "words": ("-1",), "timeout": 2.0, "as_json": True}


def test_the_value_of_an_option_is_none_of_the_words() -> None:
    with pytest.raises(click.BadParameter, match=r"-1\.0 is not in the range"):
        run("verb", "-t", "-1")


def test_an_option_that_there_is_not_is_none_of_the_words_either() -> None:
    with pytest.raises(click.NoSuchOption):
        run("verb", "-x")


@pytest.mark.parametrize("text", ["nan", "inf", "0"])
def test_seconds_are_a_finite_number(text: str) -> None:
    with pytest.raises(click.BadParameter):
        run("verb", "-t", text)
