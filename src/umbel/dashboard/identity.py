"""Identity: who sends a request: by a token, a session, a proxy, or the application that the dashboard is part of."""

from __future__ import annotations

import hashlib
import inspect
from typing import Final

import msgspec
from starlette.requests import Request

from umbel.dashboard.access.accounts import Accounts
from umbel.dashboard.access.denied import Denied
from umbel.dashboard.access.peers import Origin, Peers
from umbel.dashboard.access.sessions import Sessions
from umbel.dashboard.access.throttle import Throttle
from umbel.dashboard.access.user import User
from umbel.dashboard.options import Options

LOCAL: Final = User("local", "admin")
"""Whoever is on this machine, where nobody is asked who he is."""
MAX_NAME_CHARACTERS: Final = 200


class Known(msgspec.Struct, frozen=True):
    """The *user* of a request, and where it comes from. *ambient*: his browser adds what says so to any request.

    *session* is the cookie, if he has logged in.
    """

    user: User
    origin: Origin
    ambient: bool = True
    session: str = ""


class Identity:
    """Tells who sends requests to the dashboard of *options*; *name* tells its cookie from those of others."""

    def __init__(self, options: Options, name: str) -> None:
        self._options = options
        self._peers = Peers(options.trusted_proxies)
        self._cookie = f"umbel-{hashlib.sha256(f'{name}{options.prefix}'.encode()).hexdigest()[:8]}"
        self.accounts: Final = Accounts(options.users)
        self.sessions: Final = Sessions(self.accounts, options.session_secret, options.session_lifetime)
        self.throttle: Final = Throttle()

    def origin(self, request: Request) -> Origin:
        """Where *request* comes from."""
        return self._peers.origin(request.scope)

    def cookie(self, origin: Origin) -> str:
        """The name of the cookie; over TLS one that no other host can set."""
        return f"__Host-{self._cookie}" if origin.secure else self._cookie

    async def known(self, request: Request) -> Known:
        """Who sends *request*. Raises `Denied` if nobody knows him."""
        origin = self.origin(request)
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if not self._options.guarded:
            return self._local(origin)
        by_token = kind.lower() == "bearer"
        user = await self._resolved(request)
        if user is not None:
            return Known(user, origin, ambient=not by_token)  # pages of other sites cannot have that header sent
        if by_token:
            return Known(self._of_token(token.strip(), origin), origin, ambient=False)
        return self._of_proxy(request, origin) or self._of_session(request, origin)

    async def _resolved(self, request: Request) -> User | None:
        if self._options.resolve_user is None:
            return None
        found = self._options.resolve_user(request)
        return await found if inspect.isawaitable(found) else found

    def _of_token(self, token: str, origin: Origin) -> User:
        self.demand_patience(origin)
        user = self.accounts.by_token(token)
        if user is None:
            self.throttle.failed(origin.address)
            raise Denied(401, "There is no such token.", headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
        return user

    def demand_patience(self, origin: Origin) -> None:
        """Raise `Denied` if too many who came from there gave a wrong password or token."""
        wait = self.throttle.wait(origin.address)
        if wait > 0:
            text = f"Too many wrong passwords or tokens came from {origin.address}: try again in {wait:.0f} s."
            raise Denied(429, text, headers={"Retry-After": f"{wait:.0f}"})

    def _local(self, origin: Origin) -> Known:
        if not origin.local:
            raise Denied(403, "This dashboard asks nobody who he is, and so it answers only to its own machine.")
        return Known(LOCAL, origin, ambient=False)

    def _of_proxy(self, request: Request, origin: Origin) -> Known | None:
        name = request.headers.get(self._options.user_header, "") if self._options.user_header else ""
        if not origin.trusted or not name:
            return None
        if len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
            raise Denied(401, "The proxy names a user that cannot be printed.")
        return Known(self.accounts.named(name), origin)

    def _of_session(self, request: Request, origin: Origin) -> Known:
        cookie = request.cookies.get(self.cookie(origin), "")
        user = self.sessions.user(cookie) if cookie else None
        if user is None:
            raise Denied(401, "Log in to see this.", headers={"WWW-Authenticate": "Bearer"})
        return Known(user, origin, session=cookie)
