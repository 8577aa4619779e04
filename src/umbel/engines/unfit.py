"""Unfit: a store that cannot serve as it is set up."""

from __future__ import annotations

from umbel.exceptions import BackendError, ImproperlyConfigured


class Unfit(BackendError, ImproperlyConfigured):
    """The store refuses as long as its settings, rights or features are what they are; the message names the cure.

    Also a `BackendError`: a worker that meets it keeps its outcomes and goes on as soon as the cure was applied.
    """
