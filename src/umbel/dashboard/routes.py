"""Routes: every page and every action that there is."""

from __future__ import annotations

from typing import Final

from umbel.dashboard.actions import errors as error_actions
from umbel.dashboard.actions import queues as queue_actions
from umbel.dashboard.page import Action, Page
from umbel.dashboard.pages import errors, job, jobs, overview, queues, tasks

PAGES: Final[tuple[Page, ...]] = (
    overview.PAGE,
    jobs.PAGE,
    job.PAGE,
    tasks.PAGE,
    tasks.ONE,
    errors.PAGE,
    errors.ONE,
    queues.PAGE,
)
"""In the order of the navigation."""
ACTIONS: Final[tuple[Action, ...]] = (*queue_actions.ACTIONS, *error_actions.ACTIONS)
