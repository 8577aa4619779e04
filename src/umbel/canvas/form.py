"""Celery's dict form of signatures, read: untrusted data becomes signatures and canvases again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, cast

from umbel.canvas.mapping import chunks, xmap, xstarmap
from umbel.canvas.primitives import chain, chord, group
from umbel.canvas.seams import Host
from umbel.canvas.signatures import MAX_DEPTH, Signature, is_signature
from umbel.canvas.stamping import STAMPED, stamped
from umbel.options import CALL_OPTIONS

_MOMENTS: Final = ("eta", "expires")
_HOLDERS: Final = (dict, list, tuple)


def read(form: Mapping[str, Any], app: Host | None) -> Signature[Any]:
    """The signature that *form* describes. Raises `TypeError` or `ValueError`, naming the place."""
    _check_depth(form)
    return _read(form, app, "")


def _read(form: Any, app: Host | None, place: str) -> Signature[Any]:
    if is_signature(form):
        return form
    said = cast("Mapping[str, Any]", form if isinstance(form, Mapping) else {})
    name: object = said.get("task")
    if not isinstance(name, str):
        raise TypeError(f"{place or 'signature'}: {form!r:.80} is no signature: it names no task")
    found = _made(said, app, f"{place}{name}")
    found["args"] = tuple(_of_type(said.get("args"), list | tuple, (), f"{place}{name}: args"))
    found["options"] = _options(_of_type(said.get("options"), Mapping, {}, f"{place}{name}: options"))
    found["immutable"] = bool(said.get("immutable")) or found.immutable
    found.own_app = found.own_app or app
    return found


def _made(form: Mapping[str, Any], app: Host | None, place: str) -> Signature[Any]:
    kwargs = dict(_of_type(form.get("kwargs"), Mapping, {}, f"{place}: kwargs"))
    kind = form.get("subtask_type")
    if kind is None:
        return Signature(form["task"], (), kwargs)
    make = _MAKERS.get(kind) if isinstance(kind, str) else None
    if make is not None:
        return make(kwargs, app, place)
    other = Signature.types.get(kind) if isinstance(kind, str) else None
    if other is None:
        raise TypeError(f"{place}: {kind!r} is no type of signature")
    return other.from_dict(form, app)


def _chain(kwargs: dict[str, Any], app: Host | None, place: str) -> Signature[Any]:
    return _with_rest(chain.of(_each(kwargs.pop("tasks", []), app, place)), kwargs)


def _group(kwargs: dict[str, Any], app: Host | None, place: str) -> Signature[Any]:
    return _with_rest(group(_each(kwargs.pop("tasks", []), app, place)), kwargs)


def _xmap(kwargs: dict[str, Any], app: Host | None, place: str) -> Signature[Any]:
    return xmap(_read(kwargs.get("task"), app, f"{place} > "), kwargs.get("it") or ())


def _xstarmap(kwargs: dict[str, Any], app: Host | None, place: str) -> Signature[Any]:
    return xstarmap(_read(kwargs.get("task"), app, f"{place} > "), kwargs.get("it") or ())


def _chunks(kwargs: dict[str, Any], app: Host | None, place: str) -> Signature[Any]:
    return chunks(_read(kwargs.get("task"), app, f"{place} > "), kwargs.get("it") or (), kwargs.get("n") or 0)


def _chord(kwargs: dict[str, Any], app: Host | None, place: str) -> chord:
    header = kwargs.get("header")
    if isinstance(header, Mapping):
        members = _read(header, app, f"{place} > header > ")
        made = chord(members if isinstance(members, group) else [members])
    else:
        made = chord(_each(header or [], app, f"{place} > header"))
    if kwargs.get("body") is not None:
        made.body = _read(kwargs["body"], app, f"{place} > body > ")
    made.kwargs["kwargs"] = dict(kwargs.get("kwargs") or {})
    return made


_MAKERS: Final[dict[str, Callable[[dict[str, Any], Host | None, str], Signature[Any]]]] = {
    "chain": _chain,
    "group": _group,
    "chord": _chord,
    "xmap": _xmap,
    "xstarmap": _xstarmap,
    "chunks": _chunks,
}


def _with_rest(made: Signature[Any], kwargs: dict[str, Any]) -> Signature[Any]:
    made.kwargs.update(kwargs)
    return made


def _each(forms: Any, app: Host | None, place: str) -> list[Signature[Any]]:
    if isinstance(forms, Mapping):  # Celery nests a group in a group's tasks
        forms = [forms]
    return [_read(form, app, f"{place}[{index}] > ") for index, form in enumerate(forms)]


def _options(given: Mapping[str, Any]) -> dict[str, Any]:
    """What Umbel knows of *given*: a signature of Celery carries fields of its protocol as well."""
    kept = {name: value for name, value in given.items() if name in CALL_OPTIONS and value is not None}
    for name in _MOMENTS:
        if isinstance(kept.get(name), str):
            kept[name] = datetime.fromisoformat(kept[name])
    names: Sequence[Any] = _of_type(given.get(STAMPED), list | tuple, (), f"options: {STAMPED}")
    stamps = {str(name): given[name] for name in names if name in given}
    if stamps:
        kept["headers"] = stamped(kept.get("headers"), stamps)
    return kept


def _of_type(value: Any, kind: Any, default: Any, place: str) -> Any:
    if value is None:
        return default
    if not isinstance(value, kind):
        raise TypeError(f"{place} is {value!r:.80}")
    return value


def _check_depth(form: Mapping[str, Any]) -> None:
    # Level by level, so that no depth of untrusted data can exhaust the stack. A canvas takes four levels of its form.
    level: Sequence[Any] = [form]
    depth = 0
    while level:
        depth += 1
        if depth > 4 * MAX_DEPTH + 64:
            raise ValueError(f"the signature is nested deeper than {MAX_DEPTH} levels, or contains itself")
        level = [
            inner
            for holder in level
            for inner in cast("Iterable[Any]", holder.values() if isinstance(holder, Mapping) else holder)
            if isinstance(inner, _HOLDERS)
        ]
