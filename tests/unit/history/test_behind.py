"""How a recorder knows how much of a log it has still to read."""

from collections.abc import Sequence

from umbel.contracts.event_log import Kept
from umbel.history.behind import Behind


class Silent:
    """A log that counts nothing, and keeps nothing."""

    def append(self, batches: Sequence[bytes], bound: int) -> None:
        """Nothing is kept."""

    async def aappend(self, batches: Sequence[bytes], bound: int) -> None:
        """Nothing is kept."""

    async def read(self, after: str, limit: int, wait: float) -> list[Kept]:
        """Nothing is there."""
        return []

    async def end(self) -> str:
        """Nothing is there."""
        return ""


class Counting(Silent):
    """A log that counts its batches."""

    added: int | None = None

    async def count(self) -> int | None:
        """How many were ever added."""
        return self.added


async def test_of_a_log_that_does_not_count_nothing_is_known() -> None:
    behind = Behind(Silent(), 1_000)
    await behind.reached(0)
    assert await behind.fill() is None


async def test_a_log_that_counts_is_full_until_it_was_read_to_its_end() -> None:
    log = Counting()
    log.added = 5_000
    behind = Behind(log, 1_000)
    behind.passed(16)
    assert await behind.fill() == 1.0
    await behind.reached(10)
    assert await behind.fill() == 0.01
    behind.passed(10)
    assert await behind.fill() == 0.0
    log.added = 5_300
    await behind.reached(0)
    assert await behind.fill() == 0.3
    behind.lost()
    assert await behind.fill() == 1.0


async def test_a_log_that_was_wiped_is_full_until_it_was_read_anew() -> None:
    log = Counting()
    log.added = 5_000
    behind = Behind(log, 1_000)
    await behind.reached(0)
    log.added = 20
    assert await behind.fill() == 1.0
    await behind.reached(20)
    assert await behind.fill() == 0.02


async def test_of_a_log_whose_server_does_not_count_nothing_is_known() -> None:
    behind = Behind(Counting(), 1_000)
    await behind.reached(0)
    assert await behind.fill() is None
