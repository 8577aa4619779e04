"""Notebook: sends what running jobs say of themselves, many in one step, at most four times a second each."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from typing import Final

from umbel.contracts.capabilities import Power, demand, powers_of
from umbel.contracts.jobs import NoteStore, notes_of
from umbel.exceptions import BrokerFull, BrokerUnavailable
from umbel.model import chance
from umbel.model.job import Delivery
from umbel.page import Page, taken
from umbel.worker.child.link import Link

PERIOD_SECONDS: Final = 0.25
MAX_BATCH: Final = 256
RETRY_SECONDS: Final = 1.0

_logger: Final = logging.getLogger("umbel.worker")


class Notebook:
    """The notes of the session of *link*; must be made in the loop that sends them. *place* is the broker's masked URL.

    Notes are fenced like settles: one for a job that was lost is refused, and its run is told at its next word.
    """

    def __init__(self, link: Link, place: str) -> None:
        """Send nothing yet."""
        self._link = link
        self._place = place
        self._loop = asyncio.get_running_loop()
        # Not that of whoever speaks: it would keep his run alive, and what is sent here belongs to all.
        self._context = copy_context()
        self._arrived: deque[Page] = deque()
        self._due: deque[Page] = deque()
        self._looking = False
        self._sending: asyncio.Task[None] | None = None
        self._relayed: dict[tuple[str, int], Page] = {}
        self.told: Callable[[Delivery, bytes], None] | None = None
        """Told of the notes that the broker has taken."""

    @property
    def able(self) -> bool:
        """Whether the broker keeps notes."""
        return Power.NOTES in powers_of(self._link.broker)

    def check(self) -> None:
        """Raise `ImproperlyConfigured` if the broker keeps no notes."""
        demand(self._link.broker, Power.NOTES, "update_state", self._place)

    def enqueue(self, page: Page) -> None:
        """Have *page* leave as soon as its turn comes; from any thread."""
        self._arrived.append(page)
        if not self._looking:  # one wake-up of the loop for all that arrive before it looks
            self._looking = True
            try:
                self._loop.call_soon_threadsafe(self._look, context=self._context)
            except RuntimeError:  # the loop was closed: the child is ending, and nobody hears of it
                return

    def relay(self, delivery: Delivery, body: bytes) -> None:
        """Have the note *body* of a run in another process leave. Raises `LeaseLost`."""
        page = self._relayed.setdefault((delivery.id, delivery.number), Page(delivery))
        page.say(body, self)

    def forget(self, delivery: Delivery) -> None:
        """The run in another process is over."""
        self._relayed.pop((delivery.id, delivery.number), None)

    async def aclose(self) -> None:
        """Send nothing more."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.wait((self._sending,))

    def _look(self) -> None:
        # Lowered first: a page that arrives while we look schedules us again.
        self._looking = False
        now = time.monotonic()
        while self._arrived:
            page = self._arrived.popleft()
            wait = page.sent + PERIOD_SECONDS - now
            if wait <= 0:
                self._due.append(page)
            else:
                self._loop.call_later(wait, self._turn, page, context=self._context)
        self._start()

    def _turn(self, page: Page) -> None:
        self._due.append(page)
        self._start()

    def _start(self) -> None:
        if self._due and (self._sending is None or self._sending.done()):
            self._sending = self._loop.create_task(self._send(), context=self._context)

    async def _send(self) -> None:
        while self._due:
            count = min(len(self._due), MAX_BATCH)
            pages = [page for page in (self._due.popleft() for _ in range(count)) if not page.over]
            await self._send_batch([(page, body) for page in pages if (body := taken(page)) is not None])

    async def _send_batch(self, batch: list[tuple[Page, bytes]]) -> None:
        notes = [(page.delivery, body) for page, body in batch]
        if not notes:
            return
        try:
            answers = await self._store().note(self._link.session, notes)
        except (BrokerUnavailable, BrokerFull) as error:
            _logger.debug("%d notes of progress wait: %s", len(batch), error)
            for page, _ in batch:
                page.queued = True
                self._due.append(page)
            await asyncio.sleep(RETRY_SECONDS * chance.random())
        except Exception:
            _logger.exception("%d notes of progress cannot be kept", len(batch))
        else:
            for (page, body), ours in zip(batch, answers, strict=True):
                page.lost = page.lost or not ours
                if ours and self.told is not None:
                    self.told(page.delivery, body)

    def _store(self) -> NoteStore:
        store = notes_of(self._link.broker)
        assert store is not None  # noqa: S101 - `check` says so before the first page
        return store
