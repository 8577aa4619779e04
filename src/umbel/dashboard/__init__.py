"""Dashboard: what happens to jobs, in a browser, and what can be done about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from umbel.dashboard.access.user import User

if TYPE_CHECKING:
    from umbel.app.app import Umbel
    from umbel.dashboard.mounting import Mounted

__all__ = ["User", "asgi"]


def asgi(app: Umbel, **options: Any) -> Mounted:
    """The dashboard of *app* as an ASGI application, to be mounted under any prefix of another one.

    *options* beat the settings ``dashboard_<option>`` of *app*: prefix (by default where it is mounted), recorder,
    read_only, show_args, allowed_hosts, trusted_proxies, user_header, users, session_secret, session_lifetime. One
    more: ``resolve_user(request)``, a function, async or not, which answers the `User` who asks, or None. Unless told
    who may come, the dashboard answers only to its own machine. It does not record unless told ``recorder=True``.
    Raises `ImproperlyConfigured`.
    """
    from umbel.dashboard.mounting import Mounted
    from umbel.dashboard.options import options_of

    return Mounted(app, options_of(app.conf, {"recorder": False, **options}))
