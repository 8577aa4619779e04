"""What holds for all tests of engines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from umbel.engines import postgres_listener, redis_boxes, redis_log, sqlite_listener
from umbel.stores.redis import watching

LONG_SECONDS = 60.0


@pytest.fixture(scope="package", autouse=True)
def _wakings_alone_count() -> Iterator[None]:
    """Nobody who waits looks again by himself in time: that would hide that he was not woken."""
    with pytest.MonkeyPatch.context() as patch:
        for waits in (postgres_listener, sqlite_listener, redis_boxes, redis_log, watching):
            patch.setattr(waits, "LOOK_AGAIN_SECONDS", LONG_SECONDS)
        yield
