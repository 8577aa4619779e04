"""Mounting: the dashboard as a part of another ASGI application."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from umbel.app.app import Umbel
from umbel.dashboard.options import Options
from umbel.dashboard.site import site
from umbel.dashboard.station import Station

MAX_PLACES: Final = 8


class Mounted:
    """The dashboard of *app* at whatever prefix it is mounted under: learnt from the first request, if not given."""

    def __init__(self, app: Umbel, options: Options) -> None:
        self._app = app
        self._options = options
        self._sites: dict[str, Starlette] = {}
        self._opened = AsyncExitStack()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or live as long as the application does."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            made = await self._site(self._options.prefix or scope.get("root_path", "").rstrip("/"))
            await made(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})

    async def aclose(self) -> None:
        """Give back what it has opened, for applications that do not pass on their end."""
        self._sites.clear()
        await self._opened.aclose()

    async def _site(self, prefix: str) -> Starlette:
        made = self._sites.get(prefix)
        if made is None:
            if len(self._sites) >= MAX_PLACES:
                await self.aclose()
            options = msgspec.structs.replace(self._options, prefix=prefix, recorder=self._records())
            made = self._sites[prefix] = site(Station(self._app, options))
            await self._opened.enter_async_context(made.router.lifespan_context(made))
        return made

    def _records(self) -> bool:
        return self._options.recorder and not self._sites  # one recorder is enough

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message: dict[str, Any] = dict(await receive())
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self.aclose()
                await send({"type": "lifespan.shutdown.complete"})
                return
