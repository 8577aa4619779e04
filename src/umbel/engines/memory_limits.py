"""The limits of one queue in memory: who is held, who has a place, what may start now. Knows no lock and no clock."""

from __future__ import annotations

import heapq
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from typing import Final

import msgspec

from umbel.model.limit import Limit, Pace, Unique

CATCH_UP_SECONDS: Final = 0.1
"""How far a limit with short intervals may fall behind and make up for it; also how much may be out ahead."""
FULL_ROUND: Final = 200
"""The most jobs that one limit releases in one step."""
AHEAD: Final = 16
"""While fewer jobs of a limit are out, turns whose jobs start at once may have more than one of them."""
_ROUNDING: Final = 1e-6


class Turn:
    """The held jobs of one turn of a limit, by level; *out* are those released that nobody entered.

    *is_next* tells that it is in the ring of its limit, *started* how many that were out entered in this step.
    """

    def __init__(self, name: str | None) -> None:
        self.name = name
        self.levels: dict[int, OrderedDict[str, None]] = {}
        self.out = 0
        self.started = 0
        self.is_next = False

    def add(self, job_id: str, level: int) -> None:
        """Hold a job at the end of its level."""
        self.levels.setdefault(level, OrderedDict())[job_id] = None

    def drop(self, job_id: str, level: int) -> None:
        """Hold a job no longer."""
        jobs = self.levels[level]
        del jobs[job_id]
        if not jobs:
            del self.levels[level]

    def may_release(self, out: int) -> bool:
        """Whether it has a job for which it is its turn, while *out* jobs of its limit are out."""
        if not self.levels or self.name is None or not self.out:
            return bool(self.levels)
        return out < AHEAD and self.out < 2 * self.started

    def jobs(self) -> Iterator[str]:
        """Its held jobs in order."""
        for level in sorted(self.levels):
            yield from self.levels[level]


class Gate:
    """One limit: *told* is what its jobs say, *due* when the next may start. *ring* are the turns whose turn it is."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.told = limit.pace
        self.due = 0.0
        self.alarm = 0.0
        self.held = 0
        self.out = 0
        self.entered = 0
        self.turns: dict[str | None, Turn] = {}
        self.ring: deque[Turn] = deque()

    def join(self, turn: Turn) -> None:
        """Let *turn* be the last of the round, if it has a job to release and is not in it."""
        if turn.may_release(self.out) and not turn.is_next:
            turn.is_next = True
            self.ring.append(turn)

    def next_turn(self) -> Turn | None:
        """Whose turn it is: the first of the round that has something to release."""
        while self.ring and not self.ring[0].may_release(self.out):
            self.ring.popleft().is_next = False
        return self.ring[0] if self.ring else None

    def rest(self, pace: Pace, now: float) -> None:
        """Before the first job after a pause: only *burst* of the starts that were not made count."""
        if not self.held:
            self.due = max(self.due, now - (pace.burst - 1) * pace.interval)

    def is_due(self, pace: Pace, now: float) -> bool:
        """Whether the next may start by its interval. One that is late makes up for little."""
        behind = max(pace.interval, CATCH_UP_SECONDS, (pace.burst - 1) * pace.interval)
        self.due = min(max(self.due, now - behind), now + pace.interval)
        return self.due <= now + _ROUNDING

    def has_room(self, pace: Pace) -> bool:
        """Whether fewer are out or in than may run at once."""
        return not pace.concurrency or self.out + self.entered < pace.concurrency

    def is_idle(self, pace: Pace, now: float) -> bool:
        """Whether nothing would be different if it were forgotten."""
        return not (self.held or self.out or self.entered) and self.due <= now - (pace.burst - 1) * pace.interval


class Placed(msgspec.Struct):
    """The place of a job under its limit: out, or *entered* after so many *retries*."""

    gate: Gate
    turn: Turn | None
    entered: bool = False
    retries: int = 0


class Keeper(msgspec.Struct):
    """Who has a unique key; *until* is unix time, None for as long as its job has not ended."""

    id: str
    until: float | None
    started: bool = False


class Limits:
    """All limits of one queue. The jobs it answers as released are to be made ready."""

    def __init__(self) -> None:
        self.gates: OrderedDict[tuple[str, str], Gate] = OrderedDict()
        self.adjusted: dict[str, Pace] = {}
        self.held: dict[str, tuple[Gate, Turn, int]] = {}
        self.places: dict[str, Placed] = {}
        self.keepers: OrderedDict[str, Keeper] = OrderedDict()
        self._stirred: dict[Gate, None] = {}
        self._started: list[tuple[Gate, Turn]] = []
        self._alarms: list[tuple[float, int, Gate]] = []
        self._order = 0

    def pace(self, gate: Gate) -> Pace:
        """What a limit allows now."""
        return self.adjusted.get(gate.limit.task, gate.told)

    # --- in and out

    def hold(self, job_id: str, level: int, limit: Limit, now: float) -> None:
        """Hold a job; `released` then says whether it may go at once."""
        gate = self._gate(limit, now)
        turn = gate.turns.get(limit.turn)
        if turn is None:
            turn = gate.turns[limit.turn] = Turn(limit.turn)
        turn.add(job_id, level)
        self.held[job_id] = gate, turn, level
        gate.held += 1
        gate.join(turn)
        self._stirred[gate] = None

    def enter(self, job_id: str, retries: int, limit: Limit, now: float) -> bool:
        """Whether a job may start now; it is in then."""
        place = self.places.get(job_id)
        if place is not None and place.entered and place.retries == retries:
            return True
        if place is not None:
            self._note_start(place)
            self.leave(job_id)
        gate = self._gate(limit, now)
        pace = self.pace(gate)
        released = place is not None and not place.entered and place.gate is gate
        if not released:
            if gate.held or not gate.has_room(pace) or (pace.interval and not gate.is_due(pace, now)):
                return False
            gate.due += pace.interval
        self.places[job_id] = Placed(gate, None, True, retries)
        gate.entered += 1
        return True

    def _note_start(self, place: Placed) -> None:
        if place.turn is not None:
            place.turn.started += 1
            self._started.append((place.gate, place.turn))

    def leave(self, job_id: str) -> None:
        """Forget the place of a job that is over, if it has one."""
        place = self.places.pop(job_id, None)
        if place is None:
            return
        gate, turn = place.gate, place.turn
        self._stirred[gate] = None
        if turn is None:
            gate.entered -= 1
            return
        gate.out -= 1
        turn.out -= 1
        gate.join(turn)
        _forget(gate, turn)

    def withdraw(self, job_ids: Collection[str]) -> None:
        """Hold those of *job_ids* no longer that are held."""
        for job_id in self.held.keys() & set(job_ids):
            self._drop(job_id)

    def adjust(self, task: str, pace: Pace | None) -> None:
        """Let all limits of *task* allow *pace*, until it is None."""
        if pace is None:
            self.adjusted.pop(task, None)
        else:
            self.adjusted[task] = pace
        self._stirred.update((gate, None) for gate in self.gates.values() if gate.limit.task == task)

    def waiting(self) -> Iterator[str]:
        """All held jobs, one turn of a limit after the other."""
        for gate in self.gates.values():
            for turn in gate.turns.values():
                yield from turn.jobs()

    # --- what is released

    def released(self, now: float, limit: int = FULL_ROUND) -> list[str]:
        """Up to *limit* jobs for which there is room by now, in order: they are out."""
        while self._alarms and self._alarms[0][0] <= now + _ROUNDING:
            gate = heapq.heappop(self._alarms)[2]
            gate.alarm = 0.0
            self._stirred[gate] = None
        for gate, turn in self._started:
            gate.join(turn)
        jobs: list[str] = []
        while self._stirred and len(jobs) < limit:
            gate = next(iter(self._stirred))
            jobs += self._release(gate, now, limit - len(jobs))
            if len(jobs) < limit:
                del self._stirred[gate]
        for _, turn in self._started:
            turn.started = 0
        self._started.clear()
        return jobs

    def next_due(self) -> float | None:
        """The unix time at which there is something to release, as far as time alone decides."""
        if self._stirred:
            return 0.0
        return self._alarms[0][0] if self._alarms else None

    def _release(self, gate: Gate, now: float, limit: int) -> list[str]:
        pace = self.pace(gate)
        jobs: list[str] = []
        while len(jobs) < limit and gate.has_room(pace) and (turn := gate.next_turn()) is not None:
            if pace.interval and not self._starts(gate, pace, now):
                break
            gate.ring.popleft()
            turn.is_next = False
            gate.out += 1
            turn.out += 1
            job_id = next(turn.jobs())
            self._drop(job_id)
            self.places[job_id] = Placed(gate, turn)
            gate.join(turn)
            jobs.append(job_id)
        return jobs

    def _starts(self, gate: Gate, pace: Pace, now: float) -> bool:
        """Take the next start, if it is due; else have an alarm set. Nobody gets far ahead of those who work."""
        if gate.out >= max(pace.burst, CATCH_UP_SECONDS / pace.interval):
            return False
        if not gate.is_due(pace, now):
            self._wake(gate, gate.due)
            return False
        gate.due += pace.interval
        return True

    def _wake(self, gate: Gate, at: float) -> None:
        if gate.alarm and gate.alarm <= at:
            return
        gate.alarm = at
        self._order += 1
        heapq.heappush(self._alarms, (at, self._order, gate))

    # --- unique keys

    def keeper(self, unique: Unique, now: float, lasts: Callable[[str], bool]) -> Keeper | None:
        """Who has a key; *lasts* tells which jobs have not ended."""
        found = self.keepers.get(unique.key)
        return found if found is not None and _keeps(found, now, lasts) else None

    def keep(self, unique: Unique, job_id: str, now: float, *, started: bool = False) -> None:
        """Give a key to a job."""
        until = now + unique.seconds if unique.seconds else None
        self.keepers[unique.key] = Keeper(job_id, until, started)

    def sweep(self, now: float, lasts: Callable[[str], bool], limit: int) -> None:
        """Forget keys that nobody has, and idle limits; looks at up to *limit* of them, at others in the next call."""
        for key in list(islice(self.keepers, limit)):
            if _keeps(self.keepers[key], now, lasts):
                self.keepers.move_to_end(key)
            else:
                del self.keepers[key]
        for name, gate in list(islice(self.gates.items(), limit)):
            if gate.is_idle(self.pace(gate), now):
                del self.gates[name]
            else:
                self.gates.move_to_end(name)

    # ---

    def _gate(self, limit: Limit, now: float) -> Gate:
        gate = self.gates.get((limit.task, limit.key))
        if gate is None:
            gate = self.gates[limit.task, limit.key] = Gate(limit)
        gate.told = limit.pace
        gate.rest(self.pace(gate), now)
        return gate

    def _drop(self, job_id: str) -> None:
        gate, turn, level = self.held.pop(job_id)
        turn.drop(job_id, level)
        gate.held -= 1
        _forget(gate, turn)


def _forget(gate: Gate, turn: Turn) -> None:
    if not turn.levels and not turn.out:
        gate.turns.pop(turn.name, None)


def _keeps(keeper: Keeper, now: float, lasts: Callable[[str], bool]) -> bool:
    return lasts(keeper.id) if keeper.until is None else now < keeper.until
