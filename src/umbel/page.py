"""Page: what one run says of itself, on its way to the broker. A run that says nothing has none."""

from __future__ import annotations

import logging
import time
from typing import Any, Final, Protocol, TypeAlias
from weakref import ref

from umbel.exceptions import EncodeError, LeaseLost
from umbel.model.job import Delivery
from umbel.states import PROGRESS
from umbel.wire import note

_logger: Final = logging.getLogger("umbel.worker")
Said: TypeAlias = bytes | tuple[str, bytes] | tuple[Any, Any, Any]
"""A note; or a state with its meta, encoded; or how much of how much is done, and a text."""


class Notebook(Protocol):
    """Where pages leave from; safe to call from any thread."""

    @property
    def able(self) -> bool:
        """Whether the broker keeps notes."""
        ...

    def check(self) -> None:
        """Raise `ImproperlyConfigured` if the broker keeps no notes."""

    def enqueue(self, page: Page) -> None:
        """Have *page* leave as soon as its turn comes; called once until it was taken."""


class Page:
    """What one run has said last. Written by the run, taken by the notebook, often in another thread."""

    __slots__ = ("__weakref__", "_run", "delivery", "lost", "queued", "said", "sent")

    def __init__(self, delivery: Delivery, run: object = None) -> None:
        """*run* is held weakly: what nobody runs any more has nothing left to say."""
        self.delivery = delivery
        self.queued = False
        self.lost = False
        """Whether the broker has refused a note, because another worker has the job."""
        self.sent = 0.0
        """When it was taken last, by ``time.monotonic``."""
        self.said: Said = b""
        self._run = None if run is None else ref(run)

    @property
    def over(self) -> bool:
        """Whether the run is over."""
        return self._run is not None and self._run() is None

    def say(self, said: Said, notebook: Notebook) -> None:
        """Have *said* leave. Raises `LeaseLost`."""
        if self.lost:
            raise LeaseLost(f"{self.delivery.id} is not this worker's any more: whatever it still says is refused")
        self.said = said  # before the look at the flag: whoever takes it lowers the flag first
        if not self.queued:
            self.queued = True
            notebook.enqueue(self)

    def take(self, now: float) -> bytes:
        """The last note, which leaves at *now*."""
        self.queued = False
        self.sent = now
        said = self.said
        match said:
            case bytes():
                return said
            case (state, meta):
                return note.encode(state, meta, self.delivery.counts.retries)
            case _:
                return note.encode(PROGRESS, progress_meta(*said), self.delivery.counts.retries)


def progress_meta(current: object, total: object, text: object) -> bytes:
    """What goes with the state PROGRESS. Raises `EncodeError`."""
    return note.encode_meta({"current": current, "total": total, "text": text})


def taken(page: Page) -> bytes | None:
    """What *page* says, which leaves now; None, and a line in the log, if that cannot travel."""
    try:
        return page.take(time.monotonic())
    except EncodeError as error:
        _logger.error("the progress of %s cannot travel: %s", page.delivery.id, error)  # noqa: TRY400
        return None
