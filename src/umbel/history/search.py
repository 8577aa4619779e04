"""Search: the jobs that a filter means, newest first, page by page; by the index that leads to the fewest.

A page is read from one index, or from a few ranges of one whose rows are merged; what else the filter asks for is
compared on the way. At most `MAX_COMPARED` rows of a range are compared; the page then tells where to go on.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Final

import msgspec

from umbel.contracts.history import Transaction
from umbel.history.clauses import EVERYTHING, All, Clause, Conjunct, Except, Meaning, Part, Some, states
from umbel.history.statement import END, Bounds, Range, Statement

MAX_COMPARED: Final = 100_000
MAX_RANGES: Final = 64
"""From how many ranges a page is merged; a filter that names more is compared instead, but for values of an argument:
to look all of them up for each job would take longer, and a filter has room for some hundred."""
MANY_ROWS: Final = 4_000
"""Where more than so many rows could be read, and all but a page would be wasted, they are read bit by bit."""
PATIENCE_SECONDS: Final = 0.8
"""A page that is not full is given out sooner than after this, if there is more to compare."""
COUNTED_AT_ONCE: Final = 20_000
"""How many rows are compared at most between two looks at the clock; fewer, where those before took long."""
LOOK_SECONDS: Final = 0.1
COUNTING_SECONDS: Final = 1.0
ENOUGH: Final = 2_000
"""A range with more rows than this is long, however many more."""
_WITH_STATE: Final = frozenset({"task", "queue"})


class Found(msgspec.Struct, frozen=True):
    """Rows, newest first. *go_on* is the seq below which to search on, None if there is no more.

    *compared_all* is False when there were so many rows to compare that not all were.
    """

    rows: list[tuple[Any, ...]]
    go_on: int | None
    compared_all: bool


def bounds(transaction: Transaction, meaning: Meaning, before: int | None, upto: int | None) -> Bounds:
    """The bounds of seq for the times of *meaning*, going on *before* a seq, up to the seq *upto*."""
    below = min(END if before is None else before, END if upto is None else upto + 1)
    least = 0
    if meaning.since > -math.inf:
        ((first,),) = transaction.rows("search.since", math.floor(meaning.since) // 60 * 60)
        least = END if first is None else int(first)
    if meaning.until < math.inf:
        ((last,),) = transaction.rows("search.until", math.floor(meaning.until) // 60 * 60)
        below = min(below, 0 if last is None else int(last) + 1)
    return Bounds(below, least)


def search(transaction: Transaction, meaning: Meaning, within: Bounds, limit: int, what: str = "jobs") -> Found:
    """Up to *limit* rows of *what* ("jobs" or "dimensions") that *meaning* asks for."""
    if within.below <= within.least:
        return Found([], None, compared_all=True)
    ranges, rest = _plan(transaction, meaning)
    clause, pages = _together(rest, meaning), dict.fromkeys(ranges, _Page())
    if clause == EVERYTHING:
        return _read(transaction, pages, within, _Wanted(limit, what))
    start = time.monotonic()
    found = Found([], None, compared_all=True)
    took, last = 0.0, 1
    first = ENOUGH // max(1, _words(clause))
    for compared in sorted({min(each, MAX_COMPARED) for each in (first, ENOUGH, 10 * ENOUGH, MAX_COMPARED)}):
        begun = time.monotonic()
        # What the step before took tells what this one will take: who waits goes on by the cursor instead.
        if took and begun - start + took * compared / last > PATIENCE_SECONDS:
            break
        ranges = _unread(pages, within)
        floors = dict(zip(ranges, _floors(transaction, ranges, within, compared), strict=True))
        found = _grown(transaction, pages, clause, within, _Wanted(limit, what), floors)
        if len(found.rows) >= limit or found.compared_all:
            break
        took, last = time.monotonic() - begun, compared
    return found


def _words(clause: Clause) -> int:
    """How many words *clause* looks for in all that is kept of a job: each takes as long as all else."""
    match clause:
        case Part():
            return int(clause.name == "words")
        case Except():
            return _words(clause.item)
        case All() | Some():
            return sum(map(_words, clause.items))


class _Wanted(msgspec.Struct, frozen=True):
    """How many rows of what."""

    limit: int
    what: str

    def but(self, found: int) -> _Wanted:
        """The same, but for so many rows that were found before."""
        return self.most(max(self.limit - found, 0))

    def most(self, limit: int) -> _Wanted:
        """So many rows of the same."""
        return _Wanted(limit, self.what)


class _Page(msgspec.Struct, frozen=True):
    """The newest rows of a range down to the seq *floor*; None: it was not read yet."""

    rows: list[tuple[Any, ...]] = []
    floor: int | None = None


def _read(transaction: Transaction, pages: dict[Range, _Page], within: Bounds, wanted: _Wanted) -> Found:
    """The newest rows of all ranges together, where there is nothing to compare.

    Of many ranges some rows each are read, and then on in those that were not read as far down as the others.
    """
    ranges, limit = list(pages), wanted.limit
    found = Found([], None, compared_all=True)
    few = len(ranges) * limit <= MANY_ROWS or len(ranges) == 1
    while ranges and len(found.rows) < limit:
        most = limit if few else min(limit, 2 * (limit - len(found.rows)) // len(ranges) + 1)
        asked = [
            _page(transaction, each, EVERYTHING, _below(pages[each], within), wanted.most(most)) for each in ranges
        ]
        for each, rows in zip(ranges, transaction.asks(asked), strict=True):
            floor = int(rows[-1][0]) if len(rows) > most else within.least
            pages[each] = _Page([*pages[each].rows, *rows], floor)
        open_floors = [pages[each].floor or 0 for each in _unread(pages, within)]
        floor = max(open_floors, default=within.least)
        found = _merged([page.rows for page in pages.values()], floor, within, limit)
        middle = (floor + min(open_floors, default=0)) // 2
        ranges = [each for each in _unread(pages, within) if (pages[each].floor or 0) >= middle]
    return msgspec.structs.replace(found, compared_all=True)


def _below(page: _Page, within: Bounds) -> Bounds:
    """What of a range is below *page*."""
    return Bounds(within.below if page.floor is None else page.floor, within.least)


def _unread(pages: dict[Range, _Page], within: Bounds) -> list[Range]:
    """The ranges that have more rows: most were read to their end at once, such as those of rare states."""
    return [each for each, page in pages.items() if page.floor is None or page.floor > within.least]


def _grown(
    transaction: Transaction,
    pages: dict[Range, _Page],
    clause: Clause,
    within: Bounds,
    wanted: _Wanted,
    floors: dict[Range, int],
) -> Found:
    """What is found when each of *floors* is read down to there. *pages* are what was found above; they grow.

    No row is compared twice.
    """
    asked: list[tuple[str, Sequence[object]]] = []
    for each, floor in floors.items():
        part = Bounds(_below(pages[each], within).below, max(floor, within.least))
        asked.append(_page(transaction, each, clause, part, wanted.but(len(pages[each].rows))))
    for (each, floor), rows in zip(floors.items(), transaction.asks(asked), strict=True):
        pages[each] = _Page([*pages[each].rows, *rows], floor)
    floor = max((page.floor or 0 for page in pages.values()), default=0)
    return _merged([page.rows for page in pages.values()], floor, within, wanted.limit)


def _merged(pages: Sequence[list[tuple[Any, ...]]], floor: int, within: Bounds, limit: int) -> Found:
    rows = sorted(itertools.chain(*pages), key=itemgetter(0), reverse=True)
    stopped = floor > within.least
    if stopped:  # one range was not compared below this: another's rows from there would come before its own
        rows = [row for row in rows if row[0] >= floor]
    if len(rows) > limit:
        return Found(rows[:limit], int(rows[limit - 1][0]), compared_all=not stopped)
    return Found(rows, floor if stopped else None, compared_all=not stopped)


def _page(
    transaction: Transaction, each: Range, clause: Clause, within: Bounds, wanted: _Wanted
) -> tuple[str, Sequence[object]]:
    """The statement that reads a page."""
    statement = Statement(transaction)
    statement.range(wanted.what, each, within)
    if each.suffix:
        statement.word("and")
        statement.part("of_same_job")
    if clause != EVERYTHING:
        statement.word("and")
        statement.clause(clause)
    statement.part(f"newest{each.suffix}", (wanted.limit + 1,))
    return statement.told()


def count(transaction: Transaction, meaning: Meaning, within: Bounds, most: int) -> tuple[int, bool]:
    """How many rows *meaning* asks for, and whether there may be more: counts up to *most*, and for about a second."""
    end = time.monotonic() + COUNTING_SECONDS
    ranges, rest = _plan(transaction, meaning)
    clause = _together(rest, meaning)
    n, at_once = 0, ENOUGH // 4 + 1
    for each in ranges:
        below = within.below
        while below > within.least:
            if n > most or (begun := time.monotonic()) > end:
                return min(n, most), True
            left = Bounds(below, within.least)
            floor = 0 if clause == EVERYTHING else _floors(transaction, [each], left, at_once)[0]
            part = Bounds(below, max(floor, within.least))
            n += _counted(transaction, each, clause, part, most + 1 - n)
            below = part.least
            at_once = min(2 * at_once, COUNTED_AT_ONCE) if time.monotonic() - begun < LOOK_SECONDS else at_once // 2 + 1
    return min(n, most), n > most


def _counted(transaction: Transaction, each: Range, clause: Clause, within: Bounds, most: int) -> int:
    statement = Statement(transaction)
    statement.part("count")
    joined = bool(each.suffix) and clause != EVERYTHING
    statement.range("joined" if joined else "ones", each, within)
    if joined:
        statement.word("and")
        statement.part("of_same_job")
    if clause != EVERYTHING:
        statement.word("and")
        statement.clause(clause)
    statement.part("at_most", (most,))
    ((rows,),) = transaction.asks([statement.told()])
    return int(rows[0])


def _floors(transaction: Transaction, ranges: Sequence[Range], within: Bounds, compared: int) -> list[int]:
    """Of each of *ranges* the seq of the last row that is compared if *compared* of them are; 0 if those are all."""
    if [each.name for each in ranges] == ["all"]:  # its seqs are about as dense as they can be: nothing need be counted
        ((top,),) = transaction.rows("search.top")
        floor = min(within.below, int(top) + 1) - compared
        return [floor if floor > within.least else 0]
    return _seqs(transaction, ranges, within, compared)


def _seqs(transaction: Transaction, ranges: Sequence[Range], within: Bounds, beyond: int) -> list[int]:
    """Of each of *ranges* the seq of the row that has *beyond* newer ones; 0 if there is none."""
    asked: list[tuple[str, Sequence[object]]] = []
    for each in ranges:
        statement = Statement(transaction)
        statement.range("seqs", each, within)
        statement.part(f"beyond{each.suffix}", (beyond,))
        asked.append(statement.told())
    return [int(rows[0][0]) if rows else 0 for rows in transaction.asks(asked)]


# --- which index


def _plan(transaction: Transaction, meaning: Meaning) -> tuple[list[Range], list[Conjunct]]:
    """The ranges to read, and what is left to be compared."""
    candidates = _candidates(transaction, meaning.conjuncts)
    if not candidates:
        return [Range("all")], list(meaning.conjuncts)
    if len(candidates) == 1:
        ((ranges, used),) = candidates
    else:  # of two that are alike, the one that leaves less to be compared
        ((top,),) = transaction.rows("search.top")
        ranges, used = min(candidates, key=lambda each: (_length(transaction, each[0], int(top)), -len(each[1])))
    return ranges, [each for each in meaning.conjuncts if each not in used]


def _candidates(
    transaction: Transaction, conjuncts: Sequence[Conjunct]
) -> list[tuple[list[Range], tuple[Conjunct, ...]]]:
    state = next((each for each in conjuncts if each.index == "state"), None)
    codes = [int(key[0]) for key in state.keys] if state is not None else list(states())
    found: list[tuple[list[Range], tuple[Conjunct, ...]]] = []
    for each in conjuncts:
        if not each.index:
            continue
        if each.index in _WITH_STATE:
            ranges = _of_states(transaction, each, codes)
            used = (each,) if state is None else (each, state)
        else:
            ranges, used = [Range(each.index, key) for key in each.keys], (each,)
        if each.index == "root":  # the root itself names none
            ranges += [Range("id", key) for key in each.keys]
        if len(ranges) <= MAX_RANGES or each.index == "argument":
            found.append((ranges, used))
    return found


def _of_states(transaction: Transaction, each: Conjunct, codes: list[int]) -> list[Range]:
    """The ranges of *each*, one for each key and state of which there are jobs: of most states there are none."""
    if len(each.keys) > MAX_RANGES or len(codes) == 1:
        return [Range(each.index, (*key, code)) for key in each.keys for code in codes]
    keys = [key for (key,) in each.keys]
    found = transaction.among(f"search.states_of_{each.index}", keys, transaction.bound(codes))
    return [Range(each.index, (int(key), int(code))) for key, code in found]


def _length(transaction: Transaction, ranges: Sequence[Range], top: int) -> float:
    """About how many rows *ranges* have, by how densely their newest lie below the seq *top*."""
    many = [each for each in ranges if each.name not in ("id", "flow", "root", "parent", "retry_of")]
    total = float(len(ranges) - len(many))  # few by their nature
    for beyond in _seqs(transaction, many, Bounds(), ENOUGH):
        total += ENOUGH * max(1.0, top / max(1, top - beyond)) if beyond else ENOUGH // 10
    return total


def _together(rest: Sequence[Conjunct], meaning: Meaning) -> Clause:
    items: list[Clause] = [each.clause for each in rest]
    # Seq is bounded by the minute already; these are exact.
    if meaning.since > -math.inf:
        items.append(Part("over_sent", (meaning.since - 1e-6,)))
    if meaning.until < math.inf:
        items.append(Except(Part("over_sent", (meaning.until,))))
    if not items:
        return EVERYTHING
    return items[0] if len(items) == 1 else All(tuple(items))
