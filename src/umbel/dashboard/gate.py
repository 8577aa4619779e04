"""Gate: every request passes it before any page or action is reached."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request

from umbel.dashboard.access.crossing import wrong_to_change, wrong_to_read
from umbel.dashboard.access.denied import Denied
from umbel.dashboard.access.hosts import Hosts
from umbel.dashboard.access.rights import Right
from umbel.dashboard.identity import Identity, Known
from umbel.dashboard.station import Station
from umbel.dashboard.visit import Visit


class Gate:
    """Who may come to the pages and actions of *station*."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._hosts = Hosts(station.options.allowed_hosts)
        self.identity: Final = Identity(station.options, station.app.main or "")

    def demand_host(self, request: Request) -> None:
        """Raise `Denied` if the dashboard is asked under a name that it does not have."""
        host = request.headers.get("host", "")
        if not self._hosts.allows(host):
            cure = "give that name with --allowed-host or in dashboard_allowed_hosts if it is right"
            raise Denied(400, f"This dashboard is not known as {host[:200]!r}: {cure}.")

    async def admit(self, request: Request, right: Right, *, changing: bool) -> Visit:
        """The visit of whoever asks, if he has *right*; *changing* what is there takes more. Raises `Denied`."""
        self.demand_host(request)
        known = await self.identity.known(request)
        visit = self._visit(known)
        headers = request.headers
        wrong = wrong_to_change(headers, ambient=known.ambient) if changing else wrong_to_read(headers)
        if wrong:
            raise Denied(403, wrong, known.user.name)
        if not visit.may(right):
            why = " in a dashboard that is read-only" if self._station.options.read_only else ""
            raise Denied(403, f"{known.user.name} lacks the right {right}{why}.", known.user.name)
        return visit

    def _visit(self, known: Known) -> Visit:
        rights = known.user.rights(read_only=self._station.options.read_only)
        return Visit(self._station, known.user, rights, known.origin.address, logged_in=bool(known.session))
