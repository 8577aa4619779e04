"""Which version of the code's schedules counts."""

from __future__ import annotations

from umbel.model.schedule import Entry
from umbel.schedules.versions import Versions, digest_of

MINUTE = 60_000


class Fleet:
    """Workers that announce their versions every so often, on one clock."""

    def __init__(self) -> None:
        self.now = 1_795_000_000_000
        self.versions = Versions()

    def run(self, seconds: int, *digests: str) -> str | None:
        """Let workers with these versions run for so long; answers which version counts at the end."""
        for _ in range(max(1, seconds // 5)):
            for digest in digests:
                self.versions = self.versions.announced(digest, self.now) or self.versions
            self.now += 5000
        return self.versions.current()


def test_the_newest_counts_however_many_of_the_old_there_are() -> None:
    fleet = Fleet()
    assert fleet.run(30, "old") == "old"
    assert fleet.run(0, "new", "old") == "new"
    assert fleet.run(600, "old", "new", "old") == "new"


def test_an_old_worker_that_is_started_again_changes_nothing() -> None:
    fleet = Fleet()
    fleet.run(30, "old")
    fleet.run(120, "new")
    assert fleet.run(60, "old", "new") == "new"


def test_a_rollback_counts_when_the_newer_version_has_no_workers() -> None:
    fleet = Fleet()
    fleet.run(30, "old")
    fleet.run(30, "new")
    assert fleet.run(90, "old") == "old"


def test_a_version_that_was_gone_for_long_is_deployed_anew() -> None:
    fleet = Fleet()
    fleet.run(30, "old")
    fleet.run(1200, "new")
    assert fleet.run(0, "old", "new") == "old"


def test_it_is_announced_seldom() -> None:
    versions = Versions().announced("one", 1000)
    assert versions is not None
    assert versions.announced("one", 10_000) is None
    assert versions.announced("one", 20_000) is not None


def test_a_jump_of_the_clock_brings_no_old_version_to_power() -> None:
    for jump in (60 * MINUTE, 1440 * MINUTE, -60 * MINUTE, -1440 * MINUTE):
        fleet = Fleet()
        fleet.run(30, "old")
        fleet.run(60, "new", "old")
        fleet.now += jump
        assert fleet.run(0, "old") == "new"
        assert fleet.run(300, "old", "new") == "new"


def test_nobody_announced_anything() -> None:
    assert Versions().current() is None


def test_the_digest_is_that_of_the_schedules_in_any_order() -> None:
    one, two = Entry("one", "every 1", "task", b"1"), Entry("two", "every 1", "task", b"1")
    assert digest_of([one, two]) == digest_of([two, one])
    assert len({digest_of(each) for each in ([], [one], [two], [one, two])}) == 4
