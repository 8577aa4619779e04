"""OpenAPI: the description of the API, made of the tables of pages, questions and actions."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any, Final, get_type_hints

import msgspec

from umbel import __version__
from umbel.dashboard.answering import API, Problem
from umbel.dashboard.page import Action, Done, Page, Question
from umbel.dashboard.routes import ACTIONS, SHOWN

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
REFERENCE: Final = "#/components/schemas/{name}"
_PLACEHOLDER: Final = re.compile(r"{(\w+)(?::\w+)?}")
_ABOUT: Final = """All that the dashboard shows and does. Times are unix seconds, durations seconds.

Requests that change something carry the header Umbel-Request: 1; they may send JSON or a form."""


def described(prefix: str) -> dict[str, Any]:
    """The API of a dashboard at *prefix*, as OpenAPI 3.1."""
    schemas = _Schemas()
    paths = {_plain(each.path): {"get": schemas.reading(each)} for each in SHOWN}
    for action in ACTIONS:
        paths.setdefault(_plain(action.path), {})["post"] = schemas.doing(action)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Umbel", "version": __version__, "description": _ABOUT},
        "servers": [{"url": f"{prefix}{API}"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def shown_by(what: Page | Question) -> type[msgspec.Struct]:
    """The struct that *what* answers."""
    found: type[msgspec.Struct] = get_type_hints(what.show)["return"]
    return found


class _Schemas:
    """The schemas of all structs that are asked and answered; names are told apart by msgspec."""

    def __init__(self) -> None:
        kinds: list[Any] = [Problem, Done, *map(shown_by, SHOWN), *(each.takes for each in ACTIONS)]
        fields = [field for each in SHOWN for field in msgspec.structs.fields(each.asks)]
        found, self.components = msgspec.json.schema_components(
            [*kinds, *(field.type for field in fields)], schema_hook=_as_text, ref_template=REFERENCE
        )
        self._of_kind = dict(zip(kinds, found[: len(kinds)], strict=True))
        self._of_field = {id(field.type): schema for field, schema in zip(fields, found[len(kinds) :], strict=True)}
        self._kept = fields  # so that no id is given to another type

    def reading(self, what: Page | Question) -> dict[str, Any]:
        """The operation that asks *what*."""
        return {
            "operationId": _name("get", what.path),
            "summary": what.title,
            "description": f"{inspect.getdoc(what.show)} Needs the right {what.right}.",
            "parameters": [self._parameter(what.path, each) for each in msgspec.structs.fields(what.asks)],
            "responses": self._responses(shown_by(what)),
        }

    def doing(self, action: Action) -> dict[str, Any]:
        """The operation that does *action*."""
        schema = self._of_kind[action.takes]
        return {
            "operationId": _name("do", action.path),
            "summary": action.path.strip("/").replace("/", ": "),
            "description": f"{inspect.getdoc(action.do)} Needs the right {action.right}.",
            "parameters": [
                {"name": "Umbel-Request", "in": "header", "required": True, "schema": {"const": "1", "type": "string"}}
            ],
            "requestBody": {"required": True, "content": {JSON: {"schema": schema}, FORM: {"schema": schema}}},
            "responses": self._responses(Done),
        }

    def _parameter(self, path: str, field: msgspec.structs.FieldInfo) -> dict[str, Any]:
        inside = field.encode_name in _PLACEHOLDER.findall(path)
        schema = dict(self._of_field[id(field.type)])
        if not field.required and isinstance(field.default, str | int | float | bool):
            schema["default"] = field.default
        found = {"name": field.encode_name, "in": "path" if inside else "query", "schema": schema}
        return {**found, "required": True} if inside or field.required else found

    def _responses(self, kind: type[msgspec.Struct]) -> Mapping[str, Any]:
        problem = {"description": "What is wrong.", "content": {JSON: {"schema": self._of_kind[Problem]}}}
        right = {"description": "What was asked for.", "content": {JSON: {"schema": self._of_kind[kind]}}}
        return {"200": right, "default": problem}


def _plain(path: str) -> str:
    return _PLACEHOLDER.sub(r"{\1}", path)


def _name(verb: str, path: str) -> str:
    return "_".join([verb, *re.findall(r"\w+", _plain(path))])


def _as_text(_: type[Any]) -> dict[str, Any]:
    return {"type": "string"}
