"""The arguments of one task: bound and checked at the call, encoded, and decoded by annotation where the task runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NoReturn

import msgspec

from umbel.exceptions import DecodeError, EncodeError
from umbel.options import check_arguments, nearest
from umbel.wire.parameters import Parameter, Parameters, parameters_of
from umbel.wire.values import PLAIN, check_depth, decode, encode, extension, message_of, pack, to_wire

_NO_KWARGS: Final = b"\x80"
_LISTS: Final = (tuple, list)
_pack: Final = msgspec.msgpack.Encoder().encode
_list: Final = msgspec.msgpack.Decoder(list[Any], ext_hook=extension)
_map: Final = msgspec.msgpack.Decoder(dict[str, Any], ext_hook=extension)
_DAMAGED: Final = (msgspec.MsgspecError, ValueError, TypeError, ArithmeticError, RecursionError)


class Arguments:
    """The parameters of *function*, the body of the task *name*; with *bind* the first of them is the task.

    Annotations are read at the first use, not at import, so that they may name what is defined later in a module.
    *checked* false leaves the binding of arguments to the place where the task runs (Celery's ``typing=False``).
    """

    def __init__(
        self, name: str, function: Callable[..., Any] | None, *, bind: bool = False, checked: bool = True
    ) -> None:
        """Keep the function; nothing is read yet. None stands for a task that is not known here."""
        self._name = name
        self._function = function
        self._bind = bind
        self._checked = checked and function is not None
        self._known: Parameters | None = None
        # Replaced by `_parameters`; until then no call takes the fast path.
        self._at_least = 1
        self._at_most = 0
        self._sent: tuple[frozenset[type], ...] = ()
        self._arrived: tuple[frozenset[type], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the positional parameters, as far as they are known."""
        return tuple(parameter.name for parameter in self._parameters().positional)

    def encode(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[bytes, bytes]:
        """*args* as a msgpack list and *kwargs* as a map.

        Raises `TypeError` for missing or unexpected arguments as a plain call would, and `EncodeError`, naming the
        parameter, for a value that cannot travel or does not match the annotation.
        """
        if not kwargs and type(args) in _LISTS and self._at_least <= len(args) <= self._at_most:
            for value, accepted in zip(args, self._sent, strict=False):
                if type(value) not in accepted:
                    break
            else:
                try:
                    return _pack(args), _NO_KWARGS
                except (OverflowError, UnicodeEncodeError):
                    pass  # the long way knows large integers, and which argument is to blame
        return self._encode(args, kwargs)

    def encode_rest(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[bytes, bytes]:
        """Like `encode`, for a call whose first positional argument is not there yet: *args* come after it."""
        check_arguments(args, kwargs, self._name)
        known = self._parameters()
        if self._checked:
            _bind(self._name, known, (None, *args), kwargs)
        return self._packed(known, args, kwargs, 1)

    def decode(
        self, raw_args: msgspec.Raw | bytes, raw_kwargs: msgspec.Raw | bytes
    ) -> tuple[list[Any], dict[str, Any]]:
        """The arguments in *raw_args* and *raw_kwargs*, untrusted, as the annotated types. Raises `DecodeError`."""
        try:
            args: list[Any] = _list.decode(raw_args)
            kwargs: dict[str, Any] = _map.decode(raw_kwargs)
        except _DAMAGED as error:
            raise DecodeError(f"{self._name}: the arguments cannot be read: {message_of(error)}") from error
        if not kwargs and len(args) <= len(self._arrived):
            for value, accepted in zip(args, self._arrived, strict=False):
                if type(value) not in accepted:
                    break
            else:
                return args, kwargs
        return self._decode(args, kwargs)

    def encode_result(self, value: object) -> bytes:
        """The return value of the task as msgpack. Raises `EncodeError`."""
        try:
            return encode(value)
        except EncodeError as error:
            raise EncodeError(f"the result of {self._name} {error}") from error

    def decode_result(self, raw: msgspec.Raw | bytes) -> Any:
        """The return value in *raw* as the annotated type if it fits that, as it is otherwise. Raises `DecodeError`."""
        value = decode(raw)
        try:
            return self._parameters().result.convert(value)
        except msgspec.ValidationError:
            # The task ran and returned something: a wrong annotation must not make its result unreadable.
            return value

    def _parameters(self) -> Parameters:
        known = self._known
        if known is None:
            known = parameters_of(self._function, skip_first=self._bind)
            self._sent = tuple(parameter.sent for parameter in known.positional)
            self._arrived = tuple(parameter.arrived for parameter in known.positional)
            if self._checked:
                self._at_most = len(known.positional)
                self._at_least = len(known.positional) + 1 if known.required_keywords else known.required
            self._known = known
        return known

    def _encode(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[bytes, bytes]:
        if self._known is None:
            self._parameters()
            return self.encode(args, kwargs)
        check_arguments(args, kwargs, self._name)
        known = self._known
        if self._checked:
            _bind(self._name, known, args, kwargs)
        return self._packed(known, args, kwargs, 0)

    def _packed(
        self, known: Parameters, args: Sequence[Any], kwargs: Mapping[str, Any], first: int
    ) -> tuple[bytes, bytes]:
        """*args*, the first of which is for parameter number *first*, and *kwargs* as msgpack."""
        wire_args = [self._sendable(known.at(index), value, index) for index, value in enumerate(args, first)]
        wire_kwargs = {key: self._sendable(known.named(key), value, key) for key, value in kwargs.items()}
        try:
            return pack(wire_args), pack(wire_kwargs) if wire_kwargs else _NO_KWARGS
        except EncodeError as error:
            raise self._blamed(known, wire_args, wire_kwargs, first) from error

    def _blamed(self, known: Parameters, args: list[object], kwargs: dict[str, object], first: int) -> EncodeError:
        """The error that names the argument which msgpack refuses: a text with half a character in it."""
        places: list[tuple[Parameter, int | str, object]] = [
            *((known.at(index), index, value) for index, value in enumerate(args, first)),
            *((known.named(key), key, value) for key, value in kwargs.items()),
        ]
        for parameter, place, value in places:
            try:
                pack(value)
            except EncodeError as error:
                return EncodeError(f"{self._name}: argument {_title(parameter, place)} {error}")
        return EncodeError(f"{self._name}: the name of a keyword argument cannot travel")

    def _sendable(self, parameter: Parameter, value: object, place: int | str) -> object:
        """*value* ready for msgpack, after a look whether it will arrive as the annotated type."""
        kind = type(value)
        try:
            wire = to_wire(value)
            if kind not in parameter.sent and kind not in parameter.arrived and self._checked:
                parameter.convert(value)
        except EncodeError as error:
            raise EncodeError(f"{self._name}: argument {_title(parameter, place)} {error}") from error
        except (msgspec.ValidationError, ValueError, TypeError) as error:
            raise EncodeError(
                f"{self._name}: argument {_title(parameter, place)} of type {kind.__qualname__} does not match its "
                f"annotation {parameter.shown}: {error}"
            ) from error
        return wire

    def _decode(self, args: list[Any], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        known = self._parameters()
        for index, value in enumerate(args):
            args[index] = self._received(known.at(index), value, index)
        for key, value in kwargs.items():
            kwargs[key] = self._received(known.named(key), value, key)
        return args, kwargs

    def _received(self, parameter: Parameter, value: object, place: int | str) -> Any:
        kind = type(value)
        if kind in parameter.arrived:
            return value
        try:
            if kind not in PLAIN:
                check_depth(value)
            return parameter.convert(value)
        except (DecodeError, msgspec.ValidationError, ValueError, TypeError, RecursionError) as error:
            raise DecodeError(f"{self._name}: argument {_title(parameter, place)}: {error}") from error


def _title(parameter: Parameter, place: int | str) -> str:
    if isinstance(place, str):
        return repr(place)
    return repr(parameter.name) if parameter.name else f"number {place + 1}"


def _bind(task: str, known: Parameters, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Raise `TypeError` in Python's words unless *args* and *kwargs* fit the parameters."""
    if len(args) > len(known.positional) and known.more_args is None:
        _too_many(task, known, len(args))
    taken = {parameter.name for parameter in known.positional[: len(args)] if not parameter.only_positional}
    for key in kwargs:
        if key in taken:
            raise TypeError(f"{task}() got multiple values for argument {key!r}")
        if key not in known.by_name and known.more_kwargs is None:
            raise TypeError(f"{task}() got an unexpected keyword argument {key!r}{nearest(key, known.by_name)}")
    _require(
        task,
        [p.name for p in known.positional[len(args) : known.required] if p.only_positional or p.name not in kwargs],
    )
    _require(task, [name for name in known.required_keywords if name not in kwargs], "keyword-only")


def _too_many(task: str, known: Parameters, given: int) -> NoReturn:
    most = len(known.positional)
    takes = f"{most}" if known.required == most else f"from {known.required} to {most}"
    raise TypeError(
        f"{task}() takes {takes} positional argument{'' if most == 1 else 's'} but {given} "
        f"{'was' if given == 1 else 'were'} given"
    )


def _require(task: str, missing: list[str], sort: str = "positional") -> None:
    if not missing:
        return
    *others, last = map(repr, missing)
    names = f"{', '.join(others)}{',' if len(others) > 1 else ''} and {last}" if others else last
    raise TypeError(f"{task}() missing {len(missing)} required {sort} argument{'s' if others else ''}: {names}")
