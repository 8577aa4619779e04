"""The fields of a crontab: numbers, iterables or text, to canonical text and the set of what matches."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, cast

import msgspec

from umbel.schedules.cron import bounded

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_TERM: Final = re.compile(r"(?:(?P<star>\*)|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>\d+))?")
_FULL_NAME: Final = 9
"""The letters of "wednesday" and "september"; shorter names are cut to three letters as well."""


class Field(msgspec.Struct, frozen=True):
    """One field: its name in Celery, its smallest and largest number, the names of its numbers from the smallest on."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def __call__(self, spec: Any) -> tuple[str, frozenset[int]]:
        """The canonical text of *spec*, and all numbers that match. Raises `ValueError` or `TypeError`."""
        terms = list(self._terms(spec))
        if not terms:
            raise ValueError(f"{self.name} is {spec!r}: nothing matches that")
        if any(text == "*" for text, _ in terms):
            return "*", frozenset(range(self.low, self.high + 1))
        stars = sorted({text for text, _ in terms if text})
        numbers = sorted({number for text, found in terms if not text for number in found})
        return ",".join([*stars, *map(str, numbers)]), frozenset(number for _, found in terms for number in found)

    def _terms(self, spec: Any) -> Iterator[tuple[str, Iterable[int]]]:
        """Each part as (its text if that begins with a star, its numbers)."""
        if isinstance(spec, str):
            for term in bounded(spec).strip().lower().split(","):
                yield self._term(term.strip(), spec)
        elif isinstance(spec, int) and not isinstance(spec, bool):
            yield "", (self._number(str(spec), spec),)
        elif isinstance(spec, Iterable):
            for each in cast("Iterable[object]", spec):
                yield from self._terms(each)
        else:
            raise TypeError(f"{self.name} is {spec!r}: give a number, text such as '*/5', or several of them")

    def _term(self, term: str, spec: str) -> tuple[str, Iterable[int]]:
        found = _TERM.fullmatch(term)
        if found is None or (found["step"] and not (found["star"] or found["last"])):
            raise self._wrong(spec)
        step = int(found["step"] or 1)
        if step == 0:
            raise self._wrong(spec)
        if found["star"]:
            text = "*" if step == 1 else f"*/{step}"
            return text, range(self.low, self.high + 1, step)
        first = self._number(found["first"], spec)
        if not found["last"]:
            return "", (first,)
        return "", self._range(first, self._number(found["last"], spec, end=True), step)

    def _range(self, first: int, last: int, step: int) -> list[int]:
        if last >= first:
            return [self._wrapped(number) for number in range(first, last + 1, step)]
        size = self.high - self.low + 1
        return [self.low + (number - self.low) % size for number in range(first, last + size + 1, step)]

    def _number(self, text: str, spec: object, *, end: bool = False) -> int:
        if text.isdecimal() and text.isascii():
            number = int(text)
        elif text[:3] in self.names and text.isalpha() and len(text) <= _FULL_NAME:
            number = self.low + self.names.index(text[:3])
        else:
            raise self._wrong(spec)
        seventh = self.names is _DAYS and number == len(_DAYS)
        if not (self.low <= number <= self.high or seventh):
            raise self._wrong(spec)
        return number if end else self._wrapped(number)

    def _wrapped(self, number: int) -> int:
        return 0 if self.names is _DAYS and number == len(_DAYS) else number

    def _wrong(self, spec: object) -> ValueError:
        return ValueError(
            f"{self.name} is {spec!r}: give numbers from {self.low} to {self.high}, or text such as '*/5' or '1-3,7'"
        )


MINUTE: Final = Field("minute", 0, 59)
HOUR: Final = Field("hour", 0, 23)
DAY: Final = Field("day_of_month", 1, 31)
MONTH: Final = Field("month_of_year", 1, 12, _MONTHS)
WEEKDAY: Final = Field("day_of_week", 0, 6, _DAYS)
