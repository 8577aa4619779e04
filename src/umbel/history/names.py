"""Names: the numbers that tasks, queues, workers and argument paths have in the tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

from umbel.contracts.history import Transaction
from umbel.history.counters import Counters

Sort: TypeAlias = Literal["task", "queue", "worker", "path"]

MAX_KNOWN: Final = 20_000
"""How many names are remembered; a task that makes up argument names must not fill the memory."""


class Names:
    """What is remembered of names between transactions: only what was committed."""

    def __init__(self) -> None:
        self.known: dict[tuple[Sort, str], int] = {}

    def learn(self, more: dict[tuple[Sort, str], int]) -> None:
        """Remember *more*; called when its transaction was committed."""
        if len(self.known) > MAX_KNOWN:
            self.known.clear()
        self.known.update(more)


class Naming:
    """Names within one transaction; an empty name is 0."""

    def __init__(self, transaction: Transaction, names: Names, counters: Counters) -> None:
        self._transaction = transaction
        self._names = names
        self._counters = counters
        self.found: dict[tuple[Sort, str], int] = {}

    def __call__(self, sort: Sort, name: str) -> int:
        """The number of *name*, which `prepare` was told before."""
        if not name:
            return 0
        key = (sort, name)
        number = self.found.get(key)
        return self._names.known[key] if number is None else number

    def prepare(self, sort: Sort, names: Iterable[str]) -> None:
        """See to it that each of *names* has a number."""
        # Looked up in `found`, too: what is known by now may be forgotten before the transaction ends.
        wanted = {name for name in names if name and (sort, name) not in self.found}
        for name in wanted:
            if (number := self._names.known.get((sort, name))) is not None:
                self.found[sort, name] = number
        missing = sorted(name for name in wanted if (sort, name) not in self.found)
        if not missing:
            return
        self._look(sort, missing)
        new = [name for name in missing if (sort, name) not in self.found]
        if new:
            numbers = self._counters.take("name", len(new))
            self._transaction.many(
                "ingest.put_names", [(at, sort, name) for at, name in zip(numbers, new, strict=True)]
            )
            self._look(sort, new)

    def _look(self, sort: Sort, names: list[str]) -> None:
        for name, number in self._transaction.among("ingest.names", names, sort):
            self.found[sort, str(name)] = int(number)
