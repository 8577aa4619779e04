"""Answering: pages and actions as HTML or JSON, and what went wrong as something that helps."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from umbel.dashboard.access.denied import Denied
from umbel.dashboard.asking import TooLarge
from umbel.dashboard.page import Done, Missing, Page, Refused
from umbel.dashboard.rendering import THEMES, Renderer
from umbel.dashboard.visit import Visit
from umbel.exceptions import BrokerError, HistoryError, UmbelError
from umbel.history import FilterError

_logger: Final = logging.getLogger("umbel.dashboard")
API: Final = "/api/v1"
UNFORESEEN: Final = 500
UNKNOWN: Final = 401
STATUSES: Final[tuple[tuple[type[Exception], int], ...]] = (
    (Missing, 404),
    (TooLarge, 413),
    (HistoryError, 503),
    (BrokerError, 503),
    (UmbelError, 409),
)
"""What a request comes to that met such an error; the first that fits counts."""


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is wrong with a request, in a sentence; *field* or *position* (of the filter's characters) tells where."""

    status: int
    error: str
    field: str = ""
    position: int | None = None


def problem_of(error: Exception) -> Problem:
    """What to tell of *error*; of one that nobody foresaw, nothing but that it is in the log."""
    match error:
        case Denied():
            return Problem(error.status, str(error))
        case FilterError():
            return Problem(400, error.reason, "q", error.at)
        case Refused():
            return Problem(400, str(error), error.field)
        case _:
            return _told(error)


def _told(error: Exception) -> Problem:
    status = next((status for kind, status in STATUSES if isinstance(error, kind)), UNFORESEEN)
    if status == UNFORESEEN:
        _logger.error("A page or an action failed.", exc_info=error)
        return Problem(500, "Something went wrong here; the log of the dashboard says what.")
    return Problem(status, str(error))


class Answers:
    """Makes the responses of a dashboard; *login*: there is a form to log in with."""

    def __init__(self, renderer: Renderer, *, login: bool = False) -> None:
        self._renderer = renderer
        self._login = login

    def page(self, request: Request, page: Page, values: Mapping[str, Any]) -> Response:
        """*page* as HTML, or only what is shown anew, if the request asks for that."""
        partial = request.headers.get("hx-request-type") == "partial"
        return self._html(request, page.template, {"page": page, **values}, partial=partial)

    def json(self, value: Any, status: int = 200) -> Response:
        """*value* as JSON; times are unix seconds."""
        return Response(msgspec.json.encode(value, enc_hook=str), status, media_type="application/json")

    def done(self, request: Request, done: Done) -> Response:
        """What an action did: a notice for a form of a page, which is then shown anew; else JSON."""
        if not is_browser(request):
            return self.json(done)
        response = self._html(request, "notice.html", {"done": done, "problem": None}, partial=True)
        response.headers["HX-Trigger"] = "umbel:done"
        return response

    def problem(self, request: Request, error: Exception, visit: Visit | None = None) -> Response:
        """*error*, in the form of what was asked for."""
        problem = problem_of(error)
        if is_browser(request) and request.method == "POST":
            response = self._html(request, "notice.html", {"done": None, "problem": problem}, partial=True)
        elif path_of(request).startswith(f"{API}/") or request.method not in {"GET", "HEAD"}:
            response = self.json(problem)
        elif problem.status == UNKNOWN and self._login:
            response = self._asked_to_log_in(request)
        else:
            here = path_of(request)
            values = {"problem": problem, "page": None, "visit": visit, "banners": (), "here": here}
            response = self._html(request, "problem.html", values, partial=False)
        response.status_code = problem.status
        response.headers.update(error.headers if isinstance(error, Denied) else {})
        return response

    def login(self, request: Request, following: str, trouble: str, status: int = 200) -> Response:
        """The form to log in with; it goes on to *following*. *trouble* says what was wrong."""
        values = {"following": following, "trouble": trouble, "page": None, "visit": None, "banners": ()}
        response = self._html(request, "login.html", values, partial=False)
        response.status_code = status
        return response

    def _asked_to_log_in(self, request: Request) -> Response:
        query = f"?{request.url.query}" if request.url.query else ""
        response = self.login(request, f"{request.url.path}{query}", "")
        if request.headers.get("sec-fetch-site") == "cross-site":
            # A link on another site: the browser keeps the cookie back, which it sends if this page asks again.
            response.headers["Refresh"] = "0"
        return response

    def _html(self, request: Request, template: str, values: Mapping[str, Any], *, partial: bool) -> Response:
        theme = request.cookies.get("umbel-theme", "auto")
        known = theme if theme in THEMES else "auto"
        text = self._renderer.render(template, {"request": request, "theme": known, **values}, partial=partial)
        return Response(text, media_type="text/html")


def path_of(request: Request) -> str:
    """The path of *request* without the prefix of the dashboard."""
    return request.url.path.removeprefix(request.scope.get("root_path", ""))


def is_browser(request: Request) -> bool:
    """Whether a script of our pages asks."""
    return request.headers.get("hx-request") == "true"
