"""Ends: looks whether flows have ended whose last jobs were settled here, and has that told.

The engine ends a flow in the step of a settle, and tells nobody: whoever has settled one of the last jobs asks. So the
end of a flow is told once for each child that has seen it, and not at all by one that is killed meanwhile.
"""

from __future__ import annotations

import time
from itertools import islice
from typing import Final

from umbel.contracts.flows import FlowStore
from umbel.exceptions import UmbelError
from umbel.model.flow import Page, Part
from umbel.telling import Teller, page_at_end

LOOK_SECONDS: Final = 1.0
LOOKS: Final = 3
"""How often to look for a flow after the last settle here: a join may be on its way to where the flow is kept."""
MAX_FLOWS: Final = 10_000
"""How many flows are looked after at most; the end of one more is not told by this child."""
AT_ONCE: Final = 200


class Ends:
    """The flows of *store* whose last jobs end here; *teller* tells."""

    def __init__(self, store: FlowStore, teller: Teller) -> None:
        """Look after none yet."""
        self._store = store
        self._teller = teller
        self._looks: dict[Page, int] = {}
        self._look_at = 0.0

    def settled(self, part: Part) -> None:
        """A job with *part* was settled."""
        page = page_at_end(part)
        if page is not None and (page in self._looks or len(self._looks) < MAX_FLOWS):
            self._looks[page] = LOOKS

    async def look(self, *, last: bool = False) -> None:
        """Tell of those that have ended; not more often than each second, unless it is the *last* time."""
        now = time.monotonic()
        if not self._looks or (now < self._look_at and not last):
            return
        self._look_at = now + LOOK_SECONDS
        looks, self._looks = self._looks, {}
        while looks:
            pages = list(islice(looks, AT_ONCE))
            try:
                standings = await self._store.inputs(pages)
            except (UmbelError, OSError):
                self._looks = looks | self._looks
                return
            running = self._teller.ended_flows(pages, standings)
            left = {page: looks.pop(page) - 1 for page in pages}
            self._looks = {page: left[page] for page in running if left[page]} | self._looks
