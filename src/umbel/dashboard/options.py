"""Options of a dashboard."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

import msgspec
from starlette.requests import Request

from umbel.dashboard.access.accounts import Accounts
from umbel.dashboard.access.hosts import is_local
from umbel.dashboard.access.user import User
from umbel.exceptions import ImproperlyConfigured
from umbel.settings import Settings
from umbel.settings.dashboard import check_dashboard

Resolve: TypeAlias = Callable[[Request], User | Awaitable[User | None] | None]
"""Says who asks, or that nobody knows."""

CURE: Final = (
    'name users with hashes of their passwords ("umbel dashboard --hash-password" makes one) in dashboard_users, '
    "or a proxy that names the user in dashboard_trusted_proxies and dashboard_user_header"
)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How one dashboard is served: the settings ``dashboard_…``, which say what each of them means."""

    prefix: str = ""
    recorder: bool = False
    read_only: bool = False
    show_args: bool = True
    trace_url: str = ""
    allowed_hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    user_header: str = ""
    users: Mapping[str, Mapping[str, Any]] = {}
    session_secret: str = ""
    session_lifetime: float = 43_200.0
    resolve_user: Resolve | None = None

    @property
    def guarded(self) -> bool:
        """Whether it asks who comes. If not, it answers only to its own machine, and to everybody there."""
        return bool(self.users or self.user_header or self.resolve_user)


def options_of(settings: Settings, given: Mapping[str, Any]) -> Options:
    """What *settings* say of a dashboard, but for what is *given*. Raises `ImproperlyConfigured`."""
    names = set(Options.__struct_fields__)
    if unknown := sorted(given.keys() - names):
        raise ImproperlyConfigured(f"a dashboard has no option {unknown[0]!r}: there are {', '.join(sorted(names))}")
    kept = {name: settings[f"dashboard_{name}"] for name in names if f"dashboard_{name}" in settings}
    for name, value in given.items():
        check_dashboard(f"dashboard_{name}", value, "dashboard")
    options = Options(**{**kept, **given})
    check(options)
    return options


def check(options: Options) -> None:
    """Raise `ImproperlyConfigured` for options that would let in whom nobody knows, or nobody at all."""
    accounts = Accounts(options.users)
    if options.users and not (accounts.with_secrets or options.user_header or options.resolve_user):
        raise ImproperlyConfigured("no user has a password or a token, so nobody could come in")
    if options.user_header and not options.trusted_proxies:
        raise ImproperlyConfigured("dashboard_user_header is believed of nobody: name dashboard_trusted_proxies")
    public = [host for host in options.allowed_hosts if not is_local(host.removeprefix("."))]
    if public and not options.guarded:
        raise ImproperlyConfigured(f"a dashboard that is known as {public[0]} must ask who comes: {CURE}")
