"""Book: the schedules of a broker as one process knows them; rows become values here, and values rows. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, cast

import msgspec

from umbel.model.job import Job
from umbel.model.schedule import MAX_CHANGES, Change, Entry, Row, State, Table
from umbel.schedules.versions import Versions

FORGOTTEN_MILLISECONDS: Final = 7 * 86_400_000
"""For how long it is kept how far a schedule has come that is gone from the code; it may come back."""
_STATE: Final = "s:"
_VERSION: Final = "v:"
_APP: Final = "a:"

_states: Final = msgspec.msgpack.Decoder(State)
_entries: Final = msgspec.msgpack.Decoder(list[Entry])
_versions: Final = msgspec.msgpack.Decoder(Versions)
_encode: Final = msgspec.msgpack.encode


class Planned(msgspec.Struct, frozen=True):
    """A schedule, and how far it has come: None if no scheduler has met it yet. *scope* is its app if from code."""

    entry: Entry
    state: State | None
    scope: str | None

    @property
    def paused(self) -> bool:
        """Whether it waits until somebody resumes it."""
        return self.state is not None and self.state.paused


class Book:
    """What was read of the rows; *revision*: up to which write; *broken*: which rows cannot be read, and why."""

    def __init__(self) -> None:
        self.revision = 0
        self.broken: dict[str, str] = {}
        self._rows: dict[str, Row] = {}
        self._values: dict[str, object] = {}

    def merge(self, table: Table) -> bool:
        """Take in what a read since `revision` found; False if a removal was missed: read all then, and `reset`."""
        for row in table.rows:
            self._rows[row.name] = row
            self._values.pop(row.name, None)
            self.revision = max(self.revision, row.revision)
        return len(self._rows) == table.size

    def reset(self, table: Table) -> None:
        """Take in what a read of everything found."""
        self.revision = 0
        self.broken.clear()
        self._rows.clear()
        self._values.clear()
        self.merge(table)

    # --- reading

    def versions(self, scope: str) -> Versions:
        """The versions of the app *scope*."""
        found = self._value(_APP + scope, _versions)
        return found if isinstance(found, Versions) else Versions()

    def from_code(self, scope: str) -> list[Entry]:
        """The schedules of the version of *scope* that counts."""
        digest = self.versions(scope).current()
        found = None if digest is None else self._value(f"{_VERSION}{digest}:{scope}", _entries)
        return cast("list[Entry]", found) if isinstance(found, list) else []

    def scopes(self) -> list[str]:
        """The apps that have announced schedules, sorted."""
        return sorted(name.removeprefix(_APP) for name in self._rows if name.startswith(_APP))

    def state(self, name: str) -> State | None:
        """How far the schedule *name* has come."""
        found = self._value(_STATE + name, _states)
        return found if isinstance(found, State) else None

    def plan(self, scopes: Iterable[str]) -> dict[str, Planned]:
        """The stored schedules and those of the apps *scopes*, by name; of two with one name the stored one counts."""
        planned: dict[str, Planned] = {}
        for scope in scopes:
            for entry in self.from_code(scope):
                planned.setdefault(entry.name, Planned(entry, self.state(entry.name), scope))
        for name in self._rows:
            state = self.state(name.removeprefix(_STATE)) if name.startswith(_STATE) else None
            if state is not None and state.entry is not None:
                planned[state.entry.name] = Planned(state.entry, state, None)
        return planned

    def _listed(self, row: str) -> Sequence[Entry]:
        found = self._value(row, _entries)
        return cast("list[Entry]", found) if isinstance(found, list) else ()

    def _value(self, name: str, decoder: msgspec.msgpack.Decoder[Any]) -> object:
        if name in self._values:
            return self._values[name]
        row = self._rows.get(name)
        value: object = None
        if row is not None:
            try:
                value = decoder.decode(row.value)
            except (msgspec.MsgspecError, RecursionError) as error:
                self.broken[name] = str(error)
        self._values[name] = value
        return value

    # --- writing

    def change_state(self, name: str, state: State | None, jobs: Sequence[Job] = ()) -> Change:
        """The change that makes *state* that of the schedule *name*, or removes it, and sends *jobs*."""
        return self._change(_STATE + name, b"" if state is None else _encode(state), jobs)

    def announce(
        self, scope: str, digest: str, entries: Sequence[Entry], now: int
    ) -> tuple[list[Change], list[Change]]:
        """The changes that announce *entries* as a version of *scope*, and those that tidy up after them.

        The entries come first: a version that is named can be read. None is needed if it was announced lately, or if
        the app never had any.
        """
        own = f"{_VERSION}{digest}:{scope}"
        if not entries and _APP + scope not in self._rows:
            return [], []
        first = [] if own in self._rows else [self._change(own, _encode(list(entries)))]
        before = self.versions(scope)
        after = before.announced(digest, now)
        if after is None:
            return first, []
        gone = {each.digest for each in before.known} - {each.digest for each in after.known}
        rows = [f"{_VERSION}{digest}:{scope}" for digest in sorted(gone)]
        tidying = [self._change(row, b"") for row in rows if row in self._rows]
        return [*first, self._change(_APP + scope, _encode(after))], [*tidying, *self._forgetting(now)]

    def _forgetting(self, now: int) -> list[Change]:
        """The changes that remove how far schedules have come that no version has any more."""
        known = {entry.name for row in self._rows if row.startswith(_VERSION) for entry in self._listed(row)}
        names = [row.removeprefix(_STATE) for row in self._rows if row.startswith(_STATE)]
        states = [(name, self.state(name)) for name in names if name not in known]
        old = [
            name
            for name, state in states
            if state is not None and state.entry is None and state.last < now - FORGOTTEN_MILLISECONDS
        ]
        return [self.change_state(name, None) for name in old][:MAX_CHANGES]

    def _change(self, name: str, value: bytes, jobs: Sequence[Job] = ()) -> Change:
        row = self._rows.get(name)
        return Change(name, 0 if row is None else row.revision, value, tuple(jobs))
