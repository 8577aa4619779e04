"""Routes: every page and every action that there is."""

from __future__ import annotations

from typing import Final

from umbel.dashboard.actions import queues as queue_actions
from umbel.dashboard.page import Action, Page
from umbel.dashboard.pages import queues

PAGES: Final[tuple[Page, ...]] = (queues.PAGE,)
"""In the order of the navigation."""
ACTIONS: Final[tuple[Action, ...]] = (*queue_actions.ACTIONS,)
