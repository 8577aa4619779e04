"""Accounts: the users that the settings name."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from umbel.dashboard.access.passwords import NOBODY, is_password, is_token
from umbel.dashboard.access.user import User
from umbel.settings.dashboard import Account, accounts_of

AT_ONCE: Final = 2
"""How many passwords are compared at a time; each takes a thread and 16 MiB."""


class Accounts:
    """The users of the setting *given*. Raises `ImproperlyConfigured` for one that is wrong."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._accounts = accounts_of(given)
        self._turn = asyncio.Semaphore(AT_ONCE)

    @property
    def with_passwords(self) -> bool:
        """Whether somebody can log in."""
        return any(account.password for account in self._accounts.values())

    @property
    def with_secrets(self) -> bool:
        """Whether somebody has a password or a token."""
        return any(account.password or account.token for account in self._accounts.values())

    def get(self, name: str) -> Account | None:
        """The account of *name*."""
        return self._accounts.get(name)

    def named(self, name: str) -> User:
        """The user that somebody who is believed calls *name*; one without an account looks, and does nothing."""
        account = self._accounts.get(name)
        return User(name, account.role if account is not None else "viewer")

    async def by_password(self, name: str, password: str) -> User | None:
        """The user *name*, if *password* is his. An unknown one takes as long as a wrong password."""
        account = self._accounts.get(name)
        kept = account.password if account is not None and account.password else NOBODY
        async with self._turn:
            right = await asyncio.to_thread(is_password, password, kept)
        return User(name, account.role) if right and account is not None and account.password else None

    def by_token(self, token: str) -> User | None:
        """The user whose token it is."""
        found = None
        for name, account in self._accounts.items():  # all of them, so that the time tells nothing
            if account.token and is_token(token, account.token):
                found = User(name, account.role)
        return found
