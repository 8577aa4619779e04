"""Letters: the dead letters that a filter means, for pages and for what is done to all of them."""

from __future__ import annotations

from collections.abc import Sequence

from umbel.app.app import Umbel
from umbel.app.dead import Choice
from umbel.exceptions import HistoryError
from umbel.history import History
from umbel.history.letters import Chosen, LetterFilter
from umbel.security.redaction import Redaction
from umbel.telling import sketch_of


def letters_that(app: Umbel, history: History, filter: str, at: float) -> Choice | None:
    """Who chooses those dead letters that *filter* means at the moment *at*; None: it is all. Raises `FilterError`.

    What killed a job is forgotten by the engine after a while; then the history tells.
    """

    def why(ids: Sequence[str]) -> dict[str, str]:
        try:
            found = [detail.job for each in ids if (detail := history.job(each)) is not None]
        except HistoryError:
            return {}
        return {job.id: f"{job.error}: {job.error_text}" for job in found if job.error}

    if not filter.strip():
        return None
    redaction = Redaction(app.conf.event_redact)
    return Chosen(LetterFilter(filter, at, redaction, lambda task: sketch_of(app.tasks.get(task))), why)
