"""Site: the dashboard as an ASGI application, made of the tables of pages and actions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from umbel.dashboard.access.denied import Denied
from umbel.dashboard.access.headers import SecurityHeaders
from umbel.dashboard.access.prefix import Prefixed
from umbel.dashboard.answering import API, Answers
from umbel.dashboard.asking import asked, taken
from umbel.dashboard.assets import Assets
from umbel.dashboard.auditing import Auditor, named
from umbel.dashboard.banners import banners
from umbel.dashboard.exporting import Exports
from umbel.dashboard.gate import Gate
from umbel.dashboard.live.stream import Live
from umbel.dashboard.login import Login
from umbel.dashboard.page import Action, Page, Question
from umbel.dashboard.rendering import Renderer
from umbel.dashboard.routes import ACTIONS, PAGES, SHOWN
from umbel.dashboard.station import Station
from umbel.dashboard.visit import Visit

Handler = Callable[[Request], Awaitable[Response]]
Answer = Callable[[Request, Visit], Awaitable[Response]]
FOREVER: Final = "public, max-age=31536000, immutable"
PAUSE_SECONDS: Final = 0.05
"""Between pages that are made ready: a processor that does that all the time lets the first visitor wait."""
NAVIGATION: Final = tuple(page for page in PAGES if page.section)


class Site:
    """The routes of the dashboard of one station."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._gate = Gate(station)
        self._assets, self._renderer = _looks(station.options.prefix)
        self._answers = Answers(self._renderer, login=self._gate.identity.accounts.with_passwords)
        self._auditor = Auditor(station)
        self.live: Final = Live(station, self._gate)

    def routes(self) -> list[Route]:
        """Every route there is. Each asks the gate first, but for those that tell nothing."""
        return [
            *(Route(page.path, self._html(page), methods=["GET"]) for page in PAGES),
            *(Route(API + page.path, self._json(page), methods=["GET"]) for page in SHOWN),
            *(Route(API + action.path, self._done(action), methods=["POST"]) for action in ACTIONS),
            *Login(self._station, self._gate, self._answers, self._auditor).routes(),
            *Exports(self._station, self._gate).routes(),
            *self.live.routes(),
            Route("/static/{name:path}", self._asset, methods=["GET"]),
            Route("/livez", alive, methods=["GET"]),
        ]

    async def prepare(self) -> None:
        """Make pages ready before somebody asks for them, but none at the cost of whoever asks first."""
        for template in ("base.html", "macros.html", *(page.template for page in PAGES)):
            await asyncio.to_thread(self._renderer.prepare, template)
            await asyncio.sleep(PAUSE_SECONDS)

    async def astray(self, request: Request, error: Exception) -> Response:
        """Answer a request for what there is not, or with a method that it does not have."""
        status = error.status_code if isinstance(error, HTTPException) else 404
        found = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
        text = "There is nothing here." if status == 404 else f"{request.method} cannot be done here."  # noqa: PLR2004
        return self._answers.problem(request, Denied(status, text, headers=found))

    def _html(self, page: Page) -> Handler:
        async def answer(request: Request, visit: Visit) -> Response:
            asks, seen = asked(request, page.asks), await self.live.pulse.newest()
            values = {"view": await page.show(visit, asks), "asked": asks, "visit": visit, "seen": seen}
            return self._answers.page(request, page, {**values, "banners": await banners(self._station)})

        return self._guarded(page, answer)

    def _json(self, page: Page | Question) -> Handler:
        async def answer(request: Request, visit: Visit) -> Response:
            return self._answers.json(await page.show(visit, asked(request, page.asks)))

        return self._guarded(page, answer)

    def _done(self, action: Action) -> Handler:
        async def answer(request: Request, visit: Visit) -> Response:
            takes = await taken(request, action.takes)
            target = action.target(takes)
            await self._auditor.note(visit, action, target, "asked")
            try:
                done = await action.do(visit, takes)
            except Exception as error:
                await self._auditor.note(visit, action, target, f"failed: {error}")
                raise
            self._station.forget()
            await self._auditor.note(visit, action, target, "done", done.count)
            return self._answers.done(request, done)

        async def refused(request: Request, error: Denied) -> None:
            address = self._gate.identity.origin(request).address
            target = await _target(request, action) if error.who else ""  # nothing is read for people unknown
            await self._auditor.refused(error, address, named(action), target)

        return self._guarded(action, answer, refused)

    def _guarded(
        self,
        what: Page | Question | Action,
        answer: Answer,
        refused: Callable[[Request, Denied], Awaitable[None]] | None = None,
    ) -> Handler:
        async def handle(request: Request) -> Response:
            visit = None
            try:
                visit = await self._gate.admit(request, what.right, changing=isinstance(what, Action))
                return await answer(request, visit)
            except Exception as error:  # noqa: BLE001 - each becomes an answer; what nobody foresaw is logged there
                if isinstance(error, Denied) and refused is not None:
                    await refused(request, error)
                return self._answers.problem(request, error, visit)

        return handle

    async def _asset(self, request: Request) -> Response:
        found = self._assets.get(request.path_params["name"])
        if found is None:
            return PlainTextResponse("There is no such file.", 404)
        headers = {"Cache-Control": FOREVER, "Vary": "Accept-Encoding"}
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(found.content, media_type=found.kind, headers=headers)
        return Response(found.packed, media_type=found.kind, headers=headers | {"Content-Encoding": "gzip"})


@lru_cache(maxsize=8)
def _looks(prefix: str) -> tuple[Assets, Renderer]:
    """Files and templates of all dashboards at *prefix* in this process: to compile those takes a while."""
    assets = Assets(prefix)
    return assets, Renderer(prefix, assets, NAVIGATION)


async def alive(_: Request) -> Response:
    """Say that somebody is here; for those who look whether the process lives."""
    return PlainTextResponse("ok")


async def _target(request: Request, action: Action) -> str:
    try:
        return action.target(await taken(request, action.takes))
    except Exception:  # noqa: BLE001 - what was refused may say anything
        return ""


def site(station: Station) -> Starlette:
    """The ASGI application of *station*; its connections are given back when the server ends."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        station.open()
        preparing = asyncio.ensure_future(found.prepare())
        yield
        preparing.cancel()
        found.live.pulse.end()
        await station.aclose()

    found = Site(station)
    made = Starlette(routes=found.routes(), lifespan=lifespan, exception_handlers={HTTPException: found.astray})
    made.router.redirect_slashes = False
    made.state.end_streams = found.live.pulse.end
    made.add_middleware(SecurityHeaders)
    made.add_middleware(Prefixed, prefix=station.options.prefix)
    return made
