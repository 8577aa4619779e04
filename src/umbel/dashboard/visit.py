"""Visit: one request of one user, as pages and actions see it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

import msgspec

from umbel.app.app import Umbel
from umbel.dashboard.access.rights import Right
from umbel.dashboard.access.user import User
from umbel.dashboard.options import Options
from umbel.dashboard.station import Station
from umbel.history import History

T = TypeVar("T")


class Visit(msgspec.Struct, frozen=True):
    """A *user* with his *rights* at a *station*. *origin* is the address that he comes from.

    *logged_in*: he has given his password here, and so he can log out.
    """

    station: Station
    user: User
    rights: frozenset[Right]
    origin: str = ""
    logged_in: bool = False

    @property
    def app(self) -> Umbel:
        """The app."""
        return self.station.app

    @property
    def history(self) -> History:
        """The history; ask it through `read`."""
        return self.station.history

    @property
    def options(self) -> Options:
        """The options of the dashboard."""
        return self.station.options

    def may(self, right: Right) -> bool:
        """Whether the user has *right*."""
        return right in self.rights

    @property
    def sees_args(self) -> bool:
        """Whether arguments are shown to the user."""
        return self.options.show_args and self.may("jobs.view_args")

    async def read(self, ask: Callable[..., T], *given: Any, **named: Any) -> T:
        """What *ask*, which may block, answers: `Station.read`."""
        return await self.station.read(ask, *given, **named)

    async def shared(self, key: Hashable, seconds: float, make: Callable[[], Awaitable[T]]) -> T:
        """What *make* answered at most *seconds* ago: `Station.shared`. The key must not depend on the user."""
        return await self.station.shared(key, seconds, make)
