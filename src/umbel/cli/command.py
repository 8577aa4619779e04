"""Command: a click command that also takes the global options, so that `-A` may stand before or after its name."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple, cast

import click

from umbel.exceptions import ImproperlyConfigured

_NEGATIVE: Final = re.compile(r"-\.?\d")
_MARK: Final = "\0"  # no word of a command line has one


class Frame(NamedTuple):  # no Struct: `umbel --help` does without msgspec
    """The global options, from both sides of the command's name; the ones after it win."""

    app: str | None = None
    broker: str | None = None
    result_backend: str | None = None
    workdir: str | None = None
    no_color: bool = False
    quiet: bool = False
    debug: bool = False

    def enter(self) -> None:
        """Make the working folder current, and hand the URLs on as the variables that beat the app's own settings."""
        if self.workdir:
            try:
                os.chdir(self.workdir)
            except OSError as error:
                raise ImproperlyConfigured(f"--workdir {self.workdir!r} cannot be entered: {error.strerror}") from error
        if self.broker:
            os.environ["UMBEL_BROKER_URL"] = self.broker
        if self.result_backend:
            os.environ["UMBEL_RESULT_BACKEND"] = self.result_backend

    def say(self, text: str) -> None:
        """Talk to the person, on stderr; data goes to stdout. With `-q` nothing is said."""
        if not self.quiet:
            click.echo(text, err=True)


def global_options(*, with_variables: bool) -> list[click.Parameter]:
    """Fresh global options. Those after the command's name read no variables: they were read before it."""

    def option(*names: str, variable: str, **attributes: Any) -> click.Option:
        return click.Option(names, envvar=variable if with_variables else None, show_envvar=True, **attributes)

    return [
        option("-A", "--app", variable="UMBEL_APP", help="The app: tasks, tasks:app or pkg.tasks.app."),
        # The settings read the variables of these two themselves: two readers could disagree.
        click.Option(("-b", "--broker"), callback=said, help="URL of the broker.  [env var: UMBEL_BROKER_URL]"),
        click.Option(
            ("--result-backend",), callback=said, help="URL of the result store.  [env var: UMBEL_RESULT_BACKEND]"
        ),
        option("--workdir", variable="UMBEL_WORKDIR", help="Folder to change to first."),
        click.Option(("-C", "--no-color"), is_flag=True, help="No colours.  [env var: NO_COLOR]"),
        option("-q", "--quiet", variable="UMBEL_QUIET", is_flag=True, help="Leave out what is not data."),
        option("--debug", variable="UMBEL_DEBUG", is_flag=True, help="Show the traceback of an error."),
    ]


class Command(click.Command):
    """A command whose function takes the `Frame` first and then its own options."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Its own options, then the global ones."""
        found = super().get_params(ctx)
        return [*found[:-1], *self._globals, found[-1]]  # --help stays last

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Keep one set of global options: click compares parameters by identity."""
        super().__init__(*args, **kwargs)
        self._globals = global_options(with_variables=False)

    def invoke(self, ctx: click.Context) -> Any:
        """Merge the global options of both sides, and call the function in the working folder."""
        given = {name: ctx.params.pop(name) for name in Frame._fields}
        before = ctx.find_root().params if ctx.parent else {}
        frame = Frame(**{name: value or before.get(name, value) for name, value in given.items()})
        frame.enter()
        ctx.obj = frame
        return super().invoke(ctx)


class Seconds(click.FloatRange):
    """The type of an option that is a finite number of seconds, 0 or more; above 0 with *above*."""

    name = "number of seconds"

    def __init__(self, *, above: bool = False) -> None:
        super().__init__(min=0, min_open=above)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number that *value* is."""
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{found} is not a finite number of seconds.", param, ctx)
        return found


def names(_: click.Context, parameter: click.Parameter, text: str | None) -> tuple[str, ...]:
    """A callback of options: the names in *text*, with commas between them. One that names nothing is refused."""
    found = tuple(name.strip() for name in (text or "").split(",") if name.strip())
    if text is not None and not found:
        raise click.BadParameter(f"{text!r} names nothing: give A,B, or leave the option out.", param=parameter)
    return found


def said(_: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    """A callback of options: *text*, which is refused if it says nothing, as an unset variable of a shell does."""
    if text is not None and not text.strip():
        raise click.BadParameter(f"{text!r} says nothing: give a value, or leave the option out.", param=parameter)
    return text


class Worded(Command):
    """A command whose arguments may be negative numbers, which click would take for options it does not know."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse *args*; a word such as ``-1`` is an argument unless it is the value of the option before it."""
        options = [each for each in self.get_params(ctx) if isinstance(each, click.Option) and not each.is_flag]
        valued = {name for each in options for name in each.opts}
        marked, before = list[str](), ""
        for word in args:
            marked.append(_MARK + word if _NEGATIVE.match(word) and before not in valued else word)
            before = word
        rest = super().parse_args(ctx, marked)
        ctx.params = {name: _unmarked(value) for name, value in ctx.params.items()}
        return rest


def _unmarked(value: Any) -> Any:
    if isinstance(value, str):
        return value.removeprefix(_MARK)
    if isinstance(value, tuple):
        return tuple(_unmarked(each) for each in cast("Iterable[Any]", value))
    return value
