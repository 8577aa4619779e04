"""All waits of a process share one look."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping
from concurrent.futures import Future

import pytest

from umbel.stores.polling import Poller

SECONDS = 30.0


class Shelf:
    """Notes each look; *records* are what can be found."""

    def __init__(self) -> None:
        self.records: dict[str, bytes] = {}
        self.looks: list[tuple[float, set[str]]] = []
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()

    def look(self, ids: Collection[str]) -> Mapping[str, bytes]:
        """What a store would answer."""
        self.looks.append((time.monotonic(), set(ids)))
        self.gate.wait(SECONDS)
        if self.error is not None:
            raise self.error
        return {each: self.records[each] for each in ids if each in self.records}

    def await_looks(self, number: int) -> None:
        """Wait until there were *number* of them."""
        end = time.monotonic() + SECONDS
        while len(self.looks) < number:
            assert time.monotonic() < end
            time.sleep(0.001)


@pytest.fixture
def shelf() -> Shelf:
    """A shelf without records."""
    return Shelf()


@pytest.fixture
def poller(shelf: Shelf) -> Poller:
    """A poller that looks at `shelf`."""
    return Poller(shelf.look)


def test_a_record_that_is_there_is_found_by_the_first_look(poller: Poller, shelf: Shelf) -> None:
    shelf.records["1"] = b"one"
    assert poller.join("1").result(SECONDS) == b"one"
    assert len(shelf.looks) == 1


def test_a_record_that_comes_later_is_found(poller: Poller, shelf: Shelf) -> None:
    future = poller.join("1")
    shelf.await_looks(2)
    shelf.records["1"] = b"one"
    assert future.result(SECONDS) == b"one"


def test_hundreds_that_wait_share_their_looks(poller: Poller, shelf: Shelf) -> None:
    shelf.gate.clear()
    futures = [poller.join(str(each)) for each in range(300)]
    shelf.await_looks(1)
    shelf.gate.set()
    shelf.await_looks(10)
    assert min(sum(str(each) in ids for _, ids in shelf.looks) for each in range(300)) >= 3
    shelf.records.update({str(each): b"%d" % each for each in range(300)})
    assert [future.result(SECONDS) for future in futures] == [b"%d" % each for each in range(300)]


def test_several_that_wait_for_one_record_each_get_it(poller: Poller, shelf: Shelf) -> None:
    futures = [poller.join("1") for _ in range(5)]
    shelf.records["1"] = b"one"
    assert [future.result(SECONDS) for future in futures] == [b"one"] * 5


def test_looks_become_rarer(poller: Poller, shelf: Shelf) -> None:
    early, late = list[float](), list[float]()
    for number in range(5):  # of each the shortest counts: a busy machine only adds to a pause
        shelf.looks.clear()
        future = poller.join(str(number))
        shelf.await_looks(5)
        poller.leave(str(number), future)
        moments = [moment for moment, _ in shelf.looks]
        early.append(moments[2] - moments[1])
        late.append(moments[4] - moments[3])
    assert min(late) > min(early) > 0.02


def test_a_wait_that_was_given_up_is_not_looked_for(poller: Poller, shelf: Shelf) -> None:
    staying, leaving = poller.join("stay"), poller.join("leave")
    poller.leave("leave", leaving)
    before = len(shelf.looks)
    shelf.await_looks(before + 3)
    assert all("leave" not in ids for _, ids in shelf.looks[before + 1 :])
    poller.leave("stay", staying)


def test_an_error_ends_the_waits_that_it_concerns_and_the_poller_goes_on(poller: Poller, shelf: Shelf) -> None:
    shelf.error = OSError("away")
    with pytest.raises(OSError, match="away"):
        poller.join("1").result(SECONDS)
    shelf.error = None
    shelf.records["1"] = b"one"
    assert poller.join("1").result(SECONDS) == b"one"


def test_leaving_twice_or_after_the_end_is_no_error(poller: Poller, shelf: Shelf) -> None:
    shelf.records["1"] = b"one"
    future = poller.join("1")
    assert future.result(SECONDS) == b"one"
    poller.leave("1", future)
    poller.leave("1", future)
    poller.leave("unknown", Future())


def test_a_slow_store_is_asked_less_often(poller: Poller, shelf: Shelf) -> None:
    shelf.gate.clear()
    future = poller.join("1")
    shelf.await_looks(1)
    threading.Event().wait(0.3)  # how long this look takes
    shelf.gate.set()
    resumed = time.monotonic()
    shelf.await_looks(2)
    assert shelf.looks[1][0] - resumed > 0.1
    poller.leave("1", future)
