"""Page, Question and Action: what a dashboard consists of, as data. Each is declared once, for people and programs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from umbel.dashboard.access.rights import Right
from umbel.dashboard.visit import Visit


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A page that cannot be asked anything in particular, or an action that needs no telling."""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Something to look at.

    ``GET <path>`` is *template*, rendered with ``view`` (what *show* answers), ``asked`` and ``visit``; ``GET
    /api/v1<path>`` is what *show* answers as JSON. *asks* is a struct: the parameters of the path and of the query are
    read into it, and what does not fit is refused with 400. Whoever lacks *right* gets 403. *topics* are what the page
    is about: it is shown anew when one of them changes (see `umbel.dashboard.live`). *section* is its place in the
    navigation; a page without one is shown there as *within* another's.
    """

    path: str
    title: str
    right: Right
    template: str
    show: Callable[[Visit, Any], Awaitable[msgspec.Struct]]
    asks: type[msgspec.Struct] = Nothing
    section: str = ""
    within: str = ""
    topics: tuple[str, ...] = ()


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Something that only programs ask: ``GET /api/v1<path>`` is what *show* answers as JSON; else as a `Page`."""

    path: str
    title: str
    right: Right
    show: Callable[[Visit, Any], Awaitable[msgspec.Struct]]
    asks: type[msgspec.Struct] = Nothing


class Done(msgspec.Struct, frozen=True):
    """What an action did, in a sentence, such as ``Paused mail.``, to how many, and the ids of new jobs.

    *page* is the path of the page that shows what comes of it, if there is one.
    """

    text: str
    count: int = 1
    ids: tuple[str, ...] = ()
    page: str = ""


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """Something to do: ``POST /api/v1<path>`` with a form or JSON, which is read into *takes*.

    It answers what *do* answers: as a notice to a browser's form, else as JSON. It needs *right* and leaves a note in
    the audit log, also when it is refused or fails; *target* says what it is done to, of what was taken.
    """

    path: str
    right: Right
    do: Callable[[Visit, Any], Awaitable[Done]]
    target: Callable[[Any], str]
    takes: type[msgspec.Struct] = Nothing


class Missing(Exception):
    """There is no such thing: 404. The message says what there is not."""


class Refused(Exception):
    """What was asked cannot be done: 400. The message names the cure; *field* is what is wrong."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field
