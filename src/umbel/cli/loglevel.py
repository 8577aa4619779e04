"""The value of the option ``--loglevel``, the same for every command that has it."""

from __future__ import annotations

import click

from umbel.log import level_of


def checked_level(_: click.Context, __: click.Parameter, name: str) -> str:
    """The level *name* in capitals. Raises what `level_of` does for one that is none."""
    level_of(name)
    return name.upper()
