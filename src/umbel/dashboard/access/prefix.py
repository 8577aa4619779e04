"""Prefix: where a dashboard is mounted; a proxy in front may leave the prefix in the path, or take it away."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send


class Prefixed:
    """Has *app* see every path with *prefix* before it."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as *app* does."""
        if scope["type"] == "http":
            path: str = scope["path"]
            under = path == self._prefix or path.startswith(f"{self._prefix}/")
            rest = path[len(self._prefix) :] if under else path
            scope = {**scope, "root_path": self._prefix, "path": f"{self._prefix}{rest or '/'}"}
        await self._app(scope, receive, send)
