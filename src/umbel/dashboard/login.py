"""Login: a form for name and password, and the way out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from umbel.dashboard.access.crossing import wrong_origin
from umbel.dashboard.access.denied import Denied
from umbel.dashboard.answering import Answers
from umbel.dashboard.asking import taken
from umbel.dashboard.auditing import Auditor
from umbel.dashboard.gate import Gate
from umbel.dashboard.page import Nothing
from umbel.dashboard.station import Station

LOGIN: Final = "/login"
LOGOUT: Final = "/logout"
SEE_OTHER: Final = 303


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the form of the login says; *next* is the address to go on to."""

    name: str = ""
    password: str = ""
    next: str = ""


class Login:
    """Lets users of *station* in and out; both are forms that work without scripts."""

    def __init__(self, station: Station, gate: Gate, answers: Answers, auditor: Auditor) -> None:
        self._station = station
        self._gate = gate
        self._answers = answers
        self._auditor = auditor

    def routes(self) -> Sequence[Route]:
        """None, if nobody has a password."""
        if not self._gate.identity.accounts.with_passwords:
            return ()
        return (Route(LOGIN, self._form, methods=["GET"]), Route(LOGIN, self._enter, methods=["POST"]),
                Route(LOGOUT, self._leave, methods=["POST"]))  # fmt: skip

    async def _form(self, request: Request) -> Response:
        try:
            self._gate.demand_host(request)
        except Denied as error:
            return self._answers.problem(request, error)
        return self._answers.login(request, self._next(request.query_params.get("next", "")), "")

    async def _enter(self, request: Request) -> Response:
        address, entry = self._gate.identity.origin(request).address, Entry()
        try:
            self._demand_form(request)
            entry = await taken(request, Entry)
            return await self._entered(request, entry)
        except Denied as error:
            await self._auditor.refused(error, address, "login", entry.name)
            answer = self._answers.login(request, self._next(entry.next), str(error), error.status)
            answer.headers.update(error.headers)
            return answer
        except Exception as error:  # noqa: BLE001 - each becomes an answer, as with every page
            return self._answers.problem(request, error)

    async def _entered(self, request: Request, entry: Entry) -> Response:
        identity = self._gate.identity
        origin = identity.origin(request)
        identity.demand_patience(origin)
        user = await identity.accounts.by_password(entry.name, entry.password)
        if user is None:
            identity.throttle.failed(origin.address)
            raise Denied(401, "Name or password is wrong.")
        await self._auditor.entered(user.name, origin.address, "login")
        answer = RedirectResponse(self._next(entry.next), SEE_OTHER)
        lasts = int(self._station.options.session_lifetime)
        answer.set_cookie(identity.cookie(origin), identity.sessions.start(user), lasts,
                          secure=origin.secure, httponly=True, samesite="strict")  # fmt: skip
        return answer

    async def _leave(self, request: Request) -> Response:
        identity = self._gate.identity
        try:
            self._demand_form(request)
            await taken(request, Nothing)
        except Exception as error:  # noqa: BLE001 - as above
            return self._answers.problem(request, error)
        origin = identity.origin(request)
        name = identity.cookie(origin)
        cookie = request.cookies.get(name, "")
        user = identity.sessions.user(cookie)
        if user is not None:
            identity.sessions.end(cookie)
            await self._auditor.entered(user.name, origin.address, "logout")
        answer = RedirectResponse(f"{self._station.options.prefix}{LOGIN}", SEE_OTHER)
        answer.delete_cookie(name, secure=origin.secure, httponly=True, samesite="strict")
        return answer

    def _demand_form(self, request: Request) -> None:
        self._gate.demand_host(request)
        wrong = wrong_origin(request.headers, ambient=True)
        if wrong:
            raise Denied(403, wrong)

    def _next(self, address: str) -> str:
        """*address* if it is one of ours, else the first page: a link to the login must not lead elsewhere."""
        prefix = self._station.options.prefix
        ours = address.startswith(f"{prefix}/") and not address.startswith("//") and address.isprintable()
        return address if ours and "\\" not in address else f"{prefix}/"
