"""Commands: what an app adds to `umbel inspect` and `umbel control`. Each runs in the children of workers."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Final, Literal, TypeAlias, TypeVar, overload

import msgspec

F = TypeVar("F", bound=Callable[..., Any])
Kind: TypeAlias = Literal["control", "inspect"]
Argument: TypeAlias = "tuple[str, Callable[[str], Any]]"
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")


class State:
    """Where a command runs, its first argument: the *app*, and the node name of the worker as *hostname*."""

    def __init__(self, app: Any, hostname: str) -> None:
        self.app = app
        self.hostname = hostname


class Command(msgspec.Struct, frozen=True):
    """One command. *args* say, in order, the names of its arguments and what makes them of words."""

    name: str
    kind: Kind
    function: Callable[..., Any]
    args: tuple[Argument, ...] = ()
    signature: str = ""
    help: str = ""

    def arguments(self, words: Sequence[str]) -> dict[str, Any]:
        """What *words* of a command line stand for. Raises `ValueError`."""
        if len(words) > len(self.args):
            raise ValueError(f"{self.name} takes {self.usage or 'nothing'}, not {' '.join(words)!r}")
        found: dict[str, Any] = {}
        for (name, make), word in zip(self.args, words, strict=False):
            try:
                found[name] = make(word)
            except (TypeError, ValueError) as error:
                raise ValueError(f"{self.name}: {name} cannot be {word!r}: {error}") from error
        return found

    @property
    def usage(self) -> str:
        """What may follow its name."""
        return self.signature or " ".join(f"[{name}]" for name, _ in self.args)


class Commands:
    """The commands of one app, by name."""

    def __init__(self, taken: Collection[str]) -> None:
        """There are none; the names *taken* are those of workers themselves."""
        self._taken = frozenset(taken)
        self._known: dict[str, Command] = {}

    def get(self, name: str, kind: Kind | None = None) -> Command | None:
        """The command *name*, if there is one, of that *kind*."""
        found = self._known.get(name)
        return found if found is not None and kind in (None, found.kind) else None

    def __contains__(self, name: object) -> bool:
        return name in self._known

    def __iter__(self) -> Iterator[Command]:
        return iter(self._known.values())

    @overload
    def add(self, kind: Kind, function: F) -> F: ...
    @overload
    def add(self, kind: Kind, function: None, **options: Any) -> Callable[[F], F]: ...
    def add(self, kind: Kind, function: Any = None, **options: Any) -> Any:
        """Add *function*, also as a decorator with *options*: name, args, signature, help.

        Raises `ValueError` for a name that is taken or cannot be one, `TypeError` for what cannot be a command.
        """

        def keep(function: F) -> F:
            made = _made(kind, function, **options)
            self._keep(made)
            return function

        return keep if function is None else keep(function)

    def _keep(self, made: Command) -> None:
        if not _NAME.fullmatch(made.name):
            raise ValueError(f"{made.name!r} cannot name a command: letters, digits, _ . and -, a letter first")
        if made.name in self._taken or made.name in self._known:
            raise ValueError(f"there is a command {made.name!r} already: give another name")
        self._known[made.name] = made


def _made(
    kind: Kind,
    function: Callable[..., Any],
    *,
    name: str = "",
    args: Sequence[Argument] = (),
    signature: str = "",
    help: str = "",
) -> Command:
    if not callable(function):
        raise TypeError(f"{function!r} cannot be called")
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters:
        raise TypeError(f"{function!r} must take the state of the worker first")
    text = help or (inspect.getdoc(function) or "").partition("\n")[0]
    return Command(name or function.__name__, kind, function, tuple(args), signature, text)
