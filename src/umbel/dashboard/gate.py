"""Gate: every request passes it before any page or action is reached."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request

from umbel.dashboard.access.rights import Right
from umbel.dashboard.access.user import User
from umbel.dashboard.station import Station
from umbel.dashboard.visit import Visit

OURS: Final = "umbel-request"
"""A header that a page of another site cannot send without being asked by the browser first, and that is refused."""


class Denied(Exception):
    """The request goes no further: *status* and why. *who* asked, if that is known. *headers* are for the browser."""

    def __init__(self, status: int, text: str, who: str = "", headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.who = who
        self.headers = headers or {}


class Gate:
    """Who may come to the pages and actions of *station*."""

    def __init__(self, station: Station) -> None:
        self._station = station

    async def admit(self, request: Request, right: Right, *, changing: bool) -> Visit:
        """The visit of whoever asks, if he has *right*; *changing* what is there takes more. Raises `Denied`."""
        user = User("local", "admin")
        visit = Visit(
            self._station,
            user,
            user.rights(read_only=self._station.options.read_only),
            request.client.host if request.client else "",
        )
        if changing and request.headers.get(OURS) != "1":
            raise Denied(403, "Requests that change something carry the header Umbel-Request: 1.", user.name)
        if not visit.may(right):
            raise Denied(403, f"{user.name} lacks the right {right}.", user.name)
        return visit
