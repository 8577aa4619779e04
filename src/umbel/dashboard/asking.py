"""Asking: what a request says, read into the struct that a page or an action takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import inspect
from starlette.requests import Request

from umbel.dashboard.page import Refused

T = TypeVar("T", bound=msgspec.Struct)

MAX_BODY_BYTES: Final = 64 * 1024
MAX_FIELDS: Final = 1_000
NUL: Final = "The character NUL is in no name and no filter."
"""PostgreSQL keeps no text that has one."""
_MANY: Final = (inspect.ListType, inspect.VarTupleType, inspect.SetType, inspect.FrozenSetType)


class TooLarge(Exception):
    """The body of a request is larger than any form of ours."""


def asked(request: Request, kind: type[T]) -> T:
    """The parameters of path and query of *request*. Raises `Refused`."""
    return _read([*request.path_params.items(), *request.query_params.multi_items()], kind)


async def taken(request: Request, kind: type[T]) -> T:
    """What the body of *request* says, a form or JSON. Raises `Refused` and `TooLarge`."""
    body = await _body(request)
    sort = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sort == "application/json":
        if b"\\u0000" in body:
            raise Refused(NUL)
        try:
            return msgspec.json.decode(body or b"{}", type=kind)
        except msgspec.MsgspecError as error:
            raise _refused(error) from None
        except RecursionError:
            raise Refused("The JSON is nested too deeply.") from None
    if body and sort != "application/x-www-form-urlencoded":
        raise Refused("Send application/json or application/x-www-form-urlencoded.")
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise Refused(f"This is no form in UTF-8 of at most {MAX_FIELDS} fields.") from None
    return _read(pairs, kind)


def _read(pairs: Sequence[tuple[str, Any]], kind: type[T]) -> T:
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)  # noqa: S101 - a page is declared with a struct
    many = {field.encode_name for field in info.fields if isinstance(field.type, _MANY)}
    known = {field.encode_name for field in info.fields}
    values: dict[str, Any] = {}
    for name, value in pairs:
        if "\0" in f"{name}{value}":
            raise Refused(NUL, name if name in known else "")
        if name in many:
            values.setdefault(name, []).append(value)
        elif value != "":  # an input that was left empty says nothing
            values[name] = value
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _refused(error) from None


async def _body(request: Request) -> bytes:
    found = bytearray()
    async for part in request.stream():
        found += part
        if len(found) > MAX_BODY_BYTES:
            raise TooLarge(f"A form or JSON of at most {MAX_BODY_BYTES} bytes can be read here.")
    return bytes(found)


def _refused(error: msgspec.MsgspecError) -> Refused:
    text, _, place = str(error).partition(" - at `$.")
    return Refused(text, place.rstrip("`"))
