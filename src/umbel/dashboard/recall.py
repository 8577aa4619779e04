"""Recall: asking the history for what stands beside other things; a page is shown without it, too."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

from umbel.dashboard.visit import Visit
from umbel.exceptions import HistoryError

T = TypeVar("T")
S = TypeVar("S")


async def recall(visit: Visit, key: Hashable, seconds: float, read: Callable[[], T], otherwise: S) -> T | S:
    """What *read* answers, shared as by `Visit.shared`; *otherwise* if there is no history, or it does not answer."""

    async def make() -> T:
        return await visit.read(read)

    try:
        return await visit.shared(("history", key), seconds, make)
    except HistoryError:
        return otherwise  # a banner says so: `umbel.dashboard.banners`
