"""Exporting: the metrics of the app, for Prometheus, and the description of the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from umbel.dashboard.access.denied import Denied
from umbel.dashboard.answering import API, problem_of
from umbel.dashboard.gate import Gate
from umbel.dashboard.openapi import described
from umbel.dashboard.station import Station
from umbel.telemetry.availability import installed
from umbel.telemetry.metrics import aexposition
from umbel.worker.reading import CURE

METRICS: Final = "/metrics"
FRESH_SECONDS: Final = 2.0


class Exports:
    """What *station* gives to programs in their own formats; the right to see jobs is asked for."""

    def __init__(self, station: Station, gate: Gate) -> None:
        self._station = station
        self._gate = gate
        self._described: bytes | None = None

    def routes(self) -> Sequence[Route]:
        """All of them."""
        return (
            Route(METRICS, self._metrics, methods=["GET"]),
            Route(f"{API}/openapi.json", self._description, methods=["GET"]),
        )

    async def _metrics(self, request: Request) -> Response:
        async def make() -> tuple[bytes, str]:
            return await aexposition(self._station.app, self._station.history)

        try:
            await self._gate.admit(request, "jobs.view", changing=False)
            if not installed():
                return PlainTextResponse(f"{CURE}\n", 501)
            page, kind = await self._station.shared("metrics", FRESH_SECONDS, make)
        except Exception as error:  # noqa: BLE001 - each becomes an answer
            return _refused(error)
        return Response(page, headers={"Content-Type": kind})

    async def _description(self, request: Request) -> Response:
        try:
            await self._gate.admit(request, "jobs.view", changing=False)
        except Denied as error:
            return _refused(error)
        if self._described is None:
            self._described = msgspec.json.format(msgspec.json.encode(described(self._station.options.prefix)))
        return Response(self._described, media_type="application/json")


def _refused(error: Exception) -> Response:
    problem = problem_of(error)
    headers = error.headers if isinstance(error, Denied) else {}
    return PlainTextResponse(f"{problem.error}\n", problem.status, headers)
