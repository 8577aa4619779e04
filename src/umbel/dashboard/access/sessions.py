"""Sessions: a cookie that says who has logged in and until when, signed so that nobody else can make one."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Final

import msgspec

from umbel.dashboard.access.accounts import Accounts
from umbel.dashboard.access.user import User

MAX_COOKIE_CHARACTERS: Final = 2_048
MAX_ENDED: Final = 10_000


class Session(msgspec.Struct, frozen=True, array_like=True):
    """Of whom it is, until when (unix seconds), and a number of its own."""

    name: str
    ends: float
    number: str


class Sessions:
    """The sessions of *accounts*, signed with *secret*, which last for *lifetime* seconds; *clock* is in unix seconds.

    The key holds the hash of the user's password, so that a new password ends his sessions.
    """

    def __init__(
        self, accounts: Accounts, secret: str, lifetime: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._accounts = accounts
        self._secret = secret.encode() or secrets.token_bytes(32)
        self._lifetime = lifetime
        self._clock = clock
        self._ended: dict[str, float] = {}

    def start(self, user: User) -> str:
        """The cookie of a new session of *user*."""
        session = Session(user.name, self._clock() + self._lifetime, secrets.token_urlsafe(12))
        body = urlsafe_b64encode(msgspec.msgpack.encode(session)).decode().rstrip("=")
        return f"{body}.{self._signature(body, user.name)}"

    def user(self, cookie: str) -> User | None:
        """The user whose session *cookie* is; None if it is over, ended or not of ours."""
        session = self._read(cookie)
        if session is None or session.ends <= self._clock() or session.number in self._ended:
            return None
        return self._accounts.named(session.name)

    def end(self, cookie: str) -> None:
        """Let *cookie* count no longer, in this process; the browser drops it as well."""
        session, now = self._read(cookie), self._clock()
        if session is None:
            return
        if len(self._ended) >= MAX_ENDED:
            self._ended = {number: ends for number, ends in self._ended.items() if ends > now}
        if len(self._ended) < MAX_ENDED:
            self._ended[session.number] = session.ends

    def _read(self, cookie: str) -> Session | None:
        body, _, signature = cookie.partition(".")
        if len(cookie) > MAX_COOKIE_CHARACTERS or not cookie.isascii():
            return None
        try:
            raw = urlsafe_b64decode(body + "=" * (-len(body) % 4))
            session = msgspec.msgpack.decode(raw, type=Session)
        except (ValueError, msgspec.MsgspecError):
            return None
        account = self._accounts.get(session.name)
        if account is None or not account.password:
            return None
        return session if hmac.compare_digest(signature, self._signature(body, session.name)) else None

    def _signature(self, body: str, name: str) -> str:
        account = self._accounts.get(name)
        key = b"\0".join((self._secret, name.encode(), (account.password if account else "").encode()))
        made = hmac.digest(hashlib.sha256(key).digest(), body.encode(), "sha256")
        return urlsafe_b64encode(made).decode().rstrip("=")
