"""The page of dead letters: jobs that were given up, as the engine has them, with what the history knows beside it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec

from umbel.app.dead import Choice, DeadLetter, LetterPage
from umbel.dashboard.access.denied import Denied
from umbel.dashboard.engine import ask
from umbel.dashboard.filters import Span, whole
from umbel.dashboard.letters import letters_that
from umbel.dashboard.page import Page
from umbel.dashboard.recall import recall
from umbel.dashboard.visit import Visit
from umbel.exceptions import DecodeError
from umbel.history.views import JobRow
from umbel.security.redaction import Redaction
from umbel.telling import sketch_of
from umbel.wire.envelope import decode

MAX_ROWS: Final = 200
MAX_SUMMARY: Final = 200
MAX_COUNTED: Final = 10_000
TYPED_ABOVE: Final = 1_000
FRESH_SECONDS: Final = 0.0
QUEUES_SECONDS: Final = 1.0


class Meant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which dead letters: those that the filter *q* matches, not given up further back than *range*; or all."""

    q: str = ""
    range: Span = ""


class Asks(Meant, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which dead letters, about how many at once, and the ``after`` of the page before."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_ROWS)] = 50
    after: Annotated[str, msgspec.Meta(max_length=512)] = ""


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A job that was given up, at *buried*, for *reason*; *attempts* counts its runs.

    *args* and *kwargs* are the beginnings of redacted JSON, empty for whoever may not see them. *group* is the number
    of its group of errors, if the history knows it.
    """

    id: str
    queue: str
    task: str
    reason: str
    attempts: int
    retries: int
    crashes: int
    worker: str
    buried: float | None
    priority: int
    args: str
    kwargs: str
    group: int | None = None


class Dead(msgspec.Struct, frozen=True, kw_only=True):
    """Dead letters, by queue, in each the oldest first. *after* leads to those that follow; None: there are none.

    *counts* are how many there are, by queue. *trouble* says why the engine cannot tell.
    """

    letters: tuple[Letter, ...] = ()
    after: str | None = None
    counts: dict[str, int] = {}
    trouble: str = ""


class AllAsks(Meant, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """*what* would be done with all dead letters that are meant."""

    what: Literal["retry", "delete"]


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What would be done: to *count* dead letters, or more if *capped*, that *filter* matches and died up to *at*.

    Hand these back to the action; where *typed*, its *typed* is the count.
    """

    what: str
    filter: str
    count: int
    capped: bool
    at: float
    typed: bool


async def show(visit: Visit, asks: Asks) -> Dead:
    """The dead letters that are asked for."""
    choice = choose(visit, meant(visit, asks), time.time())

    async def look() -> LetterPage:
        return await visit.app.dead.apage(asks.after, choice, limit=asks.limit)

    page, trouble = await ask(visit, ("dead", asks), FRESH_SECONDS, look)
    queues, _ = await ask(visit, "queues", QUEUES_SECONDS, visit.app.queues.alist)
    counts = {each.queue: each.dead for each in queues or () if each.dead}
    if page is None:
        return Dead(counts=counts, trouble=trouble)
    none: dict[str, JobRow] = {}
    key = ("dead", tuple(each.id for each in page.letters))
    known = await recall(visit, key, QUEUES_SECONDS, lambda: _known(visit, page), none)
    return Dead(letters=_letters(visit, page.letters, known), after=page.after, counts=counts)


async def preview(visit: Visit, asks: AllAsks) -> Preview:
    """What would be done. Raises `Denied`, and what keeps the engine from telling."""
    if not (visit.may("dead.retry") if asks.what == "retry" else visit.may("dead.delete")):
        raise Denied(403, f"{visit.user.name} lacks the right dead.{asks.what}.", visit.user.name)
    at = time.time()
    filter = meant(visit, asks)
    n, capped = await counted(visit, filter, at)
    typed = must_type(asks.what, n, capped=capped)
    return Preview(what=asks.what, filter=filter, count=n, capped=capped, at=at, typed=typed)


def meant(visit: Visit, asks: Meant) -> str:
    """What is asked for as one filter. Raises `FilterError`, whose place is one of what the user wrote himself."""
    letters_that(visit.app, visit.history, whole(visit, asks.q), time.time())
    return whole(visit, asks.q, asks.range)


def choose(visit: Visit, filter: str, at: float) -> Choice | None:
    """Who chooses what *filter* means at the moment *at*; None: it is all."""
    return letters_that(visit.app, visit.history, filter, at)


async def counted(visit: Visit, filter: str, at: float) -> tuple[int, bool]:
    """How many dead letters of *filter* were buried up to *at*, up to 10,000; and whether there are more."""
    found = await visit.app.dead.alist(choose(visit, filter, at), until=at, limit=MAX_COUNTED + 1)
    return min(len(found), MAX_COUNTED), len(found) > MAX_COUNTED


def must_type(what: str, count: int, *, capped: bool) -> bool:
    """Whether it takes typing the number: what is deleted is gone, and many are many."""
    return what == "delete" or count > TYPED_ABOVE or capped


def _known(visit: Visit, page: LetterPage) -> dict[str, JobRow]:
    found = (visit.history.job(each.id) for each in page.letters)
    return {each.job.id: each.job for each in found if each is not None}


def _letters(visit: Visit, letters: Sequence[DeadLetter], known: dict[str, JobRow]) -> tuple[Letter, ...]:
    redaction = Redaction(visit.app.conf.event_redact)
    return tuple(_letter(visit, each, redaction, known.get(each.id)) for each in letters)


def _letter(visit: Visit, letter: DeadLetter, redaction: Redaction, row: JobRow | None) -> Letter:
    args, kwargs = _arguments(visit, letter, redaction) if visit.sees_args else ("", "")
    told = "" if row is None or not row.error else f"{row.error}: {row.error_text}"
    return Letter(
        id=letter.id,
        queue=letter.queue,
        task=letter.task,
        reason=letter.reason or told,
        attempts=letter.attempts,
        retries=letter.retries,
        crashes=letter.crashes,
        worker=letter.worker or ("" if row is None else row.worker),
        buried=letter.buried,
        priority=letter.priority,
        args=args[:MAX_SUMMARY],
        kwargs=kwargs[:MAX_SUMMARY],
        group=None if row is None else row.group,
    )


def _arguments(visit: Visit, letter: DeadLetter, redaction: Redaction) -> tuple[str, str]:
    try:
        envelope = decode(letter.envelope, len(letter.envelope))
    except DecodeError:
        return "", ""
    sketch = sketch_of(visit.app.tasks.get(letter.task))
    return redaction.args(envelope.args, sketch), redaction.kwargs(envelope.kwargs, sketch)


PAGE: Final = Page(
    path="/dead",
    title="Dead letters",
    right="jobs.view",
    template="dead.html",
    show=show,
    asks=Asks,
    section="dead",
    topics=("dead",),
)
ALL: Final = Page(
    path="/dead/all",
    within="dead",
    title="All dead letters that match",
    right="jobs.view",
    template="dead_all.html",
    show=preview,
    asks=AllAsks,
)
