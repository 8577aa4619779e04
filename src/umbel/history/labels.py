"""Labels: the names behind numbers, looked up many at once and remembered."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from umbel.contracts.history import Transaction

MAX_KNOWN: Final = 20_000


class Labels:
    """The names that this process has met. A number never gets another name."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {0: ""}
        self._groups: dict[int, tuple[str, str]] = {}

    def names(self, transaction: Transaction, numbers: Iterable[int]) -> dict[int, str]:
        """The name of each of *numbers*."""
        wanted = set(numbers)
        missing = sorted(number for number in wanted if number not in self._names)
        if missing:
            if len(self._names) > MAX_KNOWN:
                self._names = {0: ""}
                missing = sorted(wanted - {0})
            self._names.update((int(number), str(name)) for number, name in transaction.among("reading.names", missing))
        return {number: self._names.get(number, "") for number in wanted}

    def groups(self, transaction: Transaction, numbers: Iterable[int | None]) -> dict[int | None, tuple[str, str]]:
        """Type and message template of each group of errors."""
        wanted = {number for number in numbers if number}
        missing = sorted(number for number in wanted if number not in self._groups)
        if missing:
            if len(self._groups) > MAX_KNOWN:
                self._groups, missing = {}, sorted(wanted)
            for number, kind, template in transaction.among("reading.groups", missing):
                self._groups[int(number)] = (str(kind), str(template))
        return {number: self._groups.get(number, ("", "")) for number in wanted}
