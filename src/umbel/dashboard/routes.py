"""Routes: every page and every action that there is."""

from __future__ import annotations

from typing import Final

from umbel.dashboard.actions import bulk as bulk_actions
from umbel.dashboard.actions import dead as dead_actions
from umbel.dashboard.actions import errors as error_actions
from umbel.dashboard.actions import flows as flow_actions
from umbel.dashboard.actions import jobs as job_actions
from umbel.dashboard.actions import queues as queue_actions
from umbel.dashboard.actions import schedules as schedule_actions
from umbel.dashboard.actions import workers as worker_actions
from umbel.dashboard.page import Action, Page, Question
from umbel.dashboard.pages import (
    activity,
    autoscale,
    bulk,
    dead,
    errors,
    flows,
    job,
    jobs,
    overview,
    queues,
    schedules,
    tasks,
    workers,
)

PAGES: Final[tuple[Page, ...]] = (
    overview.PAGE,
    jobs.PAGE,
    job.PAGE,
    bulk.NEW,
    bulk.PAGE,
    tasks.PAGE,
    tasks.ONE,
    errors.PAGE,
    errors.ONE,
    flows.PAGE,
    flows.ONE,
    queues.PAGE,
    queues.ONE,
    dead.PAGE,
    dead.ALL,
    schedules.PAGE,
    schedules.ONE,
    workers.PAGE,
    activity.PAGE,
)
"""In the order of the navigation."""
QUESTIONS: Final[tuple[Question, ...]] = (autoscale.QUESTION,)
"""What only programs ask."""
SHOWN: Final[tuple[Page | Question, ...]] = (*PAGES, *QUESTIONS)
ACTIONS: Final[tuple[Action, ...]] = (
    *job_actions.ACTIONS,
    *bulk_actions.ACTIONS,
    *dead_actions.ACTIONS,
    *error_actions.ACTIONS,
    *flow_actions.ACTIONS,
    *queue_actions.ACTIONS,
    *schedule_actions.ACTIONS,
    *worker_actions.ACTIONS,
)
