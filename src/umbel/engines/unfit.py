"""Denied and Unfit: a server that cannot serve as it is set up, said by a broker or by a result store."""

from __future__ import annotations

from umbel.exceptions import BackendError, BrokerError, ImproperlyConfigured


class Denied(BrokerError, ImproperlyConfigured):
    """The server lets us not in: a wrong user, password, database or kind of server; the message names the cure."""


class Unfit(BackendError, ImproperlyConfigured):
    """The store refuses as long as its settings, rights or features are what they are; the message names the cure.

    Also a `BackendError`: a worker that meets it keeps its outcomes and goes on as soon as the cure was applied.
    """
