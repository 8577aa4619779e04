"""`MemoryMailbox`: the verbs of boxes over a `Space`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from umbel.contracts.mailbox import MAX_HEARD, Letter
from umbel.engines.memory import Ear, Space


class MemoryMailbox:
    """The boxes of a space; *clock* answers unix seconds."""

    def __init__(self, space: Space, clock: Callable[[], float]) -> None:
        self._space = space
        self._clock = clock

    def tell(self, box: str, messages: Sequence[bytes], ttl: float) -> None:
        """Append *messages* to *box*; see `Mailbox.tell`."""
        with self._space.lock:
            now = self._clock()
            self._space.boxes.forget(now)
            self._space.boxes.tell(box, messages, now + ttl)
            self._space.mail.ring(box)

    async def atell(self, box: str, messages: Sequence[bytes], ttl: float) -> None:
        """The async twin of `tell`."""
        self.tell(box, messages, ttl)

    def position(self, box: str) -> int:  # noqa: ARG002 - one row of numbers for all boxes
        """From where on nothing is missed; see `Mailbox.position`."""
        with self._space.lock:
            return self._space.boxes.last

    async def aposition(self, box: str) -> int:
        """The async twin of `position`."""
        return self.position(box)

    def hear(self, box: str, after: int, wait: float) -> list[Letter]:
        """The messages of *box* above *after*; see `Mailbox.hear`."""
        heard = threading.Event()
        deadline = time.monotonic() + wait
        while not (found := self._listen(box, after, heard.set)) and (left := deadline - time.monotonic()) > 0:
            try:
                heard.wait(left)
            finally:
                self._hang_up(box, heard.set)
            heard.clear()
        self._hang_up(box, heard.set)
        return found

    async def ahear(self, box: str, after: int, wait: float) -> list[Letter]:
        """The async twin of `hear`."""
        ear = Ear()
        found = self._listen(box, after, ear.wake)
        if found:
            return found
        try:
            await ear.wait(wait)
        finally:
            self._hang_up(box, ear.wake)
        return self._read(box, after)

    def _listen(self, box: str, after: int, wake: Callable[[], object]) -> list[Letter]:
        with self._space.lock:
            found = self._read(box, after)
            if not found:
                self._space.mail.join([box], wake)
            return found

    def _hang_up(self, box: str, wake: Callable[[], object]) -> None:
        with self._space.lock:
            self._space.mail.leave([box], wake)

    def _read(self, box: str, after: int) -> list[Letter]:
        with self._space.lock:
            self._space.boxes.forget(self._clock())
            return [Letter(*each) for each in self._space.boxes.hear(box, after, MAX_HEARD)]
