"""Limits at work, as steps: who is held, who has a place, what may start now. A gate is one limit of one queue."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from umbel.engines.sqlite_file import Connection
from umbel.engines.statements import statements
from umbel.model.limit import Limit, Pace

LIMITS: Final = statements("umbel.brokers.sqlite.queries", "limits.sql")
CATCH_UP_MS: Final = 100.0
"""How far a limit with short intervals may fall behind and make up for it; also how much may be out ahead."""
MAX_RELEASED: Final = 200
AHEAD: Final = 16
"""While fewer jobs of a limit are out, turns whose jobs start at once may have more than one of them."""
_ROUNDING_MS: Final = 0.001


class Gate:
    """One limit as its row tells: *told* is what its jobs say, *pace* what counts; *due* and *alarm* in unix ms."""

    def __init__(self, queue: str, key: int, told: Pace, adjusted: Pace | None, *state: Any) -> None:
        self.queue = queue
        self.key = key
        self.told = told
        self.adjusted = adjusted
        self.due: float = state[0]
        self.alarm: float | None = state[1]
        self.ring: int = state[2]
        self.outside: int = state[3]
        self.entered: int = state[4]

    @property
    def pace(self) -> Pace:
        """What the limit allows now."""
        return self.told if self.adjusted is None else self.adjusted

    @property
    def interval(self) -> float:
        """Milliseconds between two starts; 0 without a rate."""
        return self.pace.interval * 1000

    def has_room(self) -> bool:
        """Whether fewer are out or in than may run at once."""
        return not self.pace.concurrency or self.outside + self.entered < self.pace.concurrency

    def rest(self, now: int) -> None:
        """Before the first job after a pause: only *burst* of the starts that were not made count."""
        self.due = max(self.due, now - (self.pace.burst - 1) * self.interval)

    def is_due(self, now: int) -> bool:
        """Whether the next may start by its interval. One that is late makes up for little."""
        behind = max(self.interval, CATCH_UP_MS, (self.pace.burst - 1) * self.interval)
        self.due = min(max(self.due, now - behind), now + self.interval)
        return self.due <= now + _ROUNDING_MS

    def is_ahead(self) -> bool:
        """Whether so many are out that whoever works must come first."""
        return self.outside >= max(self.pace.burst, CATCH_UP_MS / self.interval)

    def next_place(self) -> int:
        """The last place of the round."""
        self.ring += 1
        return self.ring


class Swept(NamedTuple):
    """How far the sweep of limits and of keys has come."""

    gate: int = 0
    queue: str = ""
    name: str = ""


class Gates:
    """The limits that one step touches. `finish` releases what they have room for, and writes them back.

    *released* is how many jobs that were.
    """

    def __init__(self, connection: Connection, now: int) -> None:
        self._connection = connection
        self._now = now
        self.released = 0
        self._gates: dict[int, Gate] = {}
        self._names: dict[tuple[str, str, str], int] = {}
        self._started: dict[int, Counter[int]] = {}
        """By limit, how many jobs that were out entered, of each turn."""

    # --- in and out

    def of(self, queue: str, limit: Limit) -> Gate:
        """The limit, made at its first mention, which allows what *limit* says if nobody said otherwise."""
        name = (queue, limit.task, limit.key)
        pace = limit.pace
        told = (pace.concurrency, pace.interval, pace.burst)
        if name not in self._names:
            row = self._connection.execute(LIMITS["gate"], name).fetchone()
            if row is None:
                self._connection.execute(LIMITS["new_gate"], (*name, *told))
                row = self._connection.execute(LIMITS["gate"], name).fetchone()
            self._names[name] = self._known(queue, row).key
        gate = self._gates[self._names[name]]
        if gate.told != pace:
            self._connection.execute(LIMITS["told"], (gate.key, *told))
            gate.told = pace
        return gate

    def hold(self, gate: Gate, turn: str | None) -> int:
        """Prepare to hold a job in its *turn*; answers the key of that."""
        self._arrive(gate)
        row = self._connection.execute(LIMITS["turn"], (gate.key, turn)).fetchone()
        if row is None:
            [(key,)] = self._connection.execute(LIMITS["new_turn"], (gate.key, turn, gate.next_place())).fetchall()
            return int(key)
        if not row[1]:
            self._connection.execute(LIMITS["wait"], (row[0], gate.next_place()))
        return int(row[0])

    def enter(self, queue: str, job_id: str, retries: int, limit: Limit) -> bool:
        """Whether a job may start now; it is in then."""
        place = self._connection.execute(LIMITS["place"], (queue, job_id)).fetchone()
        if place is not None and place[1] is None and place[2] == retries:
            return True
        gate = self.of(queue, limit)
        if place is not None and place[1] is not None and place[0] == gate.key:
            self._connection.execute(LIMITS["enter"], (queue, job_id, retries))
            gate.outside -= 1
            self._come_back(gate, place[1])
            self._started.setdefault(gate.key, Counter())[place[1]] += 1
        else:
            if place is not None:
                self.forget("forget", queue, job_id)
            if not self._may_start(gate):
                return False
            self._connection.execute(LIMITS["put"], (queue, job_id, gate.key, None, retries))
        gate.entered += 1
        return True

    def forget(self, statement: str, *bindings: str) -> None:
        """Forget places: what *statement* answers."""
        for key, turn in self._connection.execute(LIMITS[statement], bindings).fetchall():
            gate = self.touch(key)
            if turn is None:
                gate.entered -= 1
            else:
                gate.outside -= 1
                self._come_back(gate, turn)

    def touch(self, key: int) -> Gate:
        """The limit under *key*, of which `finish` releases what it has room for."""
        if key not in self._gates:
            [(*row, queue, task, name)] = self._connection.execute(LIMITS["gate_by_key"], (key,)).fetchall()
            self._names[queue, task, name] = self._known(queue, row).key
        return self._gates[key]

    def touch_all(self, rows: Iterable[tuple[int]]) -> None:
        """Have the limits of the keys in *rows* looked at."""
        for (key,) in rows:
            self.touch(key)

    def _known(self, queue: str, row: Any) -> Gate:
        key, *paces = row[:7]
        told = Pace(*paces[:3])
        adjusted = None if paces[3] is None else Pace(*paces[3:])
        gate = self._gates[key] = Gate(queue, key, told, adjusted, *row[7:12])
        return gate

    def _arrive(self, gate: Gate) -> bool:
        """Note that a job comes; answers whether one is held before it."""
        before = self._connection.execute(LIMITS["is_held"], (gate.queue, gate.key)).fetchone() is not None
        if not before:
            gate.rest(self._now)
        return before

    def _may_start(self, gate: Gate) -> bool:
        if self._arrive(gate) or not gate.has_room():
            return False
        if gate.interval:
            if not gate.is_due(self._now):
                return False
            gate.due += gate.interval
        return True

    def _come_back(self, gate: Gate, turn: int) -> None:
        """One of the jobs of *turn* is out no longer."""
        rows = self._connection.execute(LIMITS["returned"], (turn, gate.next_place(), gate.queue)).fetchall()
        if rows == [(0,)]:
            self._connection.execute(LIMITS["drop_turn"], (turn,))

    # --- what is released

    def finish(self, limit: int = MAX_RELEASED) -> Counter[str]:
        """Release up to *limit* jobs; answers how many waiters to wake in which queue, also for what is due later."""
        rung: Counter[str] = Counter()
        for gate in self._gates.values():
            before = gate.alarm
            released, gate.alarm = self._release(gate, limit - self.released)
            self.released += released
            rung[gate.queue] += released
            if gate.alarm is not None and (before is None or gate.alarm < before):
                rung[gate.queue] += 1  # somebody must learn that there is something to do sooner
        self._connection.executemany(LIMITS["save"], [_row(gate) for gate in self._gates.values()])
        return +rung

    def _release(self, gate: Gate, limit: int) -> tuple[int, float | None]:
        """Release up to *limit* jobs of one limit; answers how many, and when it goes on as far as time decides."""
        released, position = 0, time.time_ns()
        while gate.has_room() and (found := self._next(gate)) is not None:
            if released >= limit:
                return released, 0.0
            if gate.interval and gate.is_ahead():  # nobody gets far ahead of those who work
                break
            if gate.interval and not gate.is_due(self._now):
                return released, gate.due
            gate.due += gate.interval
            turn, seq = found
            [(job_id,)] = self._connection.execute(LIMITS["release"], (position + released, seq)).fetchall()
            self._connection.execute(LIMITS["put"], (gate.queue, job_id, gate.key, turn, 0))
            self._connection.execute(LIMITS["served"], (turn, gate.next_place()))
            gate.outside += 1
            released += 1
        return released, None

    def _next(self, gate: Gate) -> tuple[int, int] | None:
        """The key of the turn whose turn it is, and that of its next job; first of those of which none is out."""
        while (row := self._connection.execute(LIMITS["next"], (gate.queue, gate.key)).fetchone()) is not None:
            turn, seq = row
            if seq is not None:
                return turn, seq
            self._connection.execute(LIMITS["pass"], (turn,))
            self._connection.execute(LIMITS["drop_turn"], (turn,))
        return self._next_ahead(gate) if gate.outside < AHEAD else None

    def _next_ahead(self, gate: Gate) -> tuple[int, int] | None:
        """The same for the turns whose jobs have just started, in turns: until twice as many are out."""
        started = self._started.get(gate.key, Counter())
        for turn, count in list(started.items()):
            del started[turn]
            row = self._connection.execute(LIMITS["next_of"], (gate.queue, gate.key, turn, 2 * count)).fetchone()
            if row is not None:
                started[turn] = count  # behind the others
                return turn, row[0]
        return None


def release_due(connection: Connection, now: int, queue: str, limit: int) -> tuple[int, float | None]:
    """Release up to *limit* jobs of *queue* that have fallen due; answers how many, and when it goes on (unix ms)."""
    released, due = 0, next_alarm(connection, queue)
    while due is not None and due <= now and released < limit:
        gates = Gates(connection, now)
        gates.touch_all(connection.execute(LIMITS["rung"], (queue, now, MAX_RELEASED)).fetchall())
        gates.finish(limit - released)
        released += gates.released
        due = next_alarm(connection, queue)
    return released, due


def next_alarm(connection: Connection, queue: str) -> float | None:
    """When the first limit of *queue* has something to release, as far as time decides, in unix ms."""
    [(alarm,)] = connection.execute(LIMITS["next_alarm"], (queue,)).fetchall()
    return None if alarm is None else float(alarm)


def sweep(connection: Connection, now: int, after: Swept, limit: int) -> Swept:
    """Forget limits and keys that mean nothing any more, of up to *limit* each behind *after*; answers where it is."""
    gates = connection.execute(LIMITS["gates_after"], (after.gate, limit, now)).fetchall()
    idle = [(key,) for key, is_idle in gates if is_idle]
    connection.executemany(LIMITS["drop_turns"], idle)
    connection.executemany(LIMITS["drop_gate"], idle)
    keys = connection.execute(LIMITS["keys_after"], (after.queue, after.name, limit, now)).fetchall()
    connection.executemany(LIMITS["drop_key"], [(queue, name) for queue, name, is_free in keys if is_free])
    last = keys[-1][:2] if len(keys) == limit else ("", "")
    return Swept(gates[-1][0] if len(gates) == limit else 0, *last)


def _row(gate: Gate) -> tuple[object, ...]:
    return gate.key, gate.due, gate.alarm, gate.ring, gate.outside, gate.entered
