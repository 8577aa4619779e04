"""The parameters of a function: their names, what they accept, and how a plain value becomes the annotated type."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from umbel.wire.values import PLAIN, TAGGED, is_made_of_text, is_pydantic

_NONE: Final = type(None)
# What a caller may pass where a scalar is annotated, and below what arrives without conversion.
_SENT: Final[dict[object, frozenset[type]]] = {
    int: frozenset({int, bool}),
    float: frozenset({float, int, bool}),
    str: frozenset({str}),
    bool: frozenset({bool}),
    bytes: frozenset({bytes}),
    None: frozenset({_NONE}),
    _NONE: frozenset({_NONE}),
}
_ARRIVED: Final[dict[object, frozenset[type]]] = {
    **_SENT,
    float: frozenset({float}),
    **{kind: frozenset[type]({kind}) for kind in TAGGED - {set, frozenset}},
}
_ANYTHING: Final[frozenset[type]] = PLAIN | (TAGGED - {set, frozenset})
_NOTHING: Final[frozenset[type]] = frozenset()


class Parameter:
    """One parameter. *sent* and *arrived* are the types that need no closer look at the call and at the run."""

    __slots__ = ("annotation", "arrived", "name", "only_positional", "sent", "understood")

    sent: frozenset[type]
    arrived: frozenset[type]

    def __init__(self, name: str, annotation: object = Any, *, only_positional: bool = False) -> None:
        """*annotation* counts as Any unless msgspec or pydantic can make such a value from plain data."""
        self.name = name
        self.only_positional = only_positional
        self.annotation = annotation
        self.understood = annotation is not Any and annotation is not object and _makeable(annotation)
        if self.understood:
            self.sent = _scalars(annotation, _SENT)
            self.arrived = _scalars(annotation, _ARRIVED)
        else:
            self.sent = PLAIN
            self.arrived = _ANYTHING

    @property
    def shown(self) -> str:
        """The annotation as it was written, for error texts."""
        return self.annotation.__qualname__ if isinstance(self.annotation, type) else str(self.annotation)

    def convert(self, value: Any) -> Any:
        """*value* as the annotated type. Raises `msgspec.ValidationError`, or what a pydantic model raises."""
        if not self.understood:
            return value
        return msgspec.convert(value, self.annotation, dec_hook=_from_plain)


_ANY: Final = Parameter("")


class Parameters:
    """All parameters of a function. *required* counts the positional ones without a default; the result is one too."""

    __slots__ = ("by_name", "more_args", "more_kwargs", "positional", "required", "required_keywords", "result")

    def __init__(self) -> None:
        """Accept anything."""
        self.positional: list[Parameter] = []
        self.required = 0
        self.by_name: dict[str, Parameter] = {}
        self.required_keywords: list[str] = []
        self.more_args: Parameter | None = None
        self.more_kwargs: Parameter | None = None
        self.result = _ANY

    def at(self, index: int) -> Parameter:
        """The parameter of the positional argument number *index*."""
        return self.positional[index] if index < len(self.positional) else self.more_args or _ANY

    def named(self, name: str) -> Parameter:
        """The parameter of the keyword argument *name*."""
        return self.by_name.get(name) or self.more_kwargs or _ANY


def parameters_of(function: Callable[..., Any] | None, *, skip_first: bool) -> Parameters:
    """The parameters of *function*; with *skip_first* without the first, which is the task itself."""
    import inspect

    found = Parameters()
    try:
        signature = inspect.signature(function) if function is not None else None
    except (TypeError, ValueError):  # some functions written in C do not tell
        signature = None
    if function is None or signature is None:
        found.more_args = found.more_kwargs = _ANY
        return found
    hints = _hints(function)
    for written in list(signature.parameters.values())[int(skip_first) :]:
        _add(found, written, hints.get(written.name, Any))
    found.result = Parameter("return", hints.get("return", Any))
    return found


def _add(found: Parameters, written: Any, annotation: object) -> None:
    parameter = Parameter(written.name, annotation, only_positional=written.kind is written.POSITIONAL_ONLY)
    required = written.default is written.empty
    if written.kind is written.VAR_POSITIONAL:
        found.more_args = parameter
    elif written.kind is written.VAR_KEYWORD:
        found.more_kwargs = parameter
    elif written.kind is written.KEYWORD_ONLY:
        found.by_name[parameter.name] = parameter
        found.required_keywords += [parameter.name] if required else []
    else:
        found.positional.append(parameter)
        found.required += required
        if not parameter.only_positional:
            found.by_name[parameter.name] = parameter


def _hints(function: Any) -> dict[str, Any]:
    """The annotations of *function*; one that cannot be resolved counts as Any, the others stay."""
    plain = function if hasattr(function, "__annotations__") else type(function).__call__
    try:
        return typing.get_type_hints(plain, include_extras=True)
    except Exception:  # noqa: BLE001 - an annotation is any expression, and may raise anything
        return _hints_one_by_one(plain)


def _hints_one_by_one(plain: Any) -> dict[str, Any]:
    while hasattr(plain, "__wrapped__"):
        plain = plain.__wrapped__
    found: dict[str, Any] = {}
    for name, annotation in getattr(plain, "__annotations__", {}).items():
        alone = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            found.update(typing.get_type_hints(alone, getattr(plain, "__globals__", {}), include_extras=True))
        except Exception:  # noqa: BLE001 - see above
            found[name] = Any
    return found


def _scalars(annotation: object, table: Mapping[object, frozenset[type]]) -> frozenset[type]:
    """The types that *annotation*, a scalar or a union of scalars, takes as they are; empty for anything else."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        members = [table.get(member) for member in typing.get_args(annotation)]
        # Beside a type that needs a closer look nothing is certain: in `str | UUID` a text may be either.
        if None in members or any(member in _ARRIVED.keys() - _SENT.keys() for member in typing.get_args(annotation)):
            return _NOTHING
        return frozenset[type]().union(*(member for member in members if member))
    try:
        return table.get(annotation, _NOTHING)
    except TypeError:  # an annotation that cannot be hashed
        return _NOTHING


def _makeable(annotation: object) -> bool:
    """Tell whether values of *annotation* can be made from plain data without calling code that we do not know."""
    if isinstance(annotation, type) and annotation in _ARRIVED:
        return True
    from msgspec import inspect

    try:
        return _known(inspect.type_info(annotation), [])
    except Exception:  # noqa: BLE001 - msgspec refuses some annotations, and calls code of the classes they name
        return False


def _known(info: Any, seen: list[Any]) -> bool:
    """Tell whether *info*, a description of a type by msgspec, names no class that only its owner can make."""
    if any(info is one for one in seen):
        return True
    seen.append(info)
    custom = getattr(info, "cls", None) if type(info).__name__ == "CustomType" else None
    if custom is not None:
        return is_pydantic(custom) or is_made_of_text(custom)
    if issubclass(type(info), list | tuple):
        return all(_known(item, seen) for item in info)
    if isinstance(info, msgspec.Struct):
        return all(_known(getattr(info, field), seen) for field in info.__struct_fields__)
    return True


def _from_plain(kind: Any, value: Any) -> Any:
    """Make a path or a pydantic model; what msgspec calls for classes that it does not know."""
    if isinstance(value, kind):
        return value
    return kind.model_validate(value) if is_pydantic(kind) else kind(value)
