"""Site: the dashboard as an ASGI application, made of the tables of pages and actions."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from umbel.dashboard.access.headers import SecurityHeaders
from umbel.dashboard.answering import API, Answers
from umbel.dashboard.asking import asked, taken
from umbel.dashboard.assets import Assets
from umbel.dashboard.banners import banners
from umbel.dashboard.gate import Denied, Gate
from umbel.dashboard.page import Action, Page
from umbel.dashboard.rendering import Renderer
from umbel.dashboard.routes import ACTIONS, PAGES
from umbel.dashboard.station import Station
from umbel.dashboard.visit import Visit

Handler = Callable[[Request], Awaitable[Response]]
FOREVER: Final = "public, max-age=31536000, immutable"
NAVIGATION: Final = tuple(page for page in PAGES if page.section)


class Site:
    """The routes of the dashboard of one station."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._gate = Gate(station)
        self._assets = Assets(station.options.prefix)
        self._answers = Answers(Renderer(station.options.prefix, self._assets, NAVIGATION))

    def routes(self) -> list[Route]:
        """Every route there is. Each asks the gate first, but for the assets, which tell nothing."""
        return [
            *(Route(page.path, self._html(page), methods=["GET"]) for page in PAGES),
            *(Route(API + page.path, self._json(page), methods=["GET"]) for page in PAGES),
            *(Route(API + action.path, self._done(action), methods=["POST"]) for action in ACTIONS),
            Route("/static/{name:path}", self._asset, methods=["GET"]),
        ]

    def _html(self, page: Page) -> Handler:
        async def answer(request: Request, visit: Visit) -> Response:
            asks = asked(request, page.asks)
            values = {"view": await page.show(visit, asks), "asked": asks, "visit": visit}
            return self._answers.page(request, page, {**values, "banners": await banners(self._station)})

        return self._guarded(page, answer)

    def _json(self, page: Page) -> Handler:
        async def answer(request: Request, visit: Visit) -> Response:
            return self._answers.json(await page.show(visit, asked(request, page.asks)))

        return self._guarded(page, answer)

    def _done(self, action: Action) -> Handler:
        async def answer(request: Request, visit: Visit) -> Response:
            takes = await taken(request, action.takes)
            target, rest = action.target(takes), (visit.user.name, visit.origin, action.right)
            await visit.read(self._station.audit, *rest, target, 0, "asked")
            try:
                done = await action.do(visit, takes)
            except Exception as error:
                await visit.read(self._station.audit, *rest, target, 0, f"failed: {error}")
                raise
            await visit.read(self._station.audit, *rest, target, done.count, "done")
            return self._answers.done(request, done)

        return self._guarded(action, answer, changing=True)

    def _guarded(
        self, what: Page | Action, answer: Callable[[Request, Visit], Awaitable[Response]], *, changing: bool = False
    ) -> Handler:
        async def handle(request: Request) -> Response:
            visit = None
            try:
                visit = await self._gate.admit(request, what.right, changing=changing)
                return await answer(request, visit)
            except Exception as error:  # noqa: BLE001 - each becomes an answer; what nobody foresaw is logged there
                if isinstance(error, Denied) and changing:
                    origin = request.client.host if request.client else ""
                    await self._station.read(
                        self._station.audit, error.who, origin, what.right, "", 0, f"refused: {error}"
                    )
                return self._answers.problem(request, error, visit)

        return handle

    async def _asset(self, request: Request) -> Response:
        found = self._assets.get(request.path_params["name"])
        if found is None:
            return PlainTextResponse("There is no such file.", 404)
        return Response(found.content, media_type=found.kind, headers={"Cache-Control": FOREVER})


def site(station: Station) -> Starlette:
    """The ASGI application of *station*; its connections are given back when the server ends."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        yield
        await station.aclose()

    routes = Site(station).routes()
    mounted = [Mount(station.options.prefix, routes=routes)] if station.options.prefix else routes
    made = Starlette(routes=mounted, lifespan=lifespan)
    made.add_middleware(SecurityHeaders)
    return made
