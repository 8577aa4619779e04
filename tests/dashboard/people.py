"""People who come to a dashboard: with roles, without, from other sites; and every route that they may try."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
from starlette.routing import Route

from tests.dashboard.stage import OURS, Stage
from umbel.dashboard.access.passwords import hashed_password, hashed_token
from umbel.dashboard.access.rights import Right
from umbel.dashboard.access.user import User
from umbel.dashboard.answering import API
from umbel.dashboard.identity import Identity
from umbel.dashboard.options import Options
from umbel.dashboard.routes import ACTIONS, PAGES, SHOWN
from umbel.dashboard.site import site
from umbel.dashboard.station import Station

ROLES: Final = ("viewer", "operator", "admin")
PASSWORD: Final = "correct horse"
SECRET: Final = "a secret of sixteen"
PUBLIC: Final = {"/static/{name:path}", "/livez", "/login", "/logout"}
"""Tell nothing, or are how one comes in."""
EXPORTS: Final = {"/metrics", f"{API}/openapi.json", "/live"}

SITUATIONS: Final[dict[str, dict[str, str]]] = {
    "same-origin": {**OURS, "Sec-Fetch-Mode": "cors"},
    "cross-site": {"Umbel-Request": "1", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"},
    "no header": {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"},
    "wrong Host": {**OURS, "Host": "rebound.example"},
}


class Way(NamedTuple):
    """One route of a dashboard: the *right* that it needs, and whether it changes something."""

    method: str
    path: str
    right: Right
    changing: bool


@lru_cache
def users() -> dict[str, dict[str, str]]:
    """One user for each role, named after it; all have one password, and tokens of their own."""
    password = hashed_password(PASSWORD)
    return {role: {"role": role, "password": password, "token": hashed_token(f"token-{role}")} for role in ROLES}


def guarded(**more: Any) -> Options:
    """Options of a dashboard that knows `users`."""
    return Options(users=users(), session_secret=SECRET, **more)


def cookie(options: Options, role: str) -> dict[str, str]:
    """What the browser of the user *role* sends along when he has logged in over plain HTTP."""
    identity = Identity(options, "shop")
    name = identity.cookie(identity.origin(_request()))
    return {name: identity.sessions.start(User(role))}


def _request() -> Any:
    from starlette.requests import Request

    return Request({"type": "http", "headers": [], "client": ("127.0.0.1", 1), "scheme": "http"})


def routes_of(stage: Stage) -> Sequence[Route]:
    """Every route that there is."""
    return [each for each in site(Station(stage.app, guarded(), stage.history)).routes if isinstance(each, Route)]


def ways(stage: Stage) -> Sequence[Way]:
    """Every route that asks for a right. Raises `AssertionError` for one that no table names."""
    rights: dict[tuple[str, str], tuple[Right, bool]] = {("GET", path): ("jobs.view", False) for path in EXPORTS}
    rights.update({("GET", page.path): (page.right, False) for page in PAGES})
    rights.update({("GET", API + each.path): (each.right, False) for each in SHOWN})
    rights.update({("POST", API + each.path): (each.right, True) for each in ACTIONS})
    found: list[Way] = []
    for route in routes_of(stage):
        for method in sorted((route.methods or set()) - {"HEAD"}):
            if route.path in PUBLIC:
                continue
            assert (method, route.path) in rights, f"{method} {route.path} is in no table"
            right, changing = rights[method, route.path]
            found.append(Way(method, re.sub(r"{\w+(:\w+)?}", "1", route.path), right, changing))
    return found


def filled(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The least that an action can take for *kind*."""
    fields = msgspec.inspect.type_info(kind).fields  # type: ignore[attr-defined]
    return {each.encode_name: _least(each.type) for each in fields if each.required}


def _least(info: Any) -> Any:
    match info:
        case msgspec.inspect.IntType() | msgspec.inspect.FloatType():
            return info.ge or 1
        case msgspec.inspect.LiteralType():
            return info.values[0]
        case msgspec.inspect.ListType() | msgspec.inspect.VarTupleType():
            return [_least(info.item_type)]
        case msgspec.inspect.BoolType():
            return True
        case _:
            return "x"
