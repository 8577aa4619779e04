"""Stream: ``GET /live``, on which a page hears of changes (server-sent events)."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from typing import Annotated, Final

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from umbel.dashboard.access.denied import Denied
from umbel.dashboard.access.rights import Right
from umbel.dashboard.answering import problem_of
from umbel.dashboard.asking import asked
from umbel.dashboard.gate import Gate
from umbel.dashboard.live.pulse import Pulse
from umbel.dashboard.live.topics import TOPICS
from umbel.dashboard.page import Refused
from umbel.dashboard.station import Station

RIGHT: Final[Right] = "jobs.view"
MAX_STREAMS: Final = 200
FULL_SECONDS: Final = 60
"""When a page may ask again for a stream that it did not get."""
SILENT_SECONDS: Final = 15.0
"""After so long something is sent, or proxies think that nobody is there."""
STREAM_SECONDS: Final = 60.0
"""A stream then ends, the browser opens the next one, and who he is and what he may is asked again."""
AGAIN_MS: Final = 500


class Asks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """*topics*, separated by commas, to hear of for whoever has seen the change *since*."""

    topics: Annotated[str, msgspec.Meta(max_length=256)] = ""
    since: int = 0


class Live:
    """The stream of *station*; the right to see jobs is asked for each time that it is opened."""

    def __init__(self, station: Station, gate: Gate) -> None:
        self.pulse: Final = Pulse(station)
        self._gate = gate

    def routes(self) -> Sequence[Route]:
        """All of them."""
        return (Route("/live", self._answer, methods=["GET"]),)

    async def _answer(self, request: Request) -> Response:
        try:
            await self._gate.admit(request, RIGHT, changing=False)
            return stream(request, self.pulse, asked(request, Asks))
        except Exception as error:  # noqa: BLE001 - each becomes an answer
            problem = problem_of(error)
            headers = error.headers if isinstance(error, Denied) else {}
            return PlainTextResponse(f"{problem.error}\n", problem.status, headers)


def stream(request: Request, pulse: Pulse, asks: Asks) -> Response:
    """What happens to the topics that are asked for, as it happens. Raises `Refused`."""
    topics = tuple(dict.fromkeys(each for each in asks.topics.split(",") if each))
    unknown = [each for each in topics if each not in TOPICS]
    if unknown or not topics:
        raise Refused(f"Name one or more of the topics {', '.join(TOPICS)}.", "topics")
    if pulse.watchers >= MAX_STREAMS:
        return Response(status_code=503, headers={"Retry-After": str(FULL_SECONDS)})
    last = request.headers.get("last-event-id", "")
    since = int(last) if last.isdecimal() and len(last) < 20 else asks.since  # noqa: PLR2004 - of 64 bits
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_messages(pulse, topics, since), headers=headers, media_type="text/event-stream")


async def _messages(pulse: Pulse, topics: tuple[str, ...], since: int) -> AsyncGenerator[str]:
    ends = time.monotonic() + STREAM_SECONDS
    with pulse.watch(topics, since) as watcher:
        yield f"retry: {AGAIN_MS}\n\n"
        while not watcher.over and (rest := ends - time.monotonic()) > 0:
            changed = await watcher.next(min(rest, SILENT_SECONDS))
            yield f"id: {watcher.change}\ndata: {','.join(changed)}\n\n" if changed else ":\n\n"
